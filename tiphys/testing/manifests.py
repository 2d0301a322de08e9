"""What a test hands over: YAML, a file or folder of it, a dict, a Struct, or several of these; and words for objects."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tiphys.machinery import codec
from tiphys.resources import table
from tiphys.resources.rules import Resource

Dict = dict[str, Any]
Manifest = str | Path | Mapping[str, Any] | msgspec.Struct
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def documents(given: Manifest | Iterable[Manifest]) -> Iterator[Dict]:
    """Every object that is meant, in order. Raises ValueError or OSError."""
    if isinstance(given, msgspec.Struct):
        yield codec.to_builtins(given)
    elif isinstance(given, Mapping):
        yield from _unpacked(dict(given))
    elif isinstance(given, Path):
        yield from _of_path(given)
    elif isinstance(given, str):
        # A manifest has at least one colon before a line ends; a path hardly.
        if "\n" in given or ": " in given:
            yield from _of_text(given)
        else:
            yield from _of_path(Path(given))
    else:
        for one in given:
            yield from documents(one)


def _of_path(path: Path) -> Iterator[Dict]:
    if path.is_dir():
        for file in sorted(p for p in path.iterdir() if p.suffix in (".yaml", ".yml", ".json")):
            yield from _of_text(file.read_text())
    else:
        yield from _of_text(path.read_text())


def _of_text(text: str) -> Iterator[Dict]:
    for found in yaml.load_all(text, Loader=_LOADER):  # noqa: S506  # one of the safe loaders
        if found is not None:
            yield from _unpacked(found)


def _unpacked(found: Any) -> Iterator[Dict]:
    if not isinstance(found, dict) or "kind" not in found or "apiVersion" not in found:
        raise ValueError(f"not an object of the API, which has apiVersion and kind: {found!r:.100}")
    if found["kind"] == "List":
        for item in found.get("items") or ():
            yield from _unpacked(item)
    else:
        yield found


def row_of(obj: Mapping[str, Any]) -> Resource:
    """Raises LookupError for a kind that is not served."""
    group, _, version = str(obj["apiVersion"]).rpartition("/")
    try:
        return table.by_kind(group, version, str(obj["kind"]))
    except LookupError:
        raise LookupError(f'no matches for kind "{obj["kind"]}" in version "{obj["apiVersion"]}"') from None


def parse_reference(text: str, namespace: str) -> tuple[Resource, str, str]:
    """``deployment/web`` or ``deployment/shop/web`` as row, namespace and name. Raises LookupError."""
    word, *rest = text.split("/")
    if not rest or len(rest) > 2:
        raise LookupError(f"{text!r} is not kind/name or kind/namespace/name")
    row = table.find(word)
    if len(rest) == 2:
        namespace = rest[0]
    return row, namespace if row.namespaced else "", rest[-1]


def seconds(given: float | str) -> float:
    """A number of seconds, or text such as ``90s``, ``5m``, ``1h30m`` or ``30d``. Raises ValueError."""
    if not isinstance(given, str):
        return float(given)
    total, digits = 0.0, ""
    for letter in given:
        if letter in _SECONDS and digits:
            total += float(digits) * _SECONDS[letter]
            digits = ""
        else:
            digits += letter
    if digits or not given:
        raise ValueError(f"{given!r} is not a time such as 90s, 5m, 1h30m or 30d")
    return total
