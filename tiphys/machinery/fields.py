"""Field errors: what validation found, where, in Kubernetes' words.

Validation collects them all; ``errors.Invalid`` turns a list into a Status.
Source: apimachinery, package util/validation/field, by behaviour.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from tiphys.machinery import goformat

NOT_FOUND: Final = "FieldValueNotFound"
REQUIRED: Final = "FieldValueRequired"
DUPLICATE: Final = "FieldValueDuplicate"
INVALID: Final = "FieldValueInvalid"
NOT_SUPPORTED: Final = "FieldValueNotSupported"
FORBIDDEN: Final = "FieldValueForbidden"
TOO_LONG: Final = "FieldValueTooLong"
TOO_MANY: Final = "FieldValueTooMany"
INTERNAL: Final = "InternalError"
TYPE_INVALID: Final = "FieldValueTypeInvalid"

TITLES: Final = {
    NOT_FOUND: "Not found",
    REQUIRED: "Required value",
    DUPLICATE: "Duplicate value",
    INVALID: "Invalid value",
    NOT_SUPPORTED: "Unsupported value",
    FORBIDDEN: "Forbidden",
    TOO_LONG: "Too long",
    TOO_MANY: "Too many",
    INTERNAL: "Internal error",
    TYPE_INVALID: "Invalid value",
}
_WITHOUT_VALUE: Final = {REQUIRED, FORBIDDEN, TOO_LONG, INTERNAL}


class _Omitted:
    """The value of an error that shows none."""

    def __repr__(self) -> str:
        return "OMITTED"


OMITTED: Final = _Omitted()


@dataclass(slots=True)
class FieldError:
    """One fault. ``str()`` is the full sentence, ``body`` the part behind the path."""

    type: str
    path: str
    value: Any = None
    detail: str = ""
    origin: str = ""

    @property
    def body(self) -> str:
        text = TITLES[self.type]
        if self.type not in _WITHOUT_VALUE and self.value is not OMITTED:
            text = f"{text}: {goformat.bad_value(self.value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.path}: {self.body}"


#: A bad value as error messages show it.
format_value = goformat.bad_value


def required(path: str, detail: str = "") -> FieldError:
    return FieldError(REQUIRED, path, "", detail)


def invalid(path: str, value: Any, detail: str, origin: str = "") -> FieldError:
    return FieldError(INVALID, path, value, detail, origin)


def not_supported(path: str, value: Any, supported: Iterable[str]) -> FieldError:
    """``supported`` is listed in the order given; Kubernetes sorts sets, so sort those before."""
    listed = ", ".join(goformat.quote(choice) for choice in supported)
    return FieldError(NOT_SUPPORTED, path, value, f"supported values: {listed}" if listed else "")


def forbidden(path: str, detail: str) -> FieldError:
    return FieldError(FORBIDDEN, path, "", detail)


def duplicate(path: str, value: Any) -> FieldError:
    return FieldError(DUPLICATE, path, value)


def not_found(path: str, value: Any) -> FieldError:
    return FieldError(NOT_FOUND, path, value)


def too_long(path: str, value: Any, maximum: int) -> FieldError:
    """``maximum`` counts bytes."""
    unit = "byte" if maximum == 1 else "bytes"
    detail = f"may not be more than {maximum} {unit}" if maximum >= 0 else "value is too long"
    return FieldError(TOO_LONG, path, value, detail, "maxLength")


def too_many(path: str, actual: int, maximum: int) -> FieldError:
    unit = "item" if maximum == 1 else "items"
    detail = f"must have at most {maximum} {unit}" if maximum >= 0 else "has too many items"
    return FieldError(TOO_MANY, path, actual if actual >= 0 else OMITTED, detail, "maxItems")


def type_invalid(path: str, value: Any, detail: str) -> FieldError:
    return FieldError(TYPE_INVALID, path, value, detail)


def internal(path: str, detail: str) -> FieldError:
    return FieldError(INTERNAL, path, None, detail)
