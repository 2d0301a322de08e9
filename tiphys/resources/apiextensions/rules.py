"""Validation of ``x-kubernetes-validations``."""

from tiphys.machinery.fields import FieldError
from tiphys.resources.apiextensions.schema.paths import Schema


def validate(schema: Schema, path: str) -> list[FieldError]:
    return []
