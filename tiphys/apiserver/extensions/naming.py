"""Which of the names that a definition asks for it gets, and what its conditions say of it. Pure.

Source: Kubernetes docs, "Custom resource definition versioning" and API reference,
CustomResourceDefinitionCondition; the naming and establishing controllers, by behaviour.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from tiphys.api import apiextensions_v1
from tiphys.machinery.goformat import quote
from tiphys.resources import table

Crd = apiextensions_v1.CustomResourceDefinition
Names = apiextensions_v1.CustomResourceDefinitionNames
Condition = apiextensions_v1.CustomResourceDefinitionCondition

NAMES_ACCEPTED: Final = "NamesAccepted"
ESTABLISHED: Final = "Established"
TERMINATING: Final = "Terminating"
APPROVAL: Final = "KubernetesAPIApprovalPolicyConformant"
APPROVED_ANNOTATION: Final = "api-approved.kubernetes.io"
#: Field, reason of a conflict, and whether it is a kind.
_SINGLE: Final = (
    ("plural", "PluralConflict", False),
    ("singular", "SingularConflict", False),
    ("kind", "KindConflict", True),
    ("listKind", "ListKindConflict", True),
)


def find(crd: Crd, kind: str) -> Condition | None:
    return next((found for found in crd.status.conditions or () if found.type == kind), None)


def is_true(crd: Crd, kind: str) -> bool:
    found = find(crd, kind)
    return found is not None and found.status == "True"


def accepted(crd: Crd, group: Iterable[Crd]) -> tuple[Names, Condition]:
    """The names that ``crd`` has from now on, and its NamesAccepted; ``group`` are all definitions of its group.

    What is built in has its names for good: objects of both would be stored in one place.
    """
    built_in = [row for row in table.ALL if row.group == crd.spec.group]
    resources = {name for row in built_in for name in (row.plural, row.singular)}
    kinds = {row.kind for row in built_in}
    for other in group:
        taken = other.status.acceptedNames
        if taken is not None:
            resources |= {taken.plural, taken.singular or "", *(taken.shortNames or ())}
            kinds |= {taken.kind, taken.listKind or ""}
    asked = crd.spec.names
    have = crd.status.acceptedNames or Names()
    new = msgspec.structs.replace(have)
    condition = Condition(type=NAMES_ACCEPTED, status="Unknown")
    for field, reason, of_kind in _SINGLE:
        wanted, held = getattr(asked, field) or "", getattr(have, field) or ""
        if wanted != held and wanted in (kinds if of_kind else resources):
            condition = Condition(
                type=NAMES_ACCEPTED, status="False", reason=reason, message=f"{quote(wanted)} is already in use"
            )
        else:
            setattr(new, field, wanted)
        if field == "singular":
            condition = _short_names(asked, have, new, resources) or condition
    new.categories = asked.categories
    if condition.status == "Unknown":
        condition = Condition(type=NAMES_ACCEPTED, status="True", reason="NoConflicts", message="no conflicts found")
    return new, condition


def _short_names(asked: Names, have: Names, new: Names, taken: set[str]) -> Condition | None:
    """Short names come all or not at all."""
    own = {*(have.shortNames or ()), have.plural, have.singular}
    used = [name for name in asked.shortNames or () if name not in own and name in taken]
    if not used:
        new.shortNames = asked.shortNames
        return None
    texts = [f"{quote(name)} is already in use" for name in used]
    message = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return Condition(type=NAMES_ACCEPTED, status="False", reason="ShortNamesConflict", message=message)


def established(crd: Crd, names: Condition) -> Condition:
    """Established, once the names are known and what they name is served."""
    old = find(crd, ESTABLISHED)
    if old is not None and old.status == "True":
        return old
    if names.status != "True":
        return old or Condition(
            type=ESTABLISHED, status="False", reason="NotAccepted", message="not all names are accepted"
        )
    return Condition(
        type=ESTABLISHED,
        status="True",
        reason="InitialNamesAccepted",
        message="the initial names have been accepted",
    )


def is_protected(group: str) -> bool:
    """Whether a group belongs to Kubernetes itself."""
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def approval(crd: Crd) -> Condition | None:
    """KubernetesAPIApprovalPolicyConformant; None for groups that need no approval.

    Source: KEP-1111 CRD API approval.
    """
    if not is_protected(crd.spec.group):
        return None
    text = crd.metadata.annotations.get(APPROVED_ANNOTATION, "")
    link = "https://github.com/kubernetes/enhancements/pull/1111"
    if not text:
        why = f"protected groups must have approval annotation {quote(APPROVED_ANNOTATION)}, see {link}"
        return Condition(type=APPROVAL, status="False", reason="MissingAnnotation", message=why)
    if text.startswith("unapproved"):
        why = f"not approved: {quote(text)}"
        return Condition(type=APPROVAL, status="False", reason="UnapprovedAnnotation", message=why)
    if text.startswith(("https://", "http://")):
        why = f"approved in {text}"
        return Condition(type=APPROVAL, status="True", reason="ApprovedAnnotation", message=why)
    why = (
        f"protected groups must have approval annotation {quote(APPROVED_ANNOTATION)} with either a URL or a reason "
        f'starting with "unapproved", see {link}'
    )
    return Condition(type=APPROVAL, status="False", reason="InvalidAnnotation", message=why)
