"""What a row of the table of flags is, and how the texts of flags are read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tiphys.machinery import times


class FlagError(ValueError):
    """A flag that is unknown or has a value that cannot be; the text names it and says what is expected."""


#: Reads the values a flag was given, in their order; raises ValueError saying what is expected.
Read = Callable[[Sequence[str]], Any]


@dataclass(frozen=True, slots=True)
class Flag:
    """``--name`` sets ``field`` of the API server's configuration, of its security, or of where it stores."""

    name: str
    part: Literal["server", "security", "storage", "audit"]
    field: str
    read: Read
    help: str
    #: Given without a value it means true.
    switch: bool = False


def text(values: Sequence[str]) -> str:
    """The last value, as it is."""
    return values[-1]


def number(values: Sequence[str]) -> int:
    try:
        return int(values[-1])
    except ValueError:
        raise ValueError("a whole number is expected") from None


def boolean(values: Sequence[str]) -> bool:
    value = values[-1].lower()
    if value in ("true", "t", "1"):
        return True
    if value in ("false", "f", "0"):
        return False
    raise ValueError("true or false is expected")


def seconds(values: Sequence[str]) -> float:
    """A duration such as ``1m30s``."""
    try:
        return times.parse_duration(values[-1])
    except ValueError:
        raise ValueError("a duration such as 1m30s is expected") from None


def whole_seconds(values: Sequence[str]) -> float:
    return float(number(values))


def listed(values: Sequence[str]) -> tuple[str, ...]:
    """Comma-separated, given once or several times."""
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def repeated(values: Sequence[str]) -> tuple[str, ...]:
    """Given once or several times; commas belong to the values."""
    return tuple(values)


def port_range(values: Sequence[str]) -> tuple[int, int]:
    """``30000-32767``, or ``30000+2767``; both ends belong to it."""
    value = values[-1]
    for sign in "-+":
        first, found, second = value.partition(sign)
        if found and first.isdecimal() and second.isdecimal():
            last = int(second) + (int(first) if sign == "+" else 0)
            if 0 < int(first) <= last <= 65535:
                return int(first), last
    raise ValueError("a range of ports such as 30000-32767 is expected")
