"""What does the planner cost, at a thousand requests and at a million?

In one process, without a wire. The trials are like those of a published space: a learning rate that drops at drawn
milestones, a batch size that changes once, three constants; rungs at 15, 60 and 120 steps. One in a hundred leaves a
chain of 1,000 nodes somewhere on it. Everything that is asked is one study's. For each number of requests:

    submits_per_s      requests decoded, placed in the plan and wanted, the frontier settled every 1,000, by seconds
    next_p50_ms        to say what the next batch is, after one batch was handed out and boundaries were met
    next_p99_ms        the same
    bytes_per_request  what this process grew by while they were submitted
    load_s             from a store on disk, warm, to a plan that could hand a batch out
    rebuild_ms         to build the stage tree anew and take the next batch from it, as Hippo does at every decision

Targets at a million: 30,000 submits a second, a p99 of 1 ms and of twice the p50 at a thousand, 1 KB, 10 s.
"""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from random import Random

from support.report import arguments, conclude, introduce, scratch

from hive.actors.books import Books
from hive.actors.configs import config_of
from hive.actors.messages import AskedTrial
from hive.actors.plans import LivePlan
from hive.planner.critical_path import next_batch
from hive.planner.search_plan import Place, SearchPlan, Standing, Wanter
from hive.planner.sequences import Constant, MultiStep, Values
from hive.planner.space import Config, segments
from hive.planner.stage_tree import build
from hive.storage.lmdb_store import LmdbStore
from hive.storage.records import NOWHERE, NodeRecord, PlanRecord, RunRecord, TrainerSource, WantRecord
from hive.storage.store import Put

SIZES = (1_000, 10_000, 100_000, 1_000_000)
RUNGS = (15, 60, 120)
CHAIN = 1_000
DEEP_ONE_IN = 100
DECISIONS = 2_000
OUT = 40
SETTLE_EVERY = 1_000
REBUILDS = 3

NAMES = ("lr", "batch_size", "momentum", "weight_decay", "optimizer")
SOURCE = TrainerSource("study.py", "study", "Toy", (), "", NAMES, 0, {}, 1, None, 60.0)
RECORD = PlanRecord("plan", "plan", 1, "study", True, SOURCE, "print", {}, 0.0)
RUN = RunRecord("run", "study", "plan", 0.0)


def requests(count: int, random: Random) -> Iterator[AskedTrial]:
    """So many requests, as messages say them."""
    chain = [random.random() for _ in range(CHAIN)]
    trial = made = 0
    while made < count:
        trial += 1
        config, steps = drawn(random), random.choice((RUNGS[:1], RUNGS[:2], RUNGS))
        if trial % DEEP_ONE_IN == 0:
            leaves = random.randint(1, CHAIN)
            config["lr"], steps = Values([*chain[:leaves], random.random()]), (leaves + RUNGS[0],)
        descriptors = {name: sequence.descriptor() for name, sequence in config.items()}
        for step in steps[: count - made]:
            yield AskedTrial(trial, step, descriptors)
            made += 1


def drawn(random: Random) -> Config:
    """A trial of the space."""
    milestones = sorted(random.sample(range(10, 120, 5), random.randint(1, 3)))
    initial = random.choice((0.1, 0.05, 0.02)) * random.randint(1, 50)
    return {
        "lr": MultiStep(initial, milestones, random.choice((0.1, 0.2))),
        "batch_size": MultiStep(128, [random.choice((40, 60, 80, 500))], 2),
        "momentum": Constant(random.choice((0.7, 0.8, 0.9, 0.95))),
        "weight_decay": Constant(random.choice((1e-3, 1e-4, 1e-5))),
        "optimizer": Constant(random.choice(("sgd", "adam"))),
    }


def rss() -> int:
    """Bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def submit(live: LivePlan, asked: list[AskedTrial]) -> float:
    """Ask for all of it: seconds."""
    began = time.perf_counter()
    for order, each in enumerate(asked):
        place, _ = live.tree.place(segments(config_of(each.config, NAMES), each.step))
        live.tree.want(place, Wanter("run", each.trial), order)
        if order % SETTLE_EVERY == SETTLE_EVERY - 1:
            live.paths.all.settle()
    live.paths.all.settle()
    return time.perf_counter() - began


def decide(live: LivePlan) -> list[float]:
    """Hand out batches and meet their boundaries, many batches at once: seconds of each decision."""
    out: deque[tuple[int, Place]] = deque()
    seconds = []
    for lease in range(DECISIONS):
        began = time.perf_counter()
        batch = live.paths.take("study")
        seconds.append(time.perf_counter() - began)
        boundaries = [stage.place for stage in batch if stage.boundary]
        live.tree.promise(lease, boundaries)
        out.extend((lease, place) for place in boundaries)
        for _ in range(1 if len(out) < OUT else len(boundaries)):
            if out:
                meet(live.tree, *out.popleft())
    return seconds


def meet(tree: SearchPlan, lease: int, place: Place) -> None:
    """A boundary is met, and whoever waited is told."""
    tree.record(place, Standing("file", "digest", {"score": 1.0}))
    tree.keep(lease, place)
    if place in tree.pending:
        tree.take(place)


def store_plan(folder: Path, live: LivePlan, asked: list[AskedTrial]) -> None:
    """Write what the coordinator would have written."""
    store = LmdbStore(folder)
    store.commit([Put(RECORD), Put(RUN)])
    writes: list[Put] = []
    for node in live.tree.nodes:
        forms = {name: form.to_data() for name, form in node.forms.items()}
        parent = None if node.parent is None else node.parent.number
        writes.append(Put(NodeRecord("plan", node.number, parent, node.start, forms)))
    for order, each in enumerate(asked):
        place, _ = live.tree.place(segments(config_of(each.config, NAMES), each.step))
        writes.append(Put(WantRecord("run", each.trial, each.step, "plan", place.node, order)))
    for at in range(0, len(writes), 10_000):
        store.commit(writes[at : at + 10_000])
    store.close()


def load(folder: Path) -> float:
    """Seconds from the store to a plan that could hand out a batch."""
    store = LmdbStore(folder)
    began = time.perf_counter()
    books = Books(store, 0.0, 30.0, NOWHERE)
    assert books.plans["plan"].paths.studies() == ["study"]
    passed = time.perf_counter() - began
    store.close()
    return passed


def rebuild(live: LivePlan) -> float:
    """Seconds of one decision made anew."""
    began = time.perf_counter()
    assert next_batch(build(live.tree), live.estimates)
    return time.perf_counter() - began


def measure(count: int, seed: int) -> dict[str, float]:
    """The figures for so many requests."""
    asked = list(requests(count, Random(seed)))
    gc.collect()
    before = rss()
    live = LivePlan(RECORD, study_of={"run": "study"}.__getitem__)
    submit_s = submit(live, asked)
    bytes_each = (rss() - before) / count
    rebuild_ms = statistics.median(rebuild(live) for _ in range(REBUILDS)) * 1000
    with scratch() as name:
        folder = Path(name, "store")
        store_plan(folder, live, asked)
        decisions = decide(live)
        del live, asked
        gc.collect()
        load_s = load(folder)
    cuts = statistics.quantiles(decisions, n=100)
    return {
        "submits_per_s": count / submit_s,
        "next_p50_ms": cuts[49] * 1000,
        "next_p99_ms": cuts[98] * 1000,
        "bytes_per_request": bytes_each,
        "load_s": load_s,
        "rebuild_ms": rebuild_ms,
    }


def main() -> None:
    """Each number of requests on a plan of its own."""
    given = arguments(__doc__)
    introduce(given.seed, ["hive-stage", "lmdb", "msgspec"])
    gc.set_threshold(20_000, 50, 200)  # as the coordinator has it
    found = {}
    for count in SIZES:
        found[str(count)] = figures = measure(count, given.seed)
        print(f"requests  {count}: " + ", ".join(f"{name} {each:.4g}" for name, each in figures.items()), flush=True)
    conclude(found, as_json=given.json)


if __name__ == "__main__":
    main()
