"""Named formats. Source: Kubernetes docs, "CEL", "Kubernetes format library"."""

import base64
import binascii
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from tiphys.machinery import names
from tiphys.machinery.cel import times
from tiphys.machinery.cel.library.network import parse_url
from tiphys.machinery.cel.limits import REGEX_FACTOR, STRING_FACTOR
from tiphys.machinery.cel.values import NONE, Opaque, Optional

Problems = Callable[[str], list[str]]


class Format(Opaque):
    """``pattern_size`` is the length of the longest regular expression behind it, for the cost."""

    __slots__ = ("name", "pattern_size", "problems")
    cel_type = "kubernetes.NamedFormat"

    def __init__(self, name: str, problems: Problems, pattern_size: int) -> None:
        self.name = name
        self.problems = problems
        self.pattern_size = pattern_size


def _uri(text: str) -> list[str]:
    try:
        parse_url(text)
    except ValueError as error:
        return [str(error).removeprefix("URL parse error during conversion from string: ")]
    return []


_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}", re.ASCII)


def _uuid(text: str) -> list[str]:
    return [] if _UUID.fullmatch(text) else ["does not match the UUID format"]


def _byte(text: str) -> list[str]:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ["invalid base64"]
    return []


def _parsed(parse: Callable[[str], Any], message: str) -> Problems:
    def problems(text: str) -> list[str]:
        try:
            parse(text)
        except ValueError:
            return [message]
        return []

    return problems


def _prefix(problems: Problems) -> Problems:
    return lambda text: problems(names.mask_trailing_dash(text))


FORMATS: Final = {
    one.name: one
    for one in (
        Format("dns1123Label", names.dns1123_label, 30),
        Format("dns1123Subdomain", names.dns1123_subdomain, 60),
        Format("dns1035Label", names.dns1035_label, 30),
        Format("qualifiedName", names.qualified_name, 60),
        Format("dns1123LabelPrefix", _prefix(names.dns1123_label), 30),
        Format("dns1123SubdomainPrefix", _prefix(names.dns1123_subdomain), 60),
        Format("dns1035LabelPrefix", _prefix(names.dns1035_label), 30),
        Format("labelValue", names.label_value, 40),
        Format("uri", _uri, 1000),
        Format("uuid", _uuid, 36),
        Format("byte", _byte, 0),
        Format("date", _parsed(times.parse_date, "invalid date"), 0),
        Format("datetime", _parsed(times.parse_timestamp, "invalid datetime"), 0),
    )
}


def _named(name: str) -> Optional:
    found = FORMATS.get(name)
    return Optional(True, found) if found else NONE


def _validate(one: Format, text: str) -> Optional:
    problems = one.problems(text)
    return Optional(True, problems) if problems else NONE


def _charge(args: Sequence[Any], result: Any) -> int:
    one: Format = args[0]
    return math.ceil((1 + len(args[1])) * STRING_FACTOR) * math.ceil(one.pattern_size * REGEX_FACTOR)


def _fixed(one: Format) -> Callable[[], Format]:
    return lambda: one


_F: Final = "kubernetes.NamedFormat"
ROWS: Final[tuple[tuple[Any, ...], ...]] = (
    ("format.named", "format-named", f"string -> optional<{_F}>", _named),
    (".validate", "format-validate", f"{_F}, string -> optional<list<string>>", _validate, _charge),
    *((f"format.{name}", f"format-{name}", f"-> {_F}", _fixed(one)) for name, one in FORMATS.items()),
)
