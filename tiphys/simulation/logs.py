"""What a simulated container has written: computed when somebody asks. Pure.

Source: API reference, "read log of the specified Pod".
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from tiphys.machinery import times
from tiphys.simulation.behaviour import Behaviour

#: Of what is written again and again, only the newest is kept, as a node rotates its logs.
REPEATS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Options:
    """As ``PodLogOptions``; None where there is no limit."""

    tail_lines: int | None = None
    since: float | None = None
    timestamps: bool = False
    limit_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    at: float
    text: str

    def rendered(self, timestamps: bool) -> bytes:
        stamp = f"{times.format_micro(datetime.fromtimestamp(self.at, UTC))} " if timestamps else ""
        return f"{stamp}{self.text}\n".encode()


def lines(behaviour: Behaviour, started: float, after: float, until: float) -> Iterator[Line]:
    """What is written later than ``after`` and not later than ``until``; times are seconds since 1970."""
    every = behaviour.log_every_seconds
    texts = behaviour.log.splitlines()
    first = 0 if after < started else 1
    last = 0 if math.isinf(every) else int((until - started) / every)
    if not math.isinf(every) and first:
        first = int((after - started) / every) + 1
    for turn in range(max(first, last - REPEATS_MAX), last + 1):
        at = started if turn == 0 else started + turn * every
        if after < at <= until:
            yield from (Line(at, text) for text in texts)


def rendered(found: list[Line], options: Options) -> bytes:
    if options.since is not None:
        found = [line for line in found if line.at >= options.since]
    if options.tail_lines is not None:
        found = found[-options.tail_lines :] if options.tail_lines else []
    data = b"".join(line.rendered(options.timestamps) for line in found)
    return data if options.limit_bytes is None else data[: options.limit_bytes]
