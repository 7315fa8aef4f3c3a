"""Carries a fault plan out on a simulated root, and heals it.

It decides on whom a fault falls, of those that are there at that moment, and counts it where it really happened. It
must not know what is asked, or what must hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, Protocol, TypeVar

from hive.actors.actor import Called, Leave, Received
from hive.actors.faults import FULL, Cut, Fault, FaultPlan, Faults, FaultyStore, beneath
from hive.actors.messages import StudyCommand
from hive.actors.node import TrainerOrder
from hive.actors.simulator import Host
from hive.simulation.clients import Cluster
from hive.simulation.jobs import SimulatedJobs
from hive.storage.records import StandingRecord
from hive.training.reports import Reached, Report

__all__ = ["BROKEN", "RAISED", "UNREADABLE", "UNWRITTEN", "Killable", "Trouble"]

RAISED = "Boom"
"""What user code says when it raises."""

UNWRITTEN = "no space left on device"
"""What is said where a checkpoint cannot be written."""

BROKEN = "the study's module is not on this machine"
"""What a trainer says that finds no class to train."""

UNREADABLE = {"checkpoint torn": "the file is torn", "checkpoint missing": "the file is missing"}
"""What is said of a checkpoint's file, by what happened to it."""

EFFECTS_MAX = 6
"""A crash in a turn comes before its commit, after it, or after one of so many effects."""

JUMP_FORWARD = 10
"""A clock that is set forward goes so much further than one that is set back."""

LEAVE_S = 5.0
"""How long trainers may take to leave; seconds."""

LATE_S = 3.0
"""How late a job's report may be heard."""

TARDY_S = 5.0
"""How late a timer may come."""

SLOW = 100.0
"""A job that is slow takes so many times as long for a step."""

DRIFT = 0.2
"""Seconds that a clock which drifts gains or loses in one."""

AGAIN_S = 1.0
"""When a coordinator whose store is full is started again; seconds."""


T = TypeVar("T")


class Killable(Protocol):
    """A script that may be killed, and is then started again."""

    def kill(self) -> bool:
        """Kill it; whether it lived."""
        ...


class Trouble:
    """What goes wrong on a root.

    Args:
        cluster: the root.
        store: its coordinator's.
        plan: what goes wrong.
        faults: the weather, and what is done to hosts.

    Attributes:
        scripts: those that may be killed.
        dying: hosts that are to die in their next turn, with the kind of that.
        lost: machines that never come back.
        left_behind: trainers whose node manager is gone.
        healed: whether nothing goes wrong any more.
    """

    def __init__(self, cluster: Cluster, store: FaultyStore, plan: FaultPlan, faults: Faults) -> None:
        self.cluster = cluster
        self.simulator = cluster.simulator
        self.store = store
        self.plan = plan
        self.faults = faults
        self.scripts: list[Killable] = []
        self.dying: dict[str, str] = {}
        self.lost: set[str] = set()
        self.left_behind: list[Host] = []
        self.healed = False
        self.kinds: dict[str, Callable[[Fault], bool]] = {
            "coordinator killed": self.kill_coordinator,
            "coordinator killed in a turn": lambda fault: self.die_in_turn(["coordinator"], fault),
            "trainer killed": self.kill_trainer,
            "trainer killed in a turn": lambda fault: self.die_in_turn(self.cluster.trainers(), fault),
            "trainer exits": self.exit_trainer,
            "node killed": self.kill_node,
            "node killed in a turn": lambda fault: self.die_in_turn(self.nodes(), fault),
            "node lost": self.lose_node,
            "node leaves": self.leave,
            "trainer outlives its node": self.outlive,
            "script killed": self.kill_script,
            "study paused": self.pause_study,
            "commit failed": self.fail_commit,
            "commit in doubt": self.fail_commit,
            FULL: self.fill_store,
            "cut": self.cut,
            "swizzle": self.swizzle,
            "pause": self.pause,
            "clock jump": self.jump,
            "clock drift": self.drift,
            "job hangs": self.hang,
            "job slow": self.slow_down,
            "checkpoint torn": self.damage,
            "checkpoint missing": self.damage,
        }

    def begin(self) -> None:
        """Let everything go wrong at its time."""
        self.simulator.on_crash = self.crashed
        self.store.failed = self.count
        self.simulator.lateness = self.lateness
        self.cluster.broken = self.broken
        world, plan = self.cluster.world, self.plan
        if plan.raises or plan.unwritten:
            world.raises = self.raises
        if plan.late or plan.twice or plan.no_number:
            world.heard = self.heard
        for fault in self.plan.faults:
            self.simulator.later(fault.at_s, partial(self.happen, fault))

    def heal(self) -> None:
        """From now on nothing goes wrong, and whoever was away comes back, but for machines that are lost. A clock that
        was set back goes on from what its host has seen."""
        simulator = self.simulator
        self.faults.cuts.clear()
        self.store.fails = ""
        simulator.crash_next.clear()
        self.healed = True
        for host in list(simulator.hosts.values()):
            simulator.shifts[host.name] = max(simulator.shifts.get(host.name, 0.0), host.now - simulator.now)
            if host.waiting is not None:
                simulator.go_on(host)
        self.cluster.start_coordinator()
        for node in self.cluster.nodes:
            self.come_back(node)
        for host in self.left_behind:
            self.end(host)
        for trainer in self.cluster.trainers():
            self.end_hung(trainer)
            self.speed_up(trainer)
        for client in self.cluster.clients:
            self.command(client.run, "resume")

    def happen(self, fault: Fault) -> None:
        """Something goes wrong, if there is anybody on whom it could fall."""
        if self.kinds[fault.kind](fault):
            self.count(fault.kind)

    def count(self, kind: str) -> None:
        """Something really went wrong."""
        self.faults.happened[kind] += 1

    # -- processes --------------------------------------------------------------------------------------------------

    def nodes(self) -> list[str]:
        """The node managers that live."""
        return [name for name in self.cluster.nodes if name in self.simulator.hosts]

    def kill_coordinator(self, fault: Fault) -> bool:
        """It is started again a while later."""
        if "coordinator" not in self.simulator.hosts:
            return False
        self.cluster.crash_coordinator(fault.size)
        return True

    def kill_trainer(self, fault: Fault) -> bool:
        """As if it took too much memory."""
        trainer = chosen(self.cluster.trainers(), fault)
        if trainer is not None:
            self.cluster.kill_trainer(trainer)
        return trainer is not None

    def exit_trainer(self, fault: Fault) -> bool:
        """User code ends the process while it trains."""
        trainer = chosen(self.cluster.busy(), fault)
        if trainer is not None:
            self.cluster.kill_trainer(trainer, code=3, tail="bye")
        return trainer is not None

    def kill_node(self, fault: Fault) -> bool:
        """Its trainers die with it, and it is started again a while later."""
        node = chosen(self.nodes(), fault)
        if node is not None:
            self.cluster.kill_node(node)
            self.simulator.later(fault.size, partial(self.come_back, node))
        return node is not None

    def lose_node(self, fault: Fault) -> bool:
        """A machine never comes back; there is another one."""
        node = chosen(self.nodes(), fault) if len(self.nodes()) > 1 else None
        if node is not None:
            self.lost.add(node)
            self.cluster.kill_node(node)
        return node is not None

    def outlive(self, fault: Fault) -> bool:
        """A node manager dies alone. Its trainers live on for a while, as they may where user code does not let their
        process see it; before they end, it is there again."""
        trainers = self.cluster.trainers()
        node = chosen([name for name in self.nodes() if any(beneath(trainer, name) for trainer in trainers)], fault)
        if node is None:
            return False
        self.simulator.remove(node)
        self.simulator.later(fault.size / 2, partial(self.come_back, node))
        for host in [self.simulator.hosts[trainer] for trainer in trainers if beneath(trainer, node)]:
            self.left_behind.append(host)
            self.simulator.later(fault.size, partial(self.end, host))
        return True

    def end(self, host: Host) -> None:
        """A process ends, if it has not."""
        if self.simulator.alive(host):
            self.simulator.remove(host.name)

    def come_back(self, node: str) -> None:
        """A machine starts again, unless it is lost."""
        if node not in self.lost:
            self.cluster.start_node(node)

    def leave(self, fault: Fault) -> bool:
        """A machine is to end soon: what runs there is left with a checkpoint, if that does not take too long."""
        node = chosen(self.nodes(), fault)
        if node is None:
            return False
        host = self.simulator.hosts[node]
        for name in [node, *self.cluster.trainers()]:
            if beneath(name, node):
                self.simulator.post(self.simulator.hosts[name], Called(Leave()))

        def end() -> None:
            if self.simulator.alive(host):
                self.cluster.kill_node(node)
                self.simulator.later(fault.size, partial(self.come_back, node))

        self.simulator.later(LEAVE_S, end)
        return True

    def pause_study(self, fault: Fault) -> bool:
        """A person pauses a run, and resumes it a while later."""
        client = chosen(self.cluster.clients, fault)
        if client is None or not self.command(client.run, "pause"):
            return False
        self.simulator.later(fault.size, partial(self.command, client.run, "resume"))
        return True

    def command(self, run: str, action: Literal["pause", "resume"]) -> bool:
        """What a person says arrives, once, if the coordinator lives: who gets no answer says it again."""
        host = self.simulator.hosts.get("coordinator")
        if host is None:
            return False
        self.simulator.post(host, Received("person", StudyCommand(run, action, "somebody")))
        return True

    def kill_script(self, fault: Fault) -> bool:
        """It is started again a while later."""
        script = chosen(self.scripts, fault)
        return script is not None and script.kill()

    def die_in_turn(self, names: Sequence[str], fault: Fault) -> bool:
        """One of these dies between two effects of its next turn; it is counted when it does."""
        name = chosen(names, fault)
        if name is not None:
            self.dying[name] = fault.kind
            self.simulator.crash_next[name] = int(fault.size) % EFFECTS_MAX
        return False

    def crashed(self, name: str) -> None:
        """A process died in the middle of a turn, or is given up after its commit failed."""
        kind = self.dying.pop(name, None)
        if kind is not None:
            self.count(kind)
        if self.store.fails == FULL and name == "coordinator":
            self.cluster.crash_coordinator(AGAIN_S)
        else:
            self.cluster.crashed(name)
        if name in self.cluster.nodes:
            self.simulator.later(1.0, partial(self.come_back, name))

    def broken(self, order: TrainerOrder) -> str | int | None:
        """A trainer's process finds nothing that it could train, or ends at once."""
        draw = self.simulator.random
        if self.healed or draw.random() >= self.plan.broken:
            return None
        broken = draw.random() < 0.5
        self.count("trainer broken" if broken else "trainer does not start")
        return BROKEN if broken else 1

    def pause(self, fault: Fault) -> bool:
        """A process, or a whole machine, stands still; it is counted when it does."""
        hosts = self.simulator.hosts
        name = chosen(sorted(hosts), fault)
        if name is not None:
            names = [other for other in hosts if beneath(other, name)]
            self.faults.pause(self.simulator, names, fault.size)
        return False

    # -- the rest of the machine ------------------------------------------------------------------------------------

    def fail_commit(self, fault: Fault) -> bool:
        """The coordinator's next commit fails; it is counted when it does."""
        self.store.fails = self.store.fails or fault.kind
        return False

    def fill_store(self, fault: Fault) -> bool:
        """The coordinator's commits fail, until there is room again; each is counted."""
        self.store.fails = FULL
        self.simulator.later(fault.size, self.make_room)
        return False

    def make_room(self) -> None:
        """The store is full no longer."""
        if self.store.fails == FULL:
            self.store.fails = ""

    def cut(self, fault: Fault) -> bool:
        """What somebody says does not reach the coordinator for a while, or what that says does not reach them."""
        name = chosen(sorted(self.simulator.hosts.keys() - {"coordinator"}), fault)
        if name is not None:
            ways = ((name, "coordinator"), ("coordinator", name))
            self.faults.cut(*ways[int(fault.size * 1000) % 2], self.simulator.now + fault.size)
        return False

    def swizzle(self, fault: Fault) -> bool:
        """Some of those who speak with the coordinator are cut off one by one, and their ways open again in another
        order; it is counted when two are closed."""
        names, draw = sorted(self.simulator.hosts.keys() - {"coordinator"}), self.simulator.random
        closed = draw.sample(names, draw.randint(2, len(names))) if len(names) > 1 else []
        opened = draw.sample(closed, len(closed))
        for at, name in enumerate(closed):
            opens_s = fault.size * (0.5 + 0.5 * opened.index(name) / len(closed))
            close = partial(self.close_ways, name, self.simulator.now + opens_s, second=at == 1)
            self.simulator.later(fault.size * 0.5 * at / len(closed), close)
        return False

    def close_ways(self, name: str, until: float, *, second: bool) -> None:
        """Nothing passes between a host and the coordinator, for a while."""
        if not self.healed:
            self.faults.cuts += [Cut(name, "coordinator", until), Cut("coordinator", name, until)]
            self.faults.happened["swizzle"] += second

    def jump(self, fault: Fault) -> bool:
        """The coordinator's clock is set: nobody else's actor looks at one."""
        seconds = -fault.size if fault.whom < 0.5 else JUMP_FORWARD * fault.size
        self.faults.jump(self.simulator, "coordinator", seconds)
        return False

    def drift(self, fault: Fault) -> bool:
        """The coordinator's clock is too fast or too slow for a while."""
        for second in range(int(fault.size)):
            self.simulator.later(second, partial(self.set_clock, DRIFT if fault.whom < 0.5 else -DRIFT))
        return fault.size >= 1.0

    def set_clock(self, seconds: float) -> None:
        """The coordinator's clock goes on by so much, or back."""
        if not self.healed:
            shifts = self.simulator.shifts
            shifts["coordinator"] = shifts.get("coordinator", 0.0) + seconds

    def lateness(self) -> float:
        """A timer comes late."""
        draw = self.simulator.random
        if self.healed or not self.plan.tardy or draw.random() >= self.plan.tardy:
            return 0.0
        self.count("timer late")
        return draw.random() * TARDY_S

    # -- jobs and their files ---------------------------------------------------------------------------------------

    def raises(self, where: str, values: dict[str, Any], step: int) -> str | None:
        """User code raises now and then, and now and then a checkpoint cannot be written."""
        likely = {"train": self.plan.raises, "save": self.plan.unwritten}.get(where, 0.0)
        if self.healed or not likely or self.simulator.random.random() >= likely:
            return None
        self.count("job raises" if where == "train" else "checkpoint not written")
        return RAISED if where == "train" else UNWRITTEN

    def heard(self, report: Report) -> Sequence[float]:
        """A job's report is heard late, or twice; or says what is no number."""
        if isinstance(report, Reached) and not all(map(math.isfinite, (report.metrics or {}).values())):
            self.count("metrics no number")
        if self.healed:
            return (0.0,)
        draw = self.simulator.random
        late, twice = draw.random() < self.plan.late, draw.random() < self.plan.twice
        self.faults.happened["report late"] += late
        self.faults.happened["report twice"] += twice
        return [draw.random() * LATE_S if late else 0.0] * (1 + twice)

    def hang(self, fault: Fault) -> bool:
        """A job never returns, until somebody kills its process."""
        trainer = chosen(self.cluster.busy(), fault)
        jobs = self.simulator.hosts[trainer].jobs if trainer is not None else None
        if trainer is None or not isinstance(jobs, SimulatedJobs) or not jobs.hang():
            return False
        self.simulator.later(fault.size, partial(self.end_hung, trainer))
        return True

    def end_hung(self, trainer: str) -> None:
        """Somebody kills a trainer whose job hangs."""
        host = self.simulator.hosts.get(trainer)
        if host is not None and isinstance(host.jobs, SimulatedJobs) and host.jobs.hung:
            self.cluster.kill_trainer(trainer)

    def slow_down(self, fault: Fault) -> bool:
        """A job trains slowly for a while."""
        trainer = chosen(self.cluster.busy(), fault)
        jobs = self.simulator.hosts[trainer].jobs if trainer is not None else None
        if trainer is None or not isinstance(jobs, SimulatedJobs) or not jobs.slow_down(SLOW):
            return False
        self.simulator.later(fault.size, partial(self.speed_up, trainer))
        return True

    def speed_up(self, trainer: str) -> None:
        """A trainer's job is as fast as it should be."""
        host = self.simulator.hosts.get(trainer)
        if host is not None and isinstance(host.jobs, SimulatedJobs):
            host.jobs.slow_down(1.0)

    def damage(self, fault: Fault) -> bool:
        """A file that a record names cannot be read any more."""
        damaged = self.cluster.world.damaged
        files = [r.checkpoint.name for r in self.store.scan(StandingRecord) if r.checkpoint is not None]
        name = chosen([name for name in files if name not in damaged], fault)
        if name is not None:
            damaged[name] = UNREADABLE[fault.kind]
        return name is not None


def chosen(those: Sequence[T], fault: Fault) -> T | None:
    """On whom a fault falls; None if nobody is there."""
    return those[int(fault.whom * len(those))] if those else None
