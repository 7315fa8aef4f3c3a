"""Carries a fault plan out on a simulated root, and heals it.

It decides on whom a fault falls, of those that are there at that moment, and counts it where it really happened. It
must not know what is asked, or what must hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, Protocol, TypeVar

from hive.actors.actor import Called, Leave, Received
from hive.actors.faults import Fault, FaultPlan, Faults, FaultyStore, beneath
from hive.actors.messages import StudyCommand
from hive.simulation.clients import Cluster
from hive.simulation.jobs import SimulatedJobs
from hive.storage.records import StandingRecord

__all__ = ["RAISED", "UNREADABLE", "Killable", "Trouble"]

RAISED = "Boom"
"""What user code says when it raises."""

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
            "script killed": self.kill_script,
            "study paused": self.pause_study,
            "commit failed": self.fail_commit,
            "commit in doubt": self.fail_commit,
            "cut": self.cut,
            "pause": self.pause,
            "clock jump": self.jump,
            "job hangs": self.hang,
            "checkpoint torn": self.damage,
            "checkpoint missing": self.damage,
        }

    def begin(self) -> None:
        """Let everything go wrong at its time."""
        self.simulator.on_crash = self.crashed
        self.store.failed = self.count
        world = self.cluster.world
        if self.plan.raises:
            world.raises = self.raises
        if self.plan.late or self.plan.twice:
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
        for trainer in self.cluster.trainers():
            self.end_hung(trainer)
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
        self.cluster.crashed(name)
        if name in self.cluster.nodes:
            self.simulator.later(1.0, partial(self.come_back, name))

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
        self.store.fails = fault.kind
        return False

    def cut(self, fault: Fault) -> bool:
        """What somebody says does not reach the coordinator for a while, or what that says does not reach them."""
        name = chosen(sorted(self.simulator.hosts.keys() - {"coordinator"}), fault)
        if name is not None:
            ways = ((name, "coordinator"), ("coordinator", name))
            self.faults.cut(*ways[int(fault.size * 1000) % 2], self.simulator.now + fault.size)
        return False

    def jump(self, fault: Fault) -> bool:
        """The coordinator's clock is set: nobody else's actor looks at one."""
        seconds = -fault.size if fault.whom < 0.5 else JUMP_FORWARD * fault.size
        self.faults.jump(self.simulator, "coordinator", seconds)
        return False

    # -- jobs and their files ---------------------------------------------------------------------------------------

    def raises(self, where: str, values: dict[str, Any], step: int) -> str | None:
        """User code raises now and then."""
        if self.healed or where != "train" or self.simulator.random.random() >= self.plan.raises:
            return None
        self.count("job raises")
        return RAISED

    def heard(self) -> Sequence[float]:
        """A job's report is heard late, or twice."""
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
