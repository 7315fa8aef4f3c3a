"""The daemons from bin/ with the files of conf/, for tests that run several scripts on one coordinator."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from tests.live.commands import Command
from tests.live.conftest import Start
from tests.live.studies import edited

__all__ = ["CHECKOUT", "Daemons", "ended"]

CHECKOUT = Path(__file__).parents[2]


class Daemons:
    """A coordinator and a worker, not started yet, with the shipped configuration but for address, root and devices.

    Attributes:
        url: where the coordinator listens.
        running: for those who start them to keep.
    """

    def __init__(self, start: Start, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.start, self.folder = start, folder
        self.running: list[Command] = []
        changes = [("tcp://127.0.0.1:7077", self.url), ('".hive', f'"{folder}/cluster')]
        for name in ("coordinator.toml", "worker.toml"):
            text = (
                (CHECKOUT / "conf" / name).read_text(encoding="utf-8").replace('devices = "cpu"', 'devices = "cpu,cpu"')
            )
            for old, new in changes:
                text = text.replace(old, new)
            (folder / name).write_text(text, encoding="utf-8")

    def configure(self, name: str, *changes: tuple[str, str]) -> None:
        """Replace pieces of the file of one of the two, each of which stands there once."""
        path = self.folder / f"{name}.toml"
        path.write_text(edited(path.read_text(encoding="utf-8"), *changes), encoding="utf-8")

    def daemon(self, name: str) -> Command:
        """Start one of the two."""
        return self.start("--config", self.folder / f"{name}.toml", program=(str(CHECKOUT / "bin" / f"hive-{name}"),))


def ended(daemon: Command) -> None:
    """Ask a daemon to end, as a service manager does; it does so without complaint."""
    daemon.signal(signal.SIGTERM)
    assert daemon.wait().code == 0, daemon.err
    assert "Traceback" not in daemon.err
