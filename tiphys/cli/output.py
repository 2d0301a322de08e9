"""``-o``: which way of printing objects a word names."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tiphys.cli.discovery import Kind
from tiphys.cli.errors import UserError
from tiphys.cli.tabs import align

ALLOWED = "custom-columns,custom-columns-file,json,jsonpath,jsonpath-file,name,wide,yaml"
PADDING = 3
MINIMUM = 6

#: Prints one object, or a List of several.
Printer = Callable[[Any, Kind], str]


def printer(text: str, no_headers: bool = False) -> Printer:
    """The printer for an ``-o`` other than ``wide``. Raises UserError."""
    word, equals, argument = text.partition("=")
    if word in _PLAIN and not equals:
        return _PLAIN[word]
    if word in _WITH_ARGUMENT:
        if word.endswith("-file"):
            argument = _read(argument)
        if not argument:
            raise UserError(f"{word} format specified but no template given")
        return _WITH_ARGUMENT[word](argument, no_headers)
    raise UserError(
        f'unable to match a printer suitable for the output format "{text}", allowed formats are: {ALLOWED}'
    )


def _read(name: str) -> str:
    try:
        return Path(name).read_text().strip()
    except OSError as error:
        raise UserError(f"error reading template {name}: {error.strerror}") from error


def _yaml(obj: Any, _: Kind) -> str:
    # The YAML and JSONPath modules cost those who print tables nothing.
    from tiphys.cli import documents  # noqa: PLC0415

    return documents.to_yaml(obj)


def _json(obj: Any, _: Kind) -> str:
    from tiphys.cli import documents  # noqa: PLC0415  # as above

    return documents.to_json(obj)


def _name(obj: Any, kind: Kind) -> str:
    return "".join(f"{label_of(item, kind)}/{item['metadata'].get('name', '')}\n" for item in items_of(obj))


def label_of(item: Mapping[str, Any], kind: Kind) -> str:
    """``deployment.apps``, for items of a List that holds several kinds too."""
    if item.get("kind") in (None, kind.kind):
        return kind.label
    group, slash, _ = str(item.get("apiVersion")).rpartition("/")
    singular = str(item["kind"]).lower()
    return f"{singular}.{group}" if slash else singular


def _jsonpath(template: str, _: bool) -> Printer:
    from tiphys.machinery import jsonpath  # noqa: PLC0415  # as above

    try:
        parsed = jsonpath.Template(template)
    except jsonpath.JsonPathError as error:
        raise UserError(f"error parsing jsonpath {template}, {error}") from error

    def render(obj: Any, _: Kind) -> str:
        try:
            return parsed.render(obj)
        except jsonpath.JsonPathError as error:
            raise UserError(f"error executing jsonpath {template!r}: {error}") from error

    return render


def _custom_columns(spec: str, no_headers: bool) -> Printer:
    from tiphys.machinery import jsonpath  # noqa: PLC0415  # as above

    columns = []
    for part in spec.split(","):
        header, colon, path = part.partition(":")
        if not colon:
            raise UserError(f"unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>")
        try:
            columns.append((header, jsonpath.Template(jsonpath.relaxed(path))))
        except jsonpath.JsonPathError as error:
            raise UserError(str(error)) from error

    def cell(template: jsonpath.Template, item: Any) -> str:
        found = [value for values in template.find(item) for value in values]
        return ",".join("<nil>" if value is None else jsonpath.printed(value) for value in found) or "<none>"

    def render(obj: Any, _: Kind) -> str:
        rows = [[cell(template, item) for _, template in columns] for item in items_of(obj)]
        if not no_headers:
            rows.insert(0, [header for header, _ in columns])
        return align("".join("\t".join(row) + "\n" for row in rows), PADDING, MINIMUM)

    return render


def items_of(obj: Any) -> list[Any]:
    """The objects of a List; the object itself if it is none."""
    return obj["items"] if "items" in obj and str(obj.get("kind", "")).endswith("List") else [obj]


_PLAIN: dict[str, Printer] = {"yaml": _yaml, "json": _json, "name": _name}
_WITH_ARGUMENT: dict[str, Callable[[str, bool], Printer]] = {
    "jsonpath": _jsonpath,
    "jsonpath-file": _jsonpath,
    "custom-columns": _custom_columns,
    "custom-columns-file": _custom_columns,
}
