"""Follows the files that configure who may do what, and puts what they say into effect.

A file that cannot be used changes nothing: the server goes on with what it had,
and its log says why.
Source: Kubernetes docs, "Authenticating" and "Authorization", reloading of configuration files.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from tiphys.base.clock import Clock

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0


class Watched:
    """One file and what is to be done when it has changed."""

    def __init__(self, path: str, changed: Callable[[], Awaitable[None]]) -> None:
        self._path = Path(path)
        self._changed = changed
        self._content = self._read()

    async def look(self) -> None:
        content = self._read()
        if content is None or content == self._content:
            return
        self._content = content
        try:
            await self._changed()
            log.info("a configuration file has changed and is in effect", extra={"path": str(self._path)})
        except (OSError, ValueError) as problem:
            log.error(
                "a configuration file has changed and cannot be used",
                extra={"path": str(self._path), "problem": str(problem)},
            )
        except Exception:
            # The other files are followed all the same, and this one when it is mended.
            log.exception("a configuration file has changed and cannot be used", extra={"path": str(self._path)})

    def _read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except OSError:
            return None


async def follow(files: Sequence[Watched], clock: Clock) -> None:
    """Look at the files for ever."""
    while True:
        await clock.sleep(LOOK_SECONDS)
        for file in files:
            await file.look()
