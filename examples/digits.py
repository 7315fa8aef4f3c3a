"""Which learning rate, batch size and momentum teach a small network to read digits fastest?

    hive run examples/digits.py

The data are scikit-learn's handwritten digits: 1797 images of 8 x 8 pixels, every third of which is held out. 72 trials
train for two steps; the best 18 of them go on to step 8, and the best 4 of those to step 16. Many begin alike, and hive
trains what they share once.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import TensorDataset

import hive
from hive import Constant, Cosine, Exponential, GridSpace, Linear, MultiStep, Piecewise, Step, Warmup
from hive.training.data import ShuffledBatches
from hive.tuners import SuccessiveHalving

IMAGES_A_STEP = 512


class Digits(hive.Trainer):
    """A step trains on the next 512 images of the shuffled data, in mini-batches."""

    def build(self, hp):
        digits = load_digits()
        images = torch.tensor(digits.images, dtype=torch.float32, device=self.device).unsqueeze(1) / 16
        labels = torch.tensor(digits.target, device=self.device)
        held_out = torch.arange(len(labels), device=self.device) % 3 == 0
        self.train_set = TensorDataset(images[~held_out], labels[~held_out])
        self.test_set = TensorDataset(images[held_out], labels[held_out])
        self.order = ShuffledBatches(len(self.train_set), self.seed)

        self.model = nn.Sequential(
            nn.Conv2d(1, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 128, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(128 * 4 * 4, 10),
        ).to(self.device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=hp["lr"], momentum=hp["momentum"])

    def setup(self, hp):
        for name in ("lr", "momentum"):
            if name in hp:
                self.optimizer.param_groups[0][name] = hp[name]
        if "batch_size" in hp:
            self.batch_size = hp["batch_size"]

    def train(self):
        self.model.train()
        batches = IMAGES_A_STEP // self.batch_size
        total = 0.0
        for _ in range(batches):
            images, labels = self.train_set[self.order.take(self.batch_size)]
            loss = cross_entropy(self.model(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return {"loss": total / batches}

    @torch.no_grad()
    def evaluate(self):
        self.model.eval()
        images, labels = self.test_set[:]
        scores = self.model(images)
        accuracy = (scores.argmax(dim=1) == labels).float().mean()
        return {"accuracy": accuracy.item(), "loss": cross_entropy(scores, labels).item()}


space = GridSpace(
    {
        "lr": [
            Constant(0.1),
            MultiStep(0.1, [6, 12], 0.3),
            Step(0.1, 4, 0.5),
            Exponential(0.1, 0.9),
            Cosine(0.1, 16),
            Linear(0.1, 0.01, 16),
            Warmup(2, 0.1, then=MultiStep(0.1, [8], 0.1)),
            Warmup(2, 0.1, then=Cosine(0.1, 14)),
        ],
        "batch_size": [Constant(32), MultiStep(32, [8], 2), Constant(64)],
        "momentum": [Constant(0.9), Piecewise([0.9, 0.5], [6]), Constant(0.5)],
    },
    steps=16,
)
study = hive.Study("digits", Digits, metric="accuracy", mode="max", dataset="sklearn-digits")
tuner = SuccessiveHalving(space, min_steps=2, max_steps=16, reduction=4)

if __name__ == "__main__":
    print(study.run(tuner).best_trial)
