"""Printed columns and selectable fields of a custom resource: JSON paths, compiled.

Source: Kubernetes docs, "Additional printer columns", "Selectable fields for custom resources".
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from tiphys.api import apiextensions_v1
from tiphys.machinery import jsonpath, times
from tiphys.machinery.custom import CustomObject
from tiphys.resources import columns
from tiphys.resources.rules import Column

Reader = Callable[[CustomObject], Any]
#: A definition without columns prints names and ages.
AGE: Final = Column(
    "Age",
    columns.age,
    type="date",
    description="How long ago the object was created.",
)


def _steps(path: str) -> tuple[str, ...] | None:
    """The fields of a path that is nothing but fields; None for any other."""
    if not path.startswith(".") or any(mark in path for mark in "[]*?@(){}\\'\""):
        return None
    steps = tuple(path[1:].split("."))
    return steps if all(steps) else None


def reader(path: str) -> Reader:
    """What reads the value at a path; None where there is none."""
    steps = _steps(path)
    if steps is not None and steps[0] != "metadata":
        return lambda obj: _walk(obj, steps)
    template = jsonpath.Template("{" + path + "}")

    def read(obj: CustomObject) -> Any:
        try:
            found = template.find(obj.plain())
        except jsonpath.JsonPathError:
            return None
        return found[0][0] if found and found[0] else None

    return read


def _walk(obj: Any, steps: tuple[str, ...]) -> Any:
    for name in steps:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(name)
    return obj


def columns_of(version: apiextensions_v1.CustomResourceDefinitionVersion) -> tuple[Column, ...]:
    """The columns of a version: the name, then what it defines, or the age."""
    defined = version.additionalPrinterColumns
    return (columns.NAME, *(map(_column, defined) if defined else (AGE,)))


def _column(defined: apiextensions_v1.CustomResourceColumnDefinition) -> Column:
    read = reader(defined.jsonPath)
    kind = defined.type

    def cell(obj: CustomObject, now: datetime) -> str | int | bool | None:
        return _cell(read(obj), kind, now)

    return Column(
        defined.name,
        cell,
        type=kind,
        format=defined.format or "",
        priority=defined.priority or 0,
        description=defined.description
        or f"Custom resource definition column (in JSONPath format): {defined.jsonPath}",
    )


def _cell(value: Any, kind: str, now: datetime) -> str | int | bool | None:
    """A value as its column shows it; None where it does not fit."""
    if value is None:
        return None
    if kind == "integer":
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return int(value)
    if kind == "number":
        number: Any = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        return number  # type: ignore[no-any-return]  # fractions too
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "date":
        return _date(value, now)
    return str(value) if isinstance(value, str) else jsonpath.printed(value)


def _date(value: Any, now: datetime) -> str:
    if not isinstance(value, str):
        return "<invalid>"
    try:
        return times.human_duration((now - times.parse(value)).total_seconds())
    except ValueError:
        return "<invalid>"


def field_readers(selectable: Sequence[apiextensions_v1.SelectableField] | None) -> dict[str, Callable[[Any], str]]:
    """What reads the selectable fields, by their names: ``spec.color``."""
    return {field.jsonPath.removeprefix("."): _text_reader(field.jsonPath) for field in selectable or ()}


def _text_reader(path: str) -> Callable[[Any], str]:
    read = reader(path)

    def text(obj: CustomObject) -> str:
        value = read(obj)
        if value is None:
            return ""
        return ("true" if value else "false") if isinstance(value, bool) else str(value)

    return text
