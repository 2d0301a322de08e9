"""Durations and timestamps: text, parts, limits. All arithmetic is on nanoseconds.

Source: the CEL language definition, "Timestamps and durations"; Go's ``time.ParseDuration``.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

from tiphys.machinery.cel.errors import EvaluationError
from tiphys.machinery.cel.values import INT_MAX, INT_MIN, Duration, Timestamp

SECOND: Final = 10**9
_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
_PART: Final = re.compile("([0-9]*)(?:\\.([0-9]*))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)", re.ASCII)
_STAMP: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:([Zz])|([-+])(\d\d):(\d\d))", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MIN_TIMESTAMP: Final = -62135596800 * SECOND
MAX_TIMESTAMP: Final = 253402300800 * SECOND - 1


def parse_duration(text: str) -> Duration:
    """``1h30m``, ``-1.5s``. Raises ValueError."""
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text[1:] if text[:1] == "+" else text)
    if rest == "0":
        return Duration(0)
    total, at = 0, 0
    while at < len(rest):
        match = _PART.match(rest, at)
        if match is None or not (match[1] or match[2]):
            break
        whole, fraction, unit = match[1] or "0", match[2] or "", _UNITS[match[3]]
        if len(whole) > 19:
            break
        total += int(whole) * unit + int(fraction[:18] or "0") * unit // 10 ** len(fraction[:18])
        at = match.end()
    else:
        if rest and total <= INT_MAX + (sign < 0):
            return Duration(sign * total)
    raise ValueError(f'time: invalid duration "{text}"')


def format_duration(value: int) -> str:
    """Seconds: ``90s``, ``0.5s``."""
    whole, fraction = divmod(abs(value), SECOND)
    tail = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{'-' if value < 0 else ''}{whole}{tail}s"


def parse_timestamp(text: str) -> Timestamp:
    """RFC 3339. Raises ValueError."""
    match = _STAMP.fullmatch(text)
    if match is None:
        raise ValueError(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}" as "2006"')
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    offset = 0
    if match[8] is None:
        offset = (int(match[10]) * 60 + int(match[11])) * (1 if match[9] == "+" else -1)
        if int(match[10]) > 23 or int(match[11]) > 59:
            raise ValueError(f'parsing time "{text}": time zone offset out of range')
    delta = datetime(year or 1, month, day, hour, minute, second, tzinfo=UTC) - _EPOCH
    seconds = delta.days * 86400 + delta.seconds - offset * 60
    return timestamp(seconds * SECOND + int((match[7] or "0")[:9].ljust(9, "0")))


def parse_date(text: str) -> Timestamp:
    """``2006-01-02``: midnight in UTC. Raises ValueError."""
    return parse_timestamp(text + "T00:00:00Z")


def format_timestamp(value: int) -> str:
    seconds, fraction = divmod(value, SECOND)
    instant = _EPOCH + timedelta(seconds=seconds)
    tail = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{instant.year:04d}-{instant:%m-%dT%H:%M:%S}{tail}Z"


def timestamp(value: int) -> Timestamp:
    """Raises EvaluationError beyond the years 1 to 9999."""
    if MIN_TIMESTAMP <= value <= MAX_TIMESTAMP:
        return Timestamp(value)
    raise EvaluationError("timestamp overflow")


def duration(value: int) -> Duration:
    """Raises EvaluationError beyond 64 bits."""
    if INT_MIN <= value <= INT_MAX:
        return Duration(value)
    raise EvaluationError("duration overflow")


def local(value: int, zone: str = "") -> datetime:
    """The wall clock at a timestamp, in UTC or a zone (``+01:00``, ``Europe/Paris``). Raises EvaluationError."""
    return (_EPOCH + timedelta(seconds=value // SECOND, microseconds=value % SECOND // 1000)).astimezone(_zone(zone))


_OFFSET: Final = re.compile(r"([-+]?)(\d\d):(\d\d)", re.ASCII)


def _zone(name: str) -> tzinfo:
    if not name or name == "UTC":
        return UTC
    match = _OFFSET.fullmatch(name)
    if match:
        minutes = int(match[2]) * 60 + int(match[3])
        return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))
    # Reads the machine's zone files; only expressions that name a zone need it.
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise EvaluationError(f"unknown time zone {name}") from None
