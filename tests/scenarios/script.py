"""Plays a scripted race on the coordinator, and writes down every message in the order in which it was said.

A line of a script is something that happens, such as `trainer 1 trains 8 steps`; below it, indented, stand the messages
that follow from it. `ACTIONS` has every kind of line. Nothing is said that no line causes, and nothing is heard until a
line says so: a trainer that does not `hear` trains on with what it knew.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from hive.actors.messages import Amend, Ask, Grant, GrantedStage, Message, Notice, SessionBeat
from hive.planner.sequences import Constant, MultiStep, Sequence
from hive.simulation.clients import asked, opening
from tests.actors.lockstep import HandTrainer, Lockstep

__all__ = ["play"]

UNTOLD = {
    "number", "run", "study", "plan", "plan_key", "merge", "fresh", "source", "fingerprint", "parts", "trainer", "node",
    "counts", "busy", "trainers",
}  # fmt: skip
"""What no race is about, or its line says already."""


class Stage(Lockstep):
    """A coordinator whose words are written down."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.dying = False
        super().__init__()
        self.trainers: dict[str, HandTrainer] = {}

    def say(self, sender: str, message: Message, *, after_s: float = 0.001) -> list[Message]:
        self.lines.append(f"    {called(sender)}: {words(message)}")
        said = super().say(sender, message, after_s=after_s)
        if self.dying:
            self.dying = False
            self.restart()
        return said

    def deliver(self, to: str, message: Message) -> None:
        if self.dying:
            return
        self.lines.append(f"    to {called(to)}: {words(message)}")
        super().deliver(to, message)

    # -- what a script can say ----------------------------------------------------------------------------------

    def opens(self, run: str) -> None:
        self.open(run)

    def of_study_opens(self, run: str, study: str) -> None:
        """Once; unlike `opens` it does not wait until it is known whether earlier runs of the study live."""
        self.say(run, opening(run, study=study))

    def other_opens(self, run: str) -> None:
        """A second process under the name of a run, which counts its messages from 1."""
        self.numbers[other(run)] = 1
        self.say(other(run), opening(run))

    def other_asks(self, run: str, trial: str, sequence: str, step: str) -> None:
        request = asked(int(trial), {"lr": sequence_of(sequence)}, int(step))
        self.say(other(run), Ask(run, self.number(other(run)), [request]))

    def other_speaks(self, run: str) -> None:
        self.say(other(run), SessionBeat(run, 0))

    def asks(self, run: str, trial: str, sequence: str, step: str) -> None:
        self.ask(run, (int(trial), {"lr": sequence_of(sequence)}, int(step)))

    def releases(self, run: str, trial: str) -> None:
        self.release(run, int(trial))

    def comes(self, trainer: str) -> None:
        self.trainers[trainer] = self.trainer(f"node/0/{trainer}")

    def hears(self, trainer: str) -> None:
        """It takes in what was said to it since it heard last: a grant, an amendment, that it should stop."""
        hand = self.trainers[trainer]
        hand.take()
        hand.heed()
        hand.stop_if_told()

    def loses(self, trainer: str) -> None:
        self.said[f"node/0/{trainer}"].clear()

    def trains(self, trainer: str, steps: str) -> None:
        self.trainers[trainer].train(int(steps))

    def trains_to_the_end(self, trainer: str) -> None:
        self.trainers[trainer].train()

    def beats(self, trainer: str) -> None:
        self.trainers[trainer].beat()

    def says_again(self, trainer: str) -> None:
        """Its last notice comes a second time."""
        self.say(f"node/0/{trainer}", self.trainers[trainer].notices[-1])

    def speaks(self, run: str) -> None:
        """Its session says that it lives, and is known again to a coordinator that was restarted."""
        self.say(run, SessionBeat(run, self.books.runs[run].record.told))

    def speaks_untold(self, run: str) -> None:
        """The same of a session that no answer has reached."""
        self.say(run, SessionBeat(run, 0))

    def passes(self, seconds: str) -> None:
        self.beat(float(seconds))

    def passes_by_beats(self, seconds: str) -> None:
        """The coordinator looks at its leases each second."""
        for _ in range(int(seconds)):
            self.beat(1.0)

    def dies_in_a_turn(self) -> None:
        """In its next turn, after the commit: what it would have said is never said. Then it is made anew."""
        self.dying = True

    def is_restarted(self) -> None:
        self.restart()

    def has(self, run: str) -> None:
        counts = msgspec.structs.asdict(self.books.runs[run].record.counts)
        told = {name: value for name, value in counts.items() if not name.endswith("_s") and value}
        self.lines.append("    " + ", ".join(f"{name} {value}" for name, value in told.items()))


ACTIONS: dict[str, Callable[..., None]] = {
    r"run (\w+) opens": Stage.opens,
    r"run (\w+) of study (\w+) opens": Stage.of_study_opens,
    r"another session of run (\w+) opens": Stage.other_opens,
    r"another session of run (\w+) asks for trial (\d+), lr (.+), to step (\d+)": Stage.other_asks,
    r"another session of run (\w+) beats": Stage.other_speaks,
    r"run (\w+) asks for trial (\d+), lr (.+), to step (\d+)": Stage.asks,
    r"run (\w+) releases trial (\d+)": Stage.releases,
    r"run (\w+) beats": Stage.speaks,
    r"run (\w+) beats, and was told nothing": Stage.speaks_untold,
    r"run (\w+) has these counts": Stage.has,
    r"trainer (\d+) comes": Stage.comes,
    r"trainer (\d+) hears": Stage.hears,
    r"trainer (\d+) hears nothing of it": Stage.loses,
    r"trainer (\d+) trains (\d+) steps": Stage.trains,
    r"trainer (\d+) trains to the end": Stage.trains_to_the_end,
    r"trainer (\d+) beats": Stage.beats,
    r"trainer (\d+) says its last notice again": Stage.says_again,
    r"(\d+) seconds pass": Stage.passes,
    r"(\d+) seconds pass, beat by beat": Stage.passes_by_beats,
    r"the coordinator is about to die between commit and send": Stage.dies_in_a_turn,
    r"the coordinator is restarted": Stage.is_restarted,
}
"""Every kind of line, and what it does."""


def play(script: str) -> str:
    """A script with the messages that its lines cause, in place of those that stand in it."""
    stage = Stage()
    for line in script.splitlines():
        if line.startswith("    "):
            continue
        stage.lines.append(line)
        if line and not line.startswith("#"):
            act(stage, line)
    return "\n".join(stage.lines) + "\n"


def act(stage: Stage, line: str) -> None:
    """Do what a line says."""
    for pattern, action in ACTIONS.items():
        if (found := re.fullmatch(pattern, line)) is not None:
            action(stage, *found.groups())
            return
    raise AssertionError(f"no script can say {line!r}")


def sequence_of(text: str) -> Sequence:
    """`1`, or `1 until 10 and then 0.1`."""
    first, until, rest = text.partition(" until ")
    if not until:
        return Constant(float(first))
    at, _, then = rest.partition(" and then ")
    return MultiStep(float(first), [int(at)], float(then) / float(first))


def called(peer: str) -> str:
    """A peer as scripts call it."""
    if peer.startswith("node/"):
        return f"trainer {peer.rpartition('/')[2]}"
    run, _, there = peer.partition("@")
    return f"another session of run {run}" if there else f"run {run}"


def other(run: str) -> str:
    """The address of another session under the name of a run."""
    return f"{run}@elsewhere"


def words(message: Message) -> str:
    """A message in short."""
    match message:
        case Grant(lease=lease, origin=origin, stages=stages):
            where = "the beginning" if origin is None else f"step {origin[1]} of node {origin[0]}"
            return f"Grant of lease {lease}, from {where}: {ways(stages)}"
        case Amend(lease=lease, amendment=number, stages=stages):
            return f"Amend {number} of lease {lease}: {ways(stages)}"
        case Notice(lease=lease, node=node, step=step, metrics=metrics):
            return f"Notice of lease {lease}: step {step} of node {node}{'' if metrics is None else ', measured'}"
        case Ask(requests=requests):
            return "Ask for " + ", ".join(f"trial {asked.trial} at step {asked.step}" for asked in requests)
    fields = {f.encode_name: getattr(message, f.name) for f in msgspec.structs.fields(message)}
    defaults = {f.encode_name: f.default for f in msgspec.structs.fields(message)}
    told = {n: v for n, v in fields.items() if n not in UNTOLD and v != defaults[n] and v not in (None, [], "", {})}
    return ", ".join([type(message).__name__, *(f"{name} {value}" for name, value in told.items())])


def ways(stages: list[GrantedStage]) -> str:
    how = {(True, True): " measured", (True, False): "", (False, False): " passed"}
    return ", ".join(f"node {s.node} [{s.start}, {s.end}){how[s.boundary, s.metrics]}" for s in stages)
