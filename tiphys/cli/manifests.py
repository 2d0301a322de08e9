"""Objects from files, folders and standard input, as ``-f`` names them."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.cli.errors import UserError
from tiphys.machinery import documents

SUFFIXES = (".json", ".yaml", ".yml")
_SEPARATOR = re.compile(rb"^---(?:[ \t].*)?\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object and where it stands."""

    source: str
    obj: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.obj["metadata"].get("name") or "")


def read(names: tuple[str, ...], recursive: bool = False) -> list[Manifest]:
    """All objects, in order; Lists are taken apart. Raises UserError."""
    return [manifest for name in names for source, data in _files(name, recursive) for manifest in parse(source, data)]


def _files(name: str, recursive: bool) -> Iterator[tuple[str, bytes]]:
    """Path and content of what a ``-f`` means."""
    if name == "-":
        yield "STDIN", sys.stdin.buffer.read()
        return
    if name.startswith(("http://", "https://")):
        raise UserError(f'"{name}": tiphys reads no URLs; try "curl -L {name} | tiphys apply -f -"')
    path = Path(name)
    if not path.exists():
        raise UserError(f'the path "{name}" does not exist')
    inside = path.rglob("*") if recursive else path.glob("*")
    paths = sorted(p for p in inside if p.suffix in SUFFIXES and p.is_file()) if path.is_dir() else [path]
    if not paths:
        raise UserError(f"error reading {[name]}: recognized file extensions are {', '.join(SUFFIXES)}")
    for each in paths:
        try:
            yield str(each), each.read_bytes()
        except OSError as error:
            raise UserError(f"{each}: {error.strerror}") from error


def parse(source: str, data: bytes) -> Iterator[Manifest]:
    """All objects of one file, in order. Raises UserError."""
    for part in _documents(data):
        try:
            obj, duplicates = documents.parse(part)
        except documents.YamlError as error:
            raise UserError(f"error parsing {source}: error converting YAML to JSON: {error}") from error
        if duplicates:
            raise UserError(f"error parsing {source}: error converting YAML to JSON: {duplicates[0]}")
        if obj is not None:
            yield from _objects(source, obj)


def _documents(data: bytes) -> Iterator[bytes]:
    """The documents of a file, each behind as many empty lines as stood before it: faults then name the right line."""
    start = 0
    for separator in [*_SEPARATOR.finditer(data), None]:
        end = separator.start() if separator else len(data)
        yield b"\n" * data.count(b"\n", 0, start) + data[start:end]
        start = separator.end() if separator else end


def _objects(source: str, obj: Any) -> Iterator[Manifest]:
    if not isinstance(obj, dict):
        raise UserError(f"error validating {source}: an object is expected, with apiVersion, kind and metadata")
    for field in ("kind", "apiVersion"):
        if not isinstance(obj.get(field), str) or not obj[field]:
            raise UserError(f"unable to decode {source}: Object '{field}' is missing or empty")
    if str(obj["kind"]).endswith("List") and isinstance(obj.get("items"), list):
        for item in obj["items"]:
            yield from _objects(source, item)
        return
    if not isinstance(obj.get("metadata", {}), dict):
        raise UserError(f"error validating {source}: metadata of {obj['kind']} is no object")
    yield Manifest(source, obj | {"metadata": obj.get("metadata") or {}})
