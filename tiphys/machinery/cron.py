"""Schedules in cron's five fields, as Kubernetes reads them, with its messages.

``parse(text)`` gives a ``Schedule``; ``Schedule.next(after, zone)`` the next
instant. Instants that a change of clocks skips do not happen; those that it
repeats happen twice.
Source: Kubernetes docs, "CronJob", "Schedule syntax"; robfig/cron v3, package documentation, by behaviour.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from tiphys.machinery import times

#: An instant that does not come within so many years never comes.
YEARS_AHEAD: Final = 5

_MONTHS: Final = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS: Final = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


@dataclass(frozen=True, slots=True)
class _Bounds:
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        if text.lower() in self.names:
            return self.names.index(text.lower()) + self.low
        return _number(text)


_FIELDS: Final = (
    _Bounds(0, 59),
    _Bounds(0, 23),
    _Bounds(1, 31),
    _Bounds(1, 12, tuple(_MONTHS)),
    _Bounds(0, 6, tuple(_DAYS)),
)
_DESCRIPTORS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """Either five sets, or ``every`` so many seconds."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    #: Whether one of the day fields says ``*``: then both must match, else either.
    any_day: bool = True
    every: float = 0.0

    def next(self, after: datetime, zone: tzinfo = UTC) -> datetime | None:
        """The first instant later than ``after``, in UTC; None if none comes within five years."""
        if self.every:
            return after.replace(microsecond=0) + timedelta(seconds=self.every)
        instant = after.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        limit = instant.year + YEARS_AHEAD
        while instant.year <= limit:
            local = instant.astimezone(zone)
            if not self._matches_day(local.date()):
                instant = _midnight(self._next_day(local.date()), zone, instant)
            elif local.hour not in self.hours:
                instant += timedelta(minutes=60 - local.minute)
            elif local.minute not in self.minutes:
                later = min((m for m in self.minutes if m > local.minute), default=60)
                instant += timedelta(minutes=later - local.minute)
            else:
                return instant
        return None

    def _matches_day(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_date, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (by_date and by_weekday) if self.any_day else (by_date or by_weekday)

    def _next_day(self, day: date) -> date:
        if day.month in self.months:
            return day + timedelta(days=1)
        return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _midnight(day: date, zone: tzinfo, after: datetime) -> datetime:
    start = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    # Where a change of clocks moves midnight back, time still goes on.
    return max(start, after + timedelta(minutes=1))


def parse(text: str) -> Schedule:
    """Raises ValueError, in the words that users of Kubernetes see."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith("@"):
        return _described(text)
    words = text.split()
    if len(words) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(words)}: [{' '.join(words)}]")
    sets = [_field(word, bounds) for word, bounds in zip(words, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = (members for members, _ in sets)
    return Schedule(minutes, hours, days, months, weekdays, any_day=sets[2][1] or sets[4][1])


def _described(text: str) -> Schedule:
    if text in _DESCRIPTORS:
        return parse(_DESCRIPTORS[text])
    if text.startswith("@every "):
        duration = text.removeprefix("@every ")
        try:
            seconds = times.parse_duration(duration)
        except ValueError as error:
            raise ValueError(f"failed to parse duration {text}: {error}") from error
        return Schedule(every=float(max(1, int(seconds))))
    raise ValueError(f"unrecognized descriptor: {text}")


def _field(text: str, bounds: _Bounds) -> tuple[frozenset[int], bool]:
    """The members, and whether the field leaves everything open."""
    members: set[int] = set()
    is_open = False
    for part in text.split(","):
        # Empty parts of a list are passed over.
        if part:
            found, part_open = _range(part, bounds)
            members |= found
            is_open |= part_open
    return frozenset(members), is_open


def _range(text: str, bounds: _Bounds) -> tuple[set[int], bool]:
    parts = text.split("/")
    ends = parts[0].split("-")
    is_open = ends[0] in ("*", "?")
    if is_open:
        low, high = bounds.low, bounds.high
    else:
        low = bounds.number(ends[0])
        if len(ends) > 2:
            raise ValueError(f"too many hyphens: {text}")
        high = bounds.number(ends[1]) if len(ends) == 2 else low
    step = 1
    if len(parts) > 2:
        raise ValueError(f"too many slashes: {text}")
    if len(parts) == 2:
        step = _number(parts[1])
        if len(ends) == 1 and not is_open:
            high = bounds.high
        # ``*/2`` says something about the day, ``*`` does not.
        is_open = is_open and step <= 1
    if low < bounds.low:
        raise ValueError(f"beginning of range ({low}) below minimum ({bounds.low}): {text}")
    if high > bounds.high:
        raise ValueError(f"end of range ({high}) above maximum ({bounds.high}): {text}")
    if low > high:
        raise ValueError(f"beginning of range ({low}) beyond end of range ({high}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return set(range(low, high + 1, step)), is_open


def _number(text: str) -> int:
    digits = text[1:] if text[:1] in "+-" else text
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    value = int(text)
    if value < 0:
        raise ValueError(f"negative number ({value}) not allowed: {text}")
    return value
