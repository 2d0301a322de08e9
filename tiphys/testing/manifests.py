"""What a test hands over: YAML, a file or folder of it, a dict, a Struct, or several of these; and words for them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tiphys.cli import manifests
from tiphys.cli.errors import UserError
from tiphys.machinery import codec

Dict = dict[str, Any]
Manifest = str | Path | Mapping[str, Any] | msgspec.Struct
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])", re.ASCII)
_TIME = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def documents(given: Manifest | Iterable[Manifest]) -> Iterator[Dict]:
    """Every object that is meant, in order. Raises ValueError."""
    if isinstance(given, msgspec.Struct):
        yield codec.to_builtins(given)
    elif isinstance(given, Mapping):
        yield from _of_text(codec.encode(given))
    elif isinstance(given, str | Path):
        yield from _of_words(given)
    else:
        for one in given:
            yield from documents(one)


def _of_words(given: str | Path) -> Iterator[Dict]:
    """YAML, or where it is: a manifest has a colon and a space or line end in it, a path hardly."""
    text = str(given)
    if isinstance(given, str) and ("\n" in text or ": " in text):
        yield from _of_text(text.encode())
        return
    try:
        yield from (found.obj for found in manifests.read((text,)))
    except UserError as error:
        raise ValueError(str(error)) from error


def _of_text(data: bytes) -> Iterator[Dict]:
    try:
        yield from (found.obj for found in manifests.parse("the manifest", data))
    except UserError as error:
        raise ValueError(str(error)) from error


def seconds(given: float | str) -> float:
    """A number of seconds, or text such as ``90s``, ``5m``, ``1h30m`` or ``30d``. Raises ValueError."""
    if not isinstance(given, str):
        return float(given)
    if not _TIME.fullmatch(given):
        raise ValueError(f"{given!r} is not a time such as 90s, 5m, 1h30m or 30d")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(given))
