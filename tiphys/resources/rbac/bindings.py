"""What RoleBinding and ClusterRoleBinding share."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tiphys.api import rbac_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rbac.rules import GROUP
from tiphys.resources.rules import Column

SUBJECT_KINDS = ("ServiceAccount", "User", "Group")


def default_binding(reference: rbac_v1.RoleRef, subjects: Sequence[rbac_v1.Subject]) -> None:
    reference.apiGroup = reference.apiGroup or GROUP
    for subject in subjects:
        if not subject.apiGroup and subject.kind in ("User", "Group"):
            subject.apiGroup = GROUP


def validate_binding(
    errs: Errors,
    reference: rbac_v1.RoleRef,
    subjects: Sequence[rbac_v1.Subject],
    kinds: Sequence[str],
    *,
    namespaced: bool,
) -> None:
    checks.one_of(errs, "roleRef.apiGroup", reference.apiGroup, (GROUP,))
    checks.one_of(errs, "roleRef.kind", reference.kind, kinds)
    checks.required_form(errs, "roleRef.name", reference.name, checks.path_segment)
    for index, subject in enumerate(subjects):
        _subject(errs, f"subjects[{index}]", subject, namespaced=namespaced)


def _subject(errs: Errors, path: str, subject: rbac_v1.Subject, *, namespaced: bool) -> None:
    if not subject.name:
        errs.append(fields.required(f"{path}.name"))
    if subject.kind == "ServiceAccount":
        if subject.name:
            checks.form(errs, f"{path}.name", subject.name, checks.dns1123_subdomain)
        if subject.apiGroup:
            checks.one_of(errs, f"{path}.apiGroup", subject.apiGroup, ("",))
        if not namespaced and not subject.namespace:
            errs.append(fields.required(f"{path}.namespace"))
    elif subject.kind in ("User", "Group"):
        if not subject.name:
            errs.append(fields.invalid(f"{path}.name", "", f"{subject.kind.lower()} name cannot be empty"))
        checks.one_of(errs, f"{path}.apiGroup", subject.apiGroup, (GROUP,))
    else:
        errs.append(fields.not_supported(f"{path}.kind", subject.kind, SUBJECT_KINDS))


def validate_reference_kept(errs: Errors, new: rbac_v1.RoleRef, old: rbac_v1.RoleRef) -> None:
    if new != old:
        errs.append(fields.invalid("roleRef", new, "cannot change roleRef"))


def _names(kind: str) -> Column:
    def cell(binding: Any, now: datetime) -> str:
        subjects = [subject for subject in binding.subjects or () if subject.kind == kind]
        if kind == "ServiceAccount":
            return ", ".join(f"{subject.namespace or ''}/{subject.name}" for subject in subjects)
        return ", ".join(subject.name for subject in subjects)

    return Column(f"{kind}s", cell, priority=1, description=f"{kind}s that get the role.")


COLUMNS = (
    NAME,
    Column("Role", lambda binding, now: f"{binding.roleRef.kind}/{binding.roleRef.name}", description="Their role."),
    AGE,
    _names("User"),
    _names("Group"),
    _names("ServiceAccount"),
)
