"""Log files in CRI's format: reading them as the API asks, and following them without polling.

A line is ``<RFC 3339 time> <stdout|stderr> <tag> <text>``; the tag ``P`` marks a piece of a longer line.
Source: the CRI's logging design; API reference, "read log of the specified Pod".
"""

import os
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from tiphys.kubelet.inotify import DirectoryWatch
from tiphys.machinery import times

BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class LogOptions:
    """As ``PodLogOptions``; None where there is no limit."""

    follow: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """``text`` ends in a newline unless it is a piece."""

    stamp: bytes
    stream: bytes
    text: bytes
    piece: bool


def parse_line(line: bytes) -> LogLine | None:
    """None for what is no log line."""
    parts = line.split(b" ", 3)
    if len(parts) < 4 or parts[1] not in (b"stdout", b"stderr"):
        return None
    piece = parts[2].split(b":")[0] == b"P"
    text = parts[3].removesuffix(b"\n") if piece else parts[3]
    return LogLine(parts[0], parts[1], text, piece)


def tail_offset(file: BinaryIO, lines: int) -> int:
    """Where the last ``lines`` lines of the file begin."""
    position = file.seek(0, os.SEEK_END)
    if lines <= 0:
        return position
    # A line break at the very end ends the last line; it does not begin another.
    wanted = lines + 1
    while position > 0:
        size = min(BLOCK_BYTES, position)
        position -= size
        file.seek(position)
        block = file.read(size)
        end = len(block)
        while (found := block.rfind(b"\n", 0, end)) >= 0:
            wanted -= 1
            if wanted == 0:
                return position + found + 1
            end = found
    return 0


class LogReader:
    """Turns lines of a log file into what the API answers; ``take`` gives bytes, ``full`` says when it is enough."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._left = options.limit_bytes
        self._rest = b""
        self._within_line = False
        self._since = options.since.timestamp() if options.since else None

    @property
    def full(self) -> bool:
        return self._left is not None and self._left <= 0

    def take(self, data: bytes) -> bytes:
        """The answer's bytes for the file's next ``data``, which may end within a line."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        out: list[bytes] = []
        for line in lines:
            out.append(self._one(line + b"\n"))
            if self.full:
                break
        return b"".join(out)

    def _one(self, raw: bytes) -> bytes:
        line = parse_line(raw)
        if line is None or (self._since is not None and self._too_old(line.stamp)):
            return b""
        text = line.text
        if self._options.timestamps and not self._within_line:
            text = line.stamp + b" " + text
        self._within_line = line.piece
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
        return text

    def _too_old(self, stamp: bytes) -> bool:
        assert self._since is not None
        try:
            return times.parse(stamp.decode()).timestamp() < self._since
        except ValueError:
            return False


async def read_log(
    path: Path, options: LogOptions, running: Callable[[], bool], listeners: set[Callable[[], None]]
) -> AsyncGenerator[bytes, None]:
    """The log as the API answers it. With ``follow`` until the container has ended and all is read.

    ``running`` says whether more can come; what is in ``listeners`` is called when its answer may have changed.
    Raises OSError if there is no log.
    """
    reader = LogReader(options)
    file: BinaryIO = path.open("rb")
    watch: DirectoryWatch | None = None
    try:
        if options.follow:
            watch = DirectoryWatch(path.parent)
            listeners.add(watch.poke)
        if options.tail_lines is not None:
            file.seek(tail_offset(file, options.tail_lines))
        while not reader.full:
            more = running()
            data = file.read(BLOCK_BYTES)
            if data:
                if answer := reader.take(data):
                    yield answer
                continue
            if fresh := _rotated(path, file):
                file.close()
                file = fresh
                continue
            if watch is None or not more:
                return
            await watch.changed()
    finally:
        file.close()
        if watch is not None:
            listeners.discard(watch.poke)
            watch.close()


def _rotated(path: Path, file: BinaryIO) -> BinaryIO | None:
    """The file that has taken the place of ``file``, if one has."""
    try:
        current = path.stat()
    except FileNotFoundError:
        return None
    return path.open("rb") if current.st_ino != os.fstat(file.fileno()).st_ino else None
