"""The audit log as a file of JSON lines that is turned over by size and age.

Kept files are named as kube-apiserver names them: ``audit-2026-01-02T03-04-05.678.log``,
with ``.gz`` behind it if compressed.
"""

import asyncio
import gzip
import logging
import os
import shutil
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

from tiphys.base.clock import Clock

log = logging.getLogger(__name__)

STAMP: Final = "%Y-%m-%dT%H-%M-%S.%f"
MEGABYTE: Final = 1024 * 1024
#: As kube-apiserver's, where no size is given.
SIZE_MAX: Final = 100


class LogFile:
    """Lines to a file that only its owner reads (0600); ``-`` is standard output. Raises OSError when made."""

    def __init__(
        self,
        path: str,
        clock: Clock,
        *,
        size_megabytes_max: int = 0,
        backups_max: int = 0,
        age_days_max: int = 0,
        compress: bool = False,
    ) -> None:
        self._path = Path(path)
        self._clock = clock
        self._bytes_max = (size_megabytes_max or SIZE_MAX) * MEGABYTE
        self._backups_max = backups_max
        self._age_days_max = age_days_max
        self._compress = compress
        self._standard = path == "-"
        self._tasks: set[asyncio.Task[None]] = set()
        self._file = self._opened()

    def _opened(self) -> BinaryIO:
        if self._standard:
            return sys.stdout.buffer
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._size = os.fstat(descriptor).st_size
        return open(descriptor, "ab", buffering=0)  # kept until the file is turned over

    def write(self, data: bytes) -> None:
        """Whole lines. Raises OSError."""
        if self._standard:
            self._file.write(data)
            self._file.flush()
            return
        if self._size and self._size + len(data) > self._bytes_max:
            try:
                self._turn_over()
            except OSError as problem:
                # A log that grows is better than events that are lost.
                log.warning("the audit log could not be turned over", exc_info=problem)
        self._file.write(data)
        self._size += len(data)

    def _turn_over(self) -> None:
        stamp = self._clock.now().strftime(STAMP)[:-3]
        kept = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
        self._path.rename(kept)
        # The old file is written to until there is a new one.
        before, self._file = self._file, self._opened()
        before.close()
        # Compressing takes a while and must hold nobody up.
        task = asyncio.create_task(asyncio.to_thread(self._tidy), name="audit-log-tidy")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tidy(self) -> None:
        """Compress what was turned over, remove what is too old or too much."""
        try:
            kept = self._kept()
            for path in self._superfluous(kept):
                path.unlink(missing_ok=True)
                kept.remove(path)
            if self._compress:
                for path in kept:
                    if path.suffix != ".gz":
                        _compress(path)
        except OSError as problem:
            log.warning("old audit logs could not be tidied up", exc_info=problem)

    def _kept(self) -> list[Path]:
        """Files that were turned over, newest first."""
        found = [path for path in self._path.parent.glob(f"{self._path.stem}-*") if self._stamp(path) is not None]
        return sorted(found, key=lambda path: path.name, reverse=True)

    def _stamp(self, path: Path) -> datetime | None:
        name = path.name.removesuffix(".gz")
        middle = name.removeprefix(f"{self._path.stem}-").removesuffix(self._path.suffix)
        try:
            return datetime.strptime(middle, STAMP).replace(tzinfo=self._clock.now().tzinfo)
        except ValueError:
            return None

    def _superfluous(self, kept: list[Path]) -> list[Path]:
        found = kept[self._backups_max :] if self._backups_max else []
        if self._age_days_max:
            oldest = self._clock.now() - timedelta(days=self._age_days_max)
            found += [path for path in kept if (self._stamp(path) or oldest) < oldest and path not in found]
        return found

    async def close(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._standard:
            self._file.close()


def _compress(path: Path) -> None:
    packed = path.with_name(path.name + ".gz")
    descriptor = os.open(packed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with path.open("rb") as source, open(descriptor, "wb") as target, gzip.GzipFile(fileobj=target, mode="wb") as out:
        shutil.copyfileobj(source, out)
    path.unlink()
