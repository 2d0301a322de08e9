"""Formats of text that schemas may ask for; others are not checked, as in Kubernetes.

Source: Kubernetes docs, "Validation" of custom resources; go-openapi's strfmt, by behaviour.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Final

from tiphys.machinery import names, times

_UUID: Final = r"[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s[0-9a-f]{3}-?[0-9a-f]{12}"
_DATE_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})?")
_HOSTNAME: Final = re.compile(
    r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.I
)


def _tried(*problems: type[Exception]) -> Callable[[Callable[[str], object]], Callable[[str], bool]]:
    """Text is good if reading it raises nothing."""

    def made(read: Callable[[str], object]) -> Callable[[str], bool]:
        def good(text: str) -> bool:
            try:
                read(text)
            except problems:
                return False
            return True

        return good

    return made


def _pattern(pattern: str, flags: int = 0) -> Callable[[str], bool]:
    compiled = re.compile(pattern, flags)
    return lambda text: compiled.fullmatch(text) is not None


def _uri(text: str) -> bool:
    scheme, colon, rest = text.partition(":")
    return bool(colon and rest and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme)) or text.startswith("/")


def _date_time(text: str) -> bool:
    if not _DATE_TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text.upper().replace("Z", "+00:00"))
    except ValueError:
        return False
    return True


def _isbn10(text: str) -> bool:
    digits = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"\d{9}[\dX]", digits):
        return False
    return sum((10 - at) * (10 if digit == "X" else int(digit)) for at, digit in enumerate(digits)) % 11 == 0


def _isbn13(text: str) -> bool:
    digits = re.sub(r"[\s-]", "", text)
    return (
        bool(re.fullmatch(r"\d{13}", digits))
        and sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(digits)) % 10 == 0
    )


def _card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    if not 13 <= len(digits) <= 19:
        return False
    total = 0
    for at, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if at % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


_rgb: Final = (
    r"rgb\(\s*(25[0-5]|2[0-4]\d|1?\d?\d)\s*,\s*(25[0-5]|2[0-4]\d|1?\d?\d)\s*,\s*(25[0-5]|2[0-4]\d|1?\d?\d)\s*\)"
)

#: Whether text is of a format, by the format's name without dashes (both spellings are known).
FORMATS: Final[Mapping[str, Callable[[str], bool]]] = {
    "bsonobjectid": _pattern(r"[0-9a-fA-F]{24}"),
    "uri": _uri,
    "email": _pattern(r"[^@\s<>]+@[^@\s<>]+"),
    "hostname": lambda text: _HOSTNAME.fullmatch(text) is not None,
    "ipv4": _tried(ValueError)(ipaddress.IPv4Address),
    "ipv6": _tried(ValueError)(ipaddress.IPv6Address),
    "cidr": _tried(ValueError)(lambda text: ipaddress.ip_interface(text if "/" in text else "")),
    "mac": _pattern(
        r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}|([0-9A-Fa-f]{2}[:-]){7}[0-9A-Fa-f]{2}"
        r"|([0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}|([0-9A-Fa-f]{4}\.){3}[0-9A-Fa-f]{4}"
    ),
    "uuid": _pattern(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.I),
    "uuid3": _pattern(_UUID % ("3", "[0-9a-f]"), re.I),
    "uuid4": _pattern(_UUID % ("4", "[89ab]"), re.I),
    "uuid5": _pattern(_UUID % ("5", "[89ab]"), re.I),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _card,
    "ssn": _pattern(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _pattern(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _pattern(_rgb),
    "byte": _tried(binascii.Error, ValueError)(lambda text: base64.b64decode(text, validate=True)),
    "password": lambda text: True,
    "date": _tried(ValueError)(date.fromisoformat),
    "duration": _tried(ValueError)(times.parse_duration),
    "datetime": _date_time,
    "k8sshortname": lambda text: not names.dns1123_label(text),
    "k8slongname": lambda text: not names.dns1123_subdomain(text),
}


def find(name: str) -> Callable[[str], bool] | None:
    """The check of a format; None if there is none."""
    return FORMATS.get(name.replace("-", ""))
