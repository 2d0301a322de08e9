"""Optional values. Source: cel-go's ``OptionalTypes``, by behaviour."""

from typing import Any, Final

from tiphys.machinery.cel.errors import EvaluationError
from tiphys.machinery.cel.values import NONE, Optional, is_zero


def _value(optional: Optional) -> Any:
    if optional.present:
        return optional.value
    raise EvaluationError("optional.none() dereference")


def _special(*args: Any) -> Any:
    raise AssertionError


def _of_non_zero(value: Any) -> Optional:
    return NONE if is_zero(value) else Optional(True, value)


def _unwrapped(optionals: list[Optional]) -> list[Any]:
    return [one.value for one in optionals if one.present]


ROWS: Final = (
    ("optional.of", "optional_of", "A -> optional<A>", lambda value: Optional(True, value)),
    ("optional.ofNonZeroValue", "optional_ofNonZeroValue", "A -> optional<A>", _of_non_zero),
    ("optional.none", "optional_none", "-> optional<A>", lambda: NONE),
    (".value", "optional_value", "optional<A> -> A", _value),
    (".hasValue", "optional_hasValue", "optional<A> -> bool", lambda one: one.present),
    (".or", "optional_or_optional", "optional<A>, optional<A> -> optional<A>", _special),
    (".orValue", "optional_orValue_value", "optional<A>, A -> A", _special),
    ("optional.unwrap", "optional_unwrap", "list<optional<A>> -> list<A>", _unwrapped),
    (".unwrapOpt", "optional_unwrapOpt", "list<optional<A>> -> list<A>", _unwrapped),
)
