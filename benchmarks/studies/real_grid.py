"""24 trials x 12 epochs of a small CNN: 12 learning-rate sequences x 2 momenta, of whose 288 epochs 180 are distinct.

Fashion-MNIST from Debian's package `dataset-fashion-mnist`; scikit-learn's digits where it is not installed.
"""

import gzip
import os
from pathlib import Path

import numpy
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import hive
from hive import Chain, Constant, Exponential, GridSpace, Step, Warmup
from hive.training.data import ShuffledBatches
from hive.tuners import Grid

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
TRAIN, VALIDATION, BATCH_SIZE = 6000, 2000, 64


def fashion_mnist():
    count = TRAIN + VALIDATION
    with gzip.open(FASHION_MNIST / "train-images-idx3-ubyte.gz") as file:
        images = numpy.frombuffer(file.read(16 + count * 784), numpy.uint8, offset=16).reshape(count, 1, 28, 28)
    with gzip.open(FASHION_MNIST / "train-labels-idx1-ubyte.gz") as file:
        labels = numpy.frombuffer(file.read(8 + count), numpy.uint8, offset=8)
    return images.astype(numpy.float32) / 255, labels.astype(numpy.int64), TRAIN


def digits():
    from sklearn.datasets import load_digits

    found = load_digits()
    images, labels = found.images[:, None] / 16, found.target
    return images.astype(numpy.float32), labels.astype(numpy.int64), len(labels) * 3 // 4


class SmallCnn(hive.Trainer):
    """A step is an epoch. Strides instead of pooling, which took 43 % of a step on a CPU."""

    def build(self, hp):
        images, labels, train = fashion_mnist() if self.fixed["data"] == "fashion-mnist" else digits()
        parts = images[:train], labels[:train], images[train:], labels[train:]
        self.data = [torch.from_numpy(part) for part in parts]
        self.order = ShuffledBatches(train, self.seed)
        side = -(-images.shape[-1] // 4)
        self.model = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * side * side, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=hp["lr"], momentum=hp["momentum"])

    def setup(self, hp):
        self.optimizer.param_groups[0].update(hp)

    def train(self):
        images, labels, *_ = self.data
        epoch = self.order.epoch
        while self.order.epoch == epoch:
            chosen = self.order.take(BATCH_SIZE)
            loss = cross_entropy(self.model(images[chosen]), labels[chosen])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return {"loss": loss.item()}

    @torch.no_grad()
    def evaluate(self):
        *_, images, labels = self.data
        scores = self.model(images)
        accuracy = (scores.argmax(dim=1) == labels).float().mean()
        return {"accuracy": accuracy.item(), "loss": cross_entropy(scores, labels).item()}

    def save(self):
        state = super().save()
        del state["data"]
        return state


space = GridSpace(
    {
        "lr": [
            *(Step(0.1, size, gamma) for size in (4, 6, 8) for gamma in (0.1, 0.5)),
            *(Warmup(2, 0.1, then=Step(0.1, size, gamma)) for size, gamma in [(6, 0.1), (6, 0.5), (8, 0.1)]),
            Exponential(0.08, 0.9),
            Chain([(Exponential(0.08, 0.9), 10), (Constant(0.001), None)]),
            Exponential(0.06, 0.8),
        ],
        "momentum": [Constant(0.9), Constant(0.8)],
    },
    steps=12,
)
data = "fashion-mnist" if FASHION_MNIST.is_dir() else "sklearn-digits"
study = hive.Study(
    "real_grid",
    SmallCnn,
    metric="accuracy",
    mode="max",
    dataset=data,
    seed=int(os.environ.get("HIVE_BENCHMARK_SEED", "0")),
    fixed={"data": data},
)
tuner = Grid(space)
