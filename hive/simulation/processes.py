"""Processes that simulate beside each other, and are ended when nobody waits for them any more.

    with processes(2) as pool:
        pool.submit(...)

It must not know what they simulate.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children
from multiprocessing.context import BaseContext

__all__ = ["processes"]


@contextmanager
def processes(count: int, context: BaseContext | None = None) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes. After Ctrl-C, or any other error, they are ended: what they do may take minutes more.

    Args:
        count: how many, >= 1.
        context: how they are started; None for Python's usual way.
    """
    before = set(active_children())
    ignore = (signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to them, too
    with ProcessPoolExecutor(count, context, initializer=signal.signal, initargs=ignore) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in set(active_children()) - before:
                child.terminate()
            raise
