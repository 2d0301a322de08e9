"""Waiting for a directory's files to change, through the kernel's inotify."""

import asyncio
import os
from pathlib import Path

from pyroute2.inotify import inotify_fd

IN_MODIFY = 0x2
IN_CLOSE_WRITE = 0x8
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE_SELF = 0x400
_MASK = IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF


class DirectoryWatch:
    """From its creation on, ``changed`` returns once something in the directory has changed since the last time.

    ``poke`` wakes it for a reason of the caller's.
    """

    def __init__(self, directory: Path) -> None:
        # Given the C library, as looking for it would start processes.
        self._inotify = inotify_fd.Inotify(libc=inotify_fd.ctypes.CDLL(None, use_errno=True), path=[])
        self._inotify.bind()
        self._inotify.register_path(str(directory), _MASK)
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        os.set_blocking(self._inotify.fd, False)
        self._loop.add_reader(self._inotify.fd, self._readable)

    async def changed(self) -> None:
        await self._event.wait()
        self._event.clear()

    def poke(self) -> None:
        self._event.set()

    def close(self) -> None:
        self._loop.remove_reader(self._inotify.fd)
        self._inotify.close()

    def _readable(self) -> None:
        try:
            os.read(self._inotify.fd, 65536)
        except BlockingIOError:
            return
        self._event.set()
