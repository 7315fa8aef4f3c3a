"""Machines for tests: each a network namespace with an address of its own, on one switch, and a mount namespace with a
disk of its own.

The disk is mounted at one path on all of them, so what works only because a file of another machine lies there does not
work here. The installed software is what they share. It takes root and Debian's iproute2 and util-linux; where these
are missing, nothing is left behind and `MachinesMissing` says what.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.live.commands import Command, wait_until

__all__ = ["Machine", "MachinesMissing", "Switch"]

SETTLE_S = 10.0


class MachinesMissing(Exception):  # noqa: N818  (it is no error: the system is another one)
    """This system makes no namespaces."""


def call(*words: str | Path) -> None:
    """Run a command of the system.

    Raises:
        MachinesMissing: it fails.
    """
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise MachinesMissing(f"{' '.join(map(str, words))}: {done.stderr.strip()}")


class Namespace:
    """A network and a mount namespace, held by a process that sleeps."""

    def __init__(self) -> None:
        for tool in ("unshare", "nsenter", "ip"):
            if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
                raise MachinesMissing(f"there is no {tool} here")
        command = ["unshare", "--net", "--mount", "--propagation", "private", "sleep", "infinity"]
        self.holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        own = os.readlink("/proc/self/ns/net")
        with contextlib.suppress(FileNotFoundError):
            wait_until(
                lambda: self.holder.poll() is not None or os.readlink(f"/proc/{self.holder.pid}/ns/net") != own,
                "a namespace",
                SETTLE_S,
            )
        if self.holder.poll() is not None:
            raise MachinesMissing("unshare may not make namespaces here")
        self.call("ip", "link", "set", "lo", "up")

    @property
    def enter(self) -> tuple[str, ...]:
        """What a command begins with that runs inside."""
        return ("nsenter", "-t", str(self.holder.pid), "--net", "--mount", "--")

    def call(self, *words: str | Path) -> None:
        """Run a command of the system inside."""
        call(*self.enter, *words)

    def close(self) -> None:
        """Let go of it."""
        self.holder.kill()
        self.holder.wait()


class Machine(Namespace):
    """One machine.

    Attributes:
        address: its address on the switch.
        disk: where its disk is mounted, the same for all.
    """

    def __init__(self, address: str, disk: Path) -> None:
        super().__init__()
        self.address, self.disk = address, disk
        self.call("mount", "-t", "tmpfs", "none", disk)

    def path(self, name: str) -> Path:
        """A path on its disk, as this process reaches it."""
        return Path(f"/proc/{self.holder.pid}/root{self.disk}") / name

    def write(self, name: str, text: str) -> None:
        """Put a file on its disk."""
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text, encoding="utf-8")

    def size(self, name: str) -> int:
        """Bytes of a file on its disk; 0 if there is none."""
        return self.path(name).stat().st_size if self.path(name).exists() else 0

    def program(self, *words: str) -> tuple[str, ...]:
        """A command line that runs here, in the machine's disk; it sees nothing of other folders of this test."""
        return (*self.enter, "env", "-C", str(self.disk), f"TMPDIR={self.disk}", f"HOME={self.disk}", *words)


class Switch:
    """The machines of a test, on one network.

    Args:
        folder: of the test; the disks are mounted in it.
        names: of the machines.
    """

    def __init__(self, folder: Path, *names: str) -> None:
        self.spaces: list[Namespace] = []
        self.machines: dict[str, Machine] = {}
        self.disk = folder / "disk"
        self.disk.mkdir()
        try:
            self.hub = Namespace()
            self.spaces.append(self.hub)
            self.hub.call("ip", "link", "add", "switch", "type", "bridge")
            self.hub.call("ip", "link", "set", "switch", "up")
            for number, name in enumerate(names, 1):
                self.plug_in(name, number)
        except BaseException:
            self.close()
            raise

    def plug_in(self, name: str, number: int) -> None:
        """Add a machine."""
        machine = self.machines[name] = Machine(f"10.77.0.{number}", self.disk)
        self.spaces.append(machine)
        link = ("type", "veth", "peer", "name", "eth0", "netns", str(machine.holder.pid))
        self.hub.call("ip", "link", "add", name, *link)
        self.hub.call("ip", "link", "set", name, "master", "switch", "up")
        machine.call("ip", "address", "add", f"{machine.address}/24", "dev", "eth0")
        machine.call("ip", "link", "set", "eth0", "up")

    def unplug(self, name: str) -> None:
        """Nothing goes to a machine, and nothing comes from it."""
        self.hub.call("ip", "link", "set", name, "down")

    def plug(self, name: str) -> None:
        """It is back."""
        self.hub.call("ip", "link", "set", name, "up")

    def close(self) -> None:
        """End all of it."""
        for space in reversed(self.spaces):
            space.close()


@contextlib.contextmanager
def store(machine: Machine, folder: Path) -> Iterator[str]:
    """An S3 server with a bucket on a machine: its address."""
    url = f"http://{machine.address}:9000"
    server = Command(
        [*machine.program(sys.executable, "-m", "moto.server"), "-H", machine.address, "-p", "9000"], folder
    )
    try:
        made = "import s3fs; s3fs.S3FileSystem().mkdir('bucket')"
        wait_until(lambda: Command([*machine.program(sys.executable, "-c", made)], folder).wait().code == 0, "a bucket")
        yield url
    finally:
        server.signal(signal.SIGKILL)
        server.end()
