"""The rules of custom objects: two endpoints if there is a status, generation, defaults, values."""

from typing import Any, Protocol

from tiphys.apiserver.extensions.scaling import CustomScaling
from tiphys.machinery import fields
from tiphys.machinery.custom import CustomObject
from tiphys.machinery.fields import FieldError
from tiphys.resources.apiextensions.schema.compiled import Schema
from tiphys.resources.rules import Strategy


class Rules(Protocol):
    """Rules over whole objects, written as expressions."""

    def problems(self, obj: CustomObject, old: CustomObject | None) -> list[FieldError]:
        """What they say of a new object, or of a change."""


class CustomStrategy(Strategy[Any]):
    """The main endpoint. ``rules`` are run only on objects whose values have the schema's form."""

    unconditional_update = False

    def __init__(
        self, schema: Schema, *, has_status: bool, rules: Rules | None = None, scaling: CustomScaling | None = None
    ) -> None:
        self.schema = schema
        self.scaling = scaling
        self._has_status = has_status
        self._rules = rules

    def default(self, obj: CustomObject) -> None:
        self.schema.default(obj)

    def prepare_for_create(self, obj: CustomObject) -> None:
        if self._has_status:
            obj.pop("status", None)
        obj.metadata.generation = 1

    def prepare_for_update(self, obj: CustomObject, old: CustomObject) -> None:
        if self._has_status:
            _keep(obj, old, "status")
        changed = _without(obj, self._has_status) != _without(old, self._has_status)
        obj.metadata.generation = (old.metadata.generation or 0) + changed

    def validate_create(self, obj: CustomObject) -> list[FieldError]:
        return self._problems(obj, None)

    def validate_update(self, obj: CustomObject, old: CustomObject) -> list[FieldError]:
        return self._problems(obj, old)

    def _problems(self, obj: CustomObject, old: CustomObject | None) -> list[FieldError]:
        found = list(self.schema.problems(obj, old))
        if self.scaling is not None:
            found += self.scaling.problems(obj)
        if self._rules is not None:
            blocked = any(problem.type in _BLOCKING for problem in found)
            found += [_UNCHECKED] if blocked else self._rules.problems(obj, old)
        return found


#: Faults after which rules could not rely on what they read.
_BLOCKING = frozenset({fields.NOT_SUPPORTED, fields.REQUIRED, fields.TOO_LONG, fields.TOO_MANY, fields.TYPE_INVALID})
_UNCHECKED = FieldError(
    fields.INVALID,
    "<nil>",
    None,
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
)


def _without(obj: CustomObject, has_status: bool) -> dict[str, Any]:
    """What generations count: everything but metadata and status."""
    found = dict(obj)
    del found["metadata"]
    if has_status:
        found.pop("status", None)
    return found


def _keep(obj: CustomObject, old: CustomObject, name: str) -> None:
    if name in old:
        obj[name] = old[name]
    else:
        obj.pop(name, None)


class CustomStatusStrategy(CustomStrategy):
    """The ``status`` endpoint: everything else stays, metadata too but for who owns what."""

    def prepare_for_update(self, obj: CustomObject, old: CustomObject) -> None:
        status = {"status": obj["status"]} if "status" in obj else {}
        metadata, managed = obj.metadata, obj.metadata.managedFields
        for field in metadata.__struct_fields__:
            setattr(metadata, field, getattr(old.metadata, field))
        metadata.managedFields = managed
        obj.clear()
        obj.update(old)
        obj.pop("status", None)
        obj["metadata"] = metadata
        obj.update(status)
