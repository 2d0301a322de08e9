"""Validation of printed columns and selectable fields."""

from typing import Any, Final

from tiphys.api import apiextensions_v1
from tiphys.machinery import fields, jsonpath
from tiphys.machinery.fields import FieldError
from tiphys.resources.apiextensions.schema import paths

TYPES: Final = ("boolean", "date", "integer", "number", "string")
FORMATS: Final = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
SELECTABLE_MAX: Final = 8


def path_problem(path: str, brackets: bool = True) -> str | None:
    """What is wrong with a simple JSON path."""
    if not path.startswith("."):
        return "must be a simple json path starting with ."
    if "\n" in path:
        return "must be a simple json path without line breaks"
    if not brackets and any(mark in path for mark in "[]*"):
        return "must be a simple json path without wildcards and indexes"
    try:
        jsonpath.Template("{" + path + "}")
    except jsonpath.JsonPathError as problem:
        return str(problem)
    return None


def column(given: apiextensions_v1.CustomResourceColumnDefinition, path: str) -> list[FieldError]:
    """All that is wrong with one column."""
    errs: list[FieldError] = []
    if not given.name:
        errs.append(fields.required(f"{path}.name"))
    if not given.type:
        detail = f"must be one of {','.join(sorted(TYPES))}"
        errs.append(fields.required(f"{path}.type", detail))
    elif given.type not in TYPES:
        errs.append(fields.invalid(f"{path}.type", given.type, f"must be one of {','.join(sorted(TYPES))}"))
    if given.format and given.format not in FORMATS:
        errs.append(fields.invalid(f"{path}.format", given.format, f"must be one of {','.join(sorted(FORMATS))}"))
    if not given.jsonPath:
        errs.append(fields.required(f"{path}.JSONPath"))
    elif problem := path_problem(given.jsonPath):
        errs.append(fields.invalid(f"{path}.JSONPath", given.jsonPath, problem))
    return errs


def selectable(given: list[apiextensions_v1.SelectableField], path: str, schema: paths.Schema) -> list[FieldError]:
    """All that is wrong with selectable fields; they name scalars that the schema knows."""
    errs: list[FieldError] = []
    seen: set[str] = set()
    for index, field in enumerate(given):
        where, text = f"{path}[{index}].jsonPath", field.jsonPath
        if not text:
            errs.append(fields.required(where))
            continue
        if problem := path_problem(text):
            errs.append(fields.invalid(where, text, f"is an invalid path: {problem}"))
            continue
        found = _find(schema, text)
        if text.startswith(".metadata"):
            errs.append(fields.invalid(where, text, "must not point to fields in metadata"))
        elif found is None:
            errs.append(fields.invalid(where, text, "is an invalid path: does not refer to a valid field"))
        elif found.get("type") not in ("string", "boolean", "integer"):
            detail = (
                "must point to a field of type string, boolean or integer. Enum string fields and strings with "
                "formats are allowed."
            )
            errs.append(fields.invalid(where, text, detail))
        if text in seen:
            errs.append(fields.duplicate(where, text))
        seen.add(text)
    if len(given) > SELECTABLE_MAX:
        errs.append(fields.too_many(path, len(given), SELECTABLE_MAX))
    return errs


def _find(schema: paths.Schema, path: str) -> Any:
    found: Any = schema
    for name in path[1:].split("."):
        found = paths.properties(found).get(name)
        if found is None:
            return None
    return found
