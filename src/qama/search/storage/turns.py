"""Whose turn it is to change something, among the threads of a process."""

from __future__ import annotations

import os
import threading
from types import TracebackType


class WriterLock:
    """A lock that a thread may take twice, and that a fork does not inherit.

    A process that is forked while a thread changes an index gets a copy of the lock as it was, held
    by a thread that it does not have. What the lock protects is whole at every moment, so that the
    copy may start with a lock of its own.
    """

    def __init__(self) -> None:
        self._renew()

    def __enter__(self) -> None:
        if self._process != os.getpid():
            self._renew()
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def _renew(self) -> None:
        self._lock, self._process = threading.RLock(), os.getpid()
