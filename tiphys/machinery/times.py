"""Instants and durations in the text forms of the API and of kubectl."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from tiphys.api.scalars import MicroTime, Time
from tiphys.machinery.goformat import quote

_INSTANT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def format_time(instant: datetime) -> Time:
    """Whole seconds, cut off, not rounded."""
    return Time(instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0"))


def format_micro(instant: datetime) -> MicroTime:
    return MicroTime(instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0"))


def parse(text: str) -> datetime:
    """The instant of an RFC 3339 text, in UTC; digits beyond microseconds are cut. Raises ValueError."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(_unparsed(text))
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    micro = int((fraction or "0")[:6].ljust(6, "0"))
    try:
        instant = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), micro, UTC)
        if sign:
            offset = timedelta(hours=int(offset_hours), minutes=int(offset_minutes))
            instant = instant - offset if sign == "+" else instant + offset
    except (ValueError, OverflowError) as error:
        raise ValueError(f"parsing time {quote(text)}: {_out_of_range(match)} out of range") from error
    return instant


_ELEMENTS: Final = (
    (r"\d{4}", "2006"),
    ("-", "-"),
    (r"\d\d", "01"),
    ("-", "-"),
    (r"\d\d", "02"),
    ("T", "T"),
    (r"\d\d?", "15"),
    (":", ":"),
    (r"\d\d", "04"),
    (":", ":"),
    (r"\d\d(?:[.,]\d+)?", "05"),
    (r"Z|[+-]\d\d:\d\d", "Z07:00"),
)


def _unparsed(text: str) -> str:
    """Why ``text`` is no instant: the first element that is missing, in Go's words."""
    rest = text
    for pattern, element in _ELEMENTS:
        match = re.match(pattern, rest, re.ASCII)
        if match is None:
            return (
                f'parsing time {quote(text)} as "2006-01-02T15:04:05Z07:00": '
                f"cannot parse {quote(rest)} as {quote(element)}"
            )
        rest = rest[match.end() :]
    return f"parsing time {quote(text)}: extra text: {quote(rest)}"


def _out_of_range(match: re.Match[str]) -> str:
    limits = ((2, 1, 12, "month"), (4, 0, 23, "hour"), (5, 0, 59, "minute"), (6, 0, 59, "second"))
    return next((name for group, low, high, name in limits if not low <= int(match[group]) <= high), "day")


def canonical_time(text: str) -> Time:
    """The instant in the form that ``Time`` has. Raises ValueError."""
    return format_time(parse(text))


def canonical_micro(text: str) -> MicroTime:
    """The instant in the form that ``MicroTime`` has. Raises ValueError."""
    return format_micro(parse(text))


def parse_duration(text: str) -> float:
    """Seconds of ``1h2m3.5s``, ``-1.5h``, ``300ms``. Raises ValueError."""
    body = text[1:] if text[:1] in "+-" else text
    if body == "0":
        return 0.0
    total, position = 0.0, 0
    while position < len(body):
        part = _DURATION_PART.match(body, position)
        if part is None:
            raise ValueError(f'time: invalid duration "{text}"')
        total += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    if not body:
        raise ValueError(f'time: invalid duration "{text}"')
    return -total if text[0] == "-" else total


def format_duration(seconds: float) -> str:
    """A duration as Go prints it: ``1h2m3.5s``, ``300ms``, ``0s``."""
    nano = round(abs(seconds) * 1e9)
    sign = "-" if seconds < 0 and nano else ""
    if nano == 0:
        return "0s"
    for unit, scale in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if nano < scale * 1000:
            return f"{sign}{_decimal(nano, scale)}{unit}"
    minutes, rest = divmod(nano, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, 10**9)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def _decimal(amount: int, scale: int) -> str:
    whole, rest = divmod(amount, scale)
    if not rest:
        return str(whole)
    return f"{whole}.{str(rest).rjust(len(str(scale)) - 1, '0').rstrip('0')}"


def human_duration(seconds: float) -> str:
    """An age as kubectl's tables show it: at most two units, coarser the longer it is.

    Source: apimachinery, package util/duration, HumanDuration, by behaviour.
    """
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 120:
        return f"{whole}s"
    minutes = whole // 60
    if minutes < 10:
        return _pair(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = whole // 3600
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 192:
        return _pair(days, "d", hours % 24, "h")
    if hours < 24 * 365 * 2:
        return f"{days}d"
    years = days // 365
    if hours < 24 * 365 * 8:
        return _pair(years, "y", days % 365, "d")
    return f"{years}y"


def _pair(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
