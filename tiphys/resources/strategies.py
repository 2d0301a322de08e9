"""Strategies that most resources share: who may write what, and how generation counts.

Resources with a status have two endpoints: the main one keeps the old status,
``/status`` keeps the old spec. Generation grows by one with each change of the spec.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from tiphys.api.scalars import Object
from tiphys.machinery.fields import FieldError
from tiphys.resources.rules import Strategy

T = TypeVar("T", bound=Object)


class SpecStrategy(Strategy[T]):
    """The main endpoint of a resource with spec and status."""

    counts_generation = True

    def prepare_for_create(self, obj: T) -> None:
        any_obj: Any = obj
        if hasattr(any_obj, "status"):
            any_obj.status = type(any_obj.status)()
        if self.counts_generation:
            any_obj.metadata.generation = 1

    def prepare_for_update(self, obj: T, old: T) -> None:
        new: Any = obj
        before: Any = old
        if hasattr(before, "status"):
            new.status = before.status
        if self.counts_generation:
            changed = self.spec_changed(obj, old)
            new.metadata.generation = (before.metadata.generation or 0) + changed

    def spec_changed(self, obj: T, old: T) -> bool:
        new: Any = obj
        before: Any = old
        return bool(new.spec != before.spec) if hasattr(new, "spec") else False


class StatusStrategy(Strategy[T]):
    """The ``status`` endpoint: the spec stays as it is."""

    def prepare_for_update(self, obj: T, old: T) -> None:
        new: Any = obj
        before: Any = old
        if hasattr(before, "spec"):
            new.spec = before.spec
        new.metadata.generation = before.metadata.generation


class FunctionStrategy(SpecStrategy[Any]):
    """A main endpoint whose rules are three plain functions."""

    def __init__(
        self,
        default: Callable[[Any], None] | None = None,
        validate: Callable[[Any], list[FieldError]] | None = None,
        validate_change: Callable[[Any, Any], list[FieldError]] | None = None,
        *,
        counts_generation: bool = True,
        create_on_update: bool = False,
        unconditional_update: bool = True,
    ) -> None:
        self.create_on_update = create_on_update
        self.unconditional_update = unconditional_update
        self._default = default
        self._validate = validate
        self._validate_change = validate_change
        self.counts_generation = counts_generation

    def default(self, obj: Any) -> None:
        if self._default is not None:
            self._default(obj)

    def validate_create(self, obj: Any) -> list[FieldError]:
        return self._validate(obj) if self._validate is not None else []

    def validate_update(self, obj: Any, old: Any) -> list[FieldError]:
        changes = self._validate_change(obj, old) if self._validate_change is not None else []
        return [*changes, *self.validate_create(obj)]


class FunctionStatusStrategy(StatusStrategy[Any]):
    """A ``status`` endpoint with plain functions."""

    def __init__(
        self,
        default: Callable[[Any], None] | None = None,
        validate: Callable[[Any], list[FieldError]] | None = None,
    ) -> None:
        self._default = default
        self._validate = validate

    def default(self, obj: Any) -> None:
        if self._default is not None:
            self._default(obj)

    def validate_update(self, obj: Any, old: Any) -> list[FieldError]:
        return self._validate(obj) if self._validate is not None else []
