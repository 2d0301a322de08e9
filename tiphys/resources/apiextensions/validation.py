"""Validation of CustomResourceDefinitions.

Source: Kubernetes docs, "Extend the Kubernetes API with CustomResourceDefinitions";
apiextensions validation, by behaviour and messages.
"""

from tiphys.api import apiextensions_v1
from tiphys.machinery.fields import FieldError

Crd = apiextensions_v1.CustomResourceDefinition


def validate(crd: Crd) -> list[FieldError]:
    return []


def validate_update(crd: Crd, old: Crd) -> list[FieldError]:
    return []


def validate_status(crd: Crd) -> list[FieldError]:
    return []


def warnings(crd: Crd, old: Crd | None) -> list[str]:
    return []
