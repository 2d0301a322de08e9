"""Containers whose spawner was killed: they run on, and nobody is their parent who would learn of their end.

The kernel tells of the end of any process through a pidfd, though not of its
exit code.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress


class Orphans:
    """Calls ``ended`` with the name of each watched process that has ended. Belongs to the running loop."""

    def __init__(self, ended: Callable[[str], None]) -> None:
        self._ended = ended
        self._watched: dict[str, int] = {}

    def watch(self, name: str, pid: int) -> bool:
        """Whether the process is still there to be watched."""
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        self._watched[name] = handle
        asyncio.get_running_loop().add_reader(handle, self._tell, name)
        return True

    def signal(self, name: str, number: int) -> bool:
        """Whether it is watched, and so could be signalled."""
        if (handle := self._watched.get(name)) is None:
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
        return True

    def _tell(self, name: str) -> None:
        self._forget(name)
        self._ended(name)

    def _forget(self, name: str) -> None:
        handle = self._watched.pop(name)
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)

    def close(self) -> None:
        for name in list(self._watched):
            self._forget(name)
