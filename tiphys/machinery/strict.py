"""Field validation: which fields of a document the type does not know or finds twice."""

from typing import Any

from tiphys.machinery import shapes
from tiphys.machinery.shapes import Shape


def prune(cls: type[Any], builtins: Any) -> Any:
    """A copy without unknown fields and without nulls, as Go's decoder leaves them out."""
    if not isinstance(builtins, dict):
        return builtins
    known = shapes.fields_of(cls)
    return {
        name: _pruned(known[name], value) for name, value in builtins.items() if value is not None and name in known
    }


def _pruned(shape: Shape, value: Any) -> Any:
    if shape.form == "object":
        assert shape.cls is not None
        return prune(shape.cls, value)
    if shape.form == "list" and isinstance(value, list):
        assert shape.item is not None
        return [_pruned(shape.item, _zero(shape.item) if item is None else item) for item in value]
    if shape.form == "map" and isinstance(value, dict):
        assert shape.item is not None
        return {k: _pruned(shape.item, _zero(shape.item) if v is None else v) for k, v in value.items()}
    return value


def _zero(shape: Shape) -> Any:
    """What Go makes of a null inside a list or map: the zero value."""
    if shape.form in ("object", "map"):
        return {}
    if shape.form == "list":
        return []
    if shape.type is str or isinstance(shape.type, type) and issubclass(shape.type, str):
        return ""
    return None


def problems(cls: type[Any], data: bytes) -> list[str]:
    """Unknown and duplicate fields in Kubernetes' words and order; empty if there are none."""
    from tiphys.machinery import codec

    found: list[str] = []
    _unknown(cls, codec.decode_builtins(data), "", found)
    return found


def _unknown(cls: type[Any], value: Any, path: str, found: list[str]) -> None:
    if not isinstance(value, dict):
        return
    known = shapes.fields_of(cls)
    for name, item in value.items():
        shape = known.get(name)
        if shape is None:
            found.append(f'unknown field "{path}{name}"')
        else:
            _unknown_in(shape, item, path + name, found)


def _unknown_in(shape: Shape, value: Any, path: str, found: list[str]) -> None:
    if shape.cls is None:
        return
    if shape.form == "object":
        _unknown(shape.cls, value, path + ".", found)
    elif shape.form == "list" and isinstance(value, list):
        assert shape.item is not None
        for index, item in enumerate(value):
            _unknown_in(shape.item, item, f"{path}[{index}]", found)
    elif shape.form == "map" and isinstance(value, dict):
        assert shape.item is not None
        for key, item in value.items():
            _unknown_in(shape.item, item, f"{path}.{key}", found)
