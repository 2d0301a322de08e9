"""Validation of a version's subresources."""

from tiphys.api import apiextensions_v1
from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources.apiextensions import printer


def validate(value: apiextensions_v1.CustomResourceSubresources, path: str) -> list[FieldError]:
    """All that is wrong with the paths of a scale."""
    scale = value.scale
    if scale is None:
        return []
    errs: list[FieldError] = []
    for field, given, roots, words in (
        ("specReplicasPath", scale.specReplicasPath, (".spec.",), ".spec"),
        ("statusReplicasPath", scale.statusReplicasPath, (".status.",), ".status"),
        ("labelSelectorPath", scale.labelSelectorPath, (".status.", ".spec."), "either .status or .spec"),
    ):
        where = f"{path}.scale.{field}"
        if not given:
            if field != "labelSelectorPath":
                errs.append(fields.required(where))
        elif (problem := printer.path_problem(given, brackets=False)) is not None:
            errs.append(fields.invalid(where, given, problem))
        elif not given.startswith(roots):
            errs.append(fields.invalid(where, given, f"should be a json path under {words}"))
    return errs
