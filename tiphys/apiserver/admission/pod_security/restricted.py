"""Checks of the level "restricted": what a hardened Pod says of itself.

Source: Kubernetes docs, "Pod Security Standards", "Restricted".
"""

from typing import Any, Final

from tiphys.apiserver.admission.pod_security import baseline
from tiphys.apiserver.admission.pod_security.findings import (
    Check,
    Finding,
    Subject,
    containers,
    plural,
    quoted,
    setters,
)

VOLUMES: Final = (
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
)


def not_on_windows(check: Check) -> Check:
    """The same check for everything but Windows, where the field means nothing."""

    def checked(subject: Subject) -> Finding | None:
        return None if subject.is_windows else check(subject)

    return checked


def not_with_own_users(check: Check) -> Check:
    """The same check for all but Pods whose root is nobody outside."""

    def checked(subject: Subject) -> Finding | None:
        return None if subject.has_own_users else check(subject)

    return checked


def escalation(subject: Subject) -> Finding | None:
    names = [
        one.name
        for one in subject.containers()
        if one.securityContext is None or one.securityContext.allowPrivilegeEscalation is not False
    ]
    if not names:
        return None
    detail = f"{containers(names)} must set securityContext.allowPrivilegeEscalation=false"
    return Finding("allowPrivilegeEscalation != false", detail)


def capabilities(subject: Subject) -> Finding | None:
    keeping: list[str] = []
    adding: list[str] = []
    added: set[str] = set()
    for one in subject.containers():
        found = one.securityContext.capabilities if one.securityContext is not None else None
        if found is None or "ALL" not in (found.drop or ()):
            keeping.append(one.name)
        bad = set((found.add if found is not None else None) or ()) - {"NET_BIND_SERVICE"}
        if bad:
            adding.append(one.name)
            added |= bad
    said = []
    if keeping:
        said.append(f'{containers(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        what = f"must not include {quoted(sorted(added))} in securityContext.capabilities.add"
        said.append(f"{containers(adding)} {what}")
    return Finding("unrestricted capabilities", "; ".join(said)) if said else None


def volumes(subject: Subject) -> Finding | None:
    names: list[str] = []
    types: set[str] = set()
    for one in subject.spec.volumes or ():
        if any(getattr(one, name) is not None for name in VOLUMES):
            continue
        names.append(one.name)
        types.add(_type_of(one))
    if not names:
        return None
    uses = (
        f"{plural('uses', 'use', len(names))} {plural('restricted volume type', 'restricted volume types', len(types))}"
    )
    detail = f"{plural('volume', 'volumes', len(names))} {quoted(names)} {uses} {quoted(sorted(types))}"
    return Finding("restricted volume types", detail)


def _type_of(volume: Any) -> str:
    # Images came later than the list, in which they are unknown.
    set_ = (name for name in volume.__struct_fields__ if name not in ("name", "image"))
    return next((name for name in set_ if getattr(volume, name) is not None), "unknown")


def non_root(subject: Subject) -> Finding | None:
    reason = "runAsNonRoot != true"
    who = setters(subject, lambda context: context.runAsNonRoot is False)
    if who:
        return Finding(reason, f"{' and '.join(who)} must not set securityContext.runAsNonRoot=false")
    names = _silent(subject, "runAsNonRoot")
    if not names:
        return None
    return Finding(reason, f"pod or {containers(names)} must set securityContext.runAsNonRoot=true")


def _silent(subject: Subject, field: str) -> list[str]:
    """Containers that do not say something that the Pod does not say for them either."""
    context = subject.spec.securityContext
    if context is not None and getattr(context, field):
        return []
    return [
        one.name
        for one in subject.containers()
        if one.securityContext is None or getattr(one.securityContext, field) is None
    ]


def user(subject: Subject) -> Finding | None:
    who = setters(subject, lambda context: context.runAsUser == 0)
    return Finding("runAsUser=0", f"{' and '.join(who)} must not set runAsUser=0") if who else None


def seccomp(subject: Subject) -> Finding | None:
    found = baseline.seccomp(subject)
    if found is not None:
        return found
    names = _silent(subject, "seccompProfile")
    if not names:
        return None
    what = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Finding("seccompProfile", f"pod or {containers(names)} {what}")
