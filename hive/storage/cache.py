"""A cache of files on this machine's disk, shared by all its processes, within a number of bytes.

What was not used for longest goes first. The time of a file's last use is its modification time, so that nothing needs
to be remembered, and a process that was killed leaves nothing to be mended but a draft. It must not know where the
files come from.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["Cache"]

FRESH_S = 60.0
"""A file used within so many seconds stays: somebody may be about to open it."""

ABANDONED_S = 3600.0
"""A draft that nobody has written to for so long is a killed process's."""

DRAFT = ".draft"


class Cache:
    """The files below a folder.

    Args:
        folder: the folder; made when something is put into it.
        bytes_max: bytes that the files may take, save those just used.
        clock: Unix time in seconds.
    """

    def __init__(self, folder: Path, bytes_max: int, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.bytes_max = bytes_max
        self.clock = clock

    def use(self, path: Path) -> bool:
        """Whether a file is there; if it is, that counts as a use."""
        try:
            os.utime(path, (self.clock(), self.clock()))
        except FileNotFoundError:
            return False
        return True

    @contextlib.contextmanager
    def filling(self, path: Path) -> Iterator[Path]:
        """A draft to write to, which becomes the file at the end, whole; nothing is left of it after an error."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=DRAFT, dir=path.parent)
        os.close(handle)
        draft = Path(name)
        try:
            yield draft
            draft.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
        self.added(path)

    def added(self, path: Path) -> None:
        """A file was put there: count that as a use, and make room."""
        self.use(path)
        files = sorted(self.files(), key=lambda known: known[0])
        total = sum(size for _, size, _ in files)
        for used_at, size, old in files:
            if total <= self.bytes_max or self.clock() - used_at < FRESH_S:
                return
            with contextlib.suppress(OSError):
                old.unlink()
            total -= size

    def files(self) -> Iterator[tuple[float, int, Path]]:
        """When each file was used last, its bytes, its path. Abandoned drafts are removed."""
        for path in self.folder.rglob("*"):
            with contextlib.suppress(OSError):
                found = path.stat()
                if path.is_dir():
                    continue
                if path.name.endswith(DRAFT) and self.clock() - found.st_mtime > ABANDONED_S:
                    path.unlink()
                    continue
                yield found.st_mtime, found.st_size, path
