"""The writer: a thread that digests and writes snapshots beside training, and passes on what must stay in order with
them.

Whatever is handed in is dealt with in that order, so a report that is enqueued after a checkpoint leaves after that
checkpoint's file is durable. It must not know what a stage or a trainer is.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

__all__ = ["Writer"]


class Writer:
    """Runs jobs one after another in a thread of its own, started at the first job.

    A job is a callable without arguments that raises nothing. The queue needs no limit: a checkpoint's job holds one
    of the pool's few snapshots, and taking a snapshot waits.
    """

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None

    def put(self, job: Callable[[], None]) -> None:
        """Enqueue a job; never waits."""
        if self.thread is None:
            self.thread = threading.Thread(target=self.work, name="hive-writer", daemon=True)
            self.thread.start()
        self.jobs.put(job)

    def close(self) -> None:
        """Wait until all jobs are done, and end the thread."""
        if self.thread is not None:
            self.jobs.put(None)
            self.thread.join()
            self.thread = None

    def work(self) -> None:
        """The thread's loop."""
        while (job := self.jobs.get()) is not None:
            job()
