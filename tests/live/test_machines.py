"""Several machines that share nothing but a network: checkpoints in an S3 store, code at different paths, machines that
die or are cut off, and one that was set up wrongly."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.commands import HIVE, Command, read_json, wait_until
from tests.live.conftest import Start
from tests.live.daemons import CHECKOUT
from tests.live.machines import Machine, MachinesMissing, Switch, store
from tests.live.results import found, repeated_steps
from tests.live.studies import SLOW

LEASE_S = 3.0
PORT = 7077


class Cluster:
    """A coordinator on `head`, an S3 store on `store`, workers on `box1` and `box2`, and somebody at `desk`."""

    def __init__(self, start: Start, folder: Path, switch: Switch, s3: str, environment: pytest.MonkeyPatch) -> None:
        self.start, self.folder, self.switch = start, folder, switch
        self.head, self.desk = switch.machines["head"], switch.machines["desk"]
        self.boxes = [switch.machines["box1"], switch.machines["box2"]]
        self.url = f"tcp://{self.head.address}:{PORT}"
        environment.setenv("AWS_ENDPOINT_URL", s3)
        made = start("keys", folder / "keys", "box1", "box2", "desk").wait()
        assert made.code == 0, made.err
        self.give(self.head, "coordinator")
        self.give(self.desk, "desk")
        self.desk.write("home/study.py", SLOW)
        for name, box in zip(("box1", "box2"), self.boxes, strict=True):
            self.give(box, name)
            box.write("code/study.py", SLOW)
            box.write("home/here", "")

    def give(self, machine: Machine, name: str) -> None:
        """Copy a folder of keys to a machine."""
        for file in (self.folder / "keys" / name).rglob("*"):
            if file.is_file():
                machine.write(f"keys/{file.relative_to(self.folder / 'keys' / name)}", file.read_text())

    def coordinator(self, checkpoint_url: str = "s3://bucket/hive") -> Command:
        """Start it."""
        keys = f'keys = "{self.switch.disk}/keys"\n'
        text = f'root = "root"\nlisten = "{self.url}"\nlease_s = {LEASE_S}\n{keys}checkpoint_url = "{checkpoint_url}"\n'
        self.head.write("coordinator.toml", text)
        daemon = self.head.program(str(CHECKOUT / "bin" / "hive-coordinator"))
        return self.start("--config", self.switch.disk / "coordinator.toml", program=daemon)

    def worker(self, name: str) -> Command:
        """Start the worker of a box. Its code lies elsewhere than on the desk."""
        box = self.switch.machines[name]
        keys = f'keys = "{self.switch.disk}/keys"\n'
        box.write("worker.toml", f'connect = "{self.url}"\nnode = "{name}"\n{keys}logs = "logs"\ncode = "code"\n')
        daemon = box.program(str(CHECKOUT / "bin" / "hive-worker"))
        return self.start("--config", self.switch.disk / "worker.toml", program=daemon)

    def run(self) -> Command:
        """Start the study at the desk."""
        words = ("run", "home/study.py", "--url", self.url, "--keys", "keys", "--json", "summary.json")
        return self.start(*words, program=self.desk.program(*HIVE))

    def summary(self) -> dict[str, Any]:
        """What the run wrote."""
        return read_json(self.desk.path("summary.json"))

    def steps(self) -> list[int]:
        """The steps that each box has trained."""
        return [box.size("home/steps") for box in self.boxes]

    def cached(self, box: Machine) -> set[str]:
        """The checkpoints that a box has copies of."""
        return {path.name for path in box.path(".hive/cache").rglob("*.safetensors")}


@pytest.fixture
def machines(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Five machines of this test's own; no daemon runs yet."""
    for name, value in (("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    try:
        switch = Switch(tmp_path, "head", "store", "box1", "box2", "desk")
    except MachinesMissing as missing:
        pytest.skip(f"no machines can be made here: {missing}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{switch.machines['store'].address}:9000")
    try:
        with store(switch.machines["store"], tmp_path) as s3:
            yield Cluster(start, tmp_path, switch, s3, monkeypatch)
    finally:
        switch.close()


def killed(*commands: Command) -> None:
    for command in commands:
        if command.code is None:
            command.signal(signal.SIGKILL)
        command.wait()


def test_study_trains_on_machines_that_share_nothing_but_a_store(
    machines: Cluster, undisturbed: dict[str, Any]
) -> None:
    daemons = [machines.coordinator(), machines.worker("box1"), machines.worker("box2")]
    run = machines.run().wait()
    assert run.code == 0, run.err
    summary = machines.summary()
    assert found(summary) == found(undisturbed)
    assert summary["steps_run"] == summary["steps_distinct"] == sum(machines.steps())
    assert all(machines.steps()), "both have trained"
    assert not [path for path in machines.head.path("root/checkpoints").rglob("*") if path.is_file()]
    killed(*daemons)


@pytest.mark.parametrize("how", ["killed", "cut off for longer than its lease"])
def test_study_goes_on_from_the_store_when_a_machine_is_lost(
    how: str, machines: Cluster, undisturbed: dict[str, Any]
) -> None:
    daemons = [machines.coordinator(), machines.worker("box1")]
    run = machines.run()
    wait_until(lambda: machines.steps()[0] >= 25, "25 steps")
    if how == "killed":
        daemons.pop().signal(signal.SIGKILL)
        lost = machines.steps()[0]
    else:
        machines.switch.unplug("box1")
    daemons.append(machines.worker("box2"))
    one, other = machines.boxes
    wait_until(
        lambda: machines.cached(one) & machines.cached(other), "the other to start from what the lost one stored"
    )
    machines.switch.plug("box1")
    assert run.wait().code == 0, run.err
    summary = machines.summary()
    assert found(summary) == found(undisturbed)
    repeated = repeated_steps(summary)
    if how == "killed":
        assert sum(machines.steps()) - summary["steps_distinct"] >= repeated
        assert machines.steps()[0] == lost
    killed(*daemons)


def test_machine_that_does_not_see_the_coordinators_folder_says_so_and_trains_nothing(machines: Cluster) -> None:
    daemons = [machines.coordinator(checkpoint_url=""), machines.worker("box1")]
    run = machines.run().wait()
    assert run.code == 1, run.err
    assert "is not there on this machine: set checkpoint_url" in run.out + run.err
    assert machines.steps() == [0, 0]
    assert "set checkpoint_url" in machines.boxes[0].path("logs/box1-0.log").read_text()
    killed(*daemons)
