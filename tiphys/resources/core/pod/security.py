"""Validation of security contexts."""

import re

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.core.pod.mounts import local_descending_path

SECCOMP_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
APPARMOR_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?")


def validate_container(errs: Errors, path: str, context: core_v1.SecurityContext) -> None:
    _ids(errs, path, context.runAsUser, context.runAsGroup)
    _seccomp(errs, f"{path}.seccompProfile", context.seccompProfile)
    _apparmor(errs, f"{path}.appArmorProfile", context.appArmorProfile)
    if context.procMount is not None:
        checks.one_of(errs, f"{path}.procMount", context.procMount, ("Default", "Unmasked"))
    if context.allowPrivilegeEscalation is False:
        if context.privileged:
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errs.append(fields.invalid(path, context, detail))
        if context.capabilities and "CAP_SYS_ADMIN" in (context.capabilities.add or ()):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errs.append(fields.invalid(path, context, detail))


def validate_pod(errs: Errors, path: str, spec: core_v1.PodSpec) -> None:
    """The Pod's security context and the host namespaces that stand beside it."""
    context = spec.securityContext
    if spec.shareProcessNamespace and spec.hostPID:
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        errs.append(fields.invalid("spec.shareProcessNamespace", True, detail))
    if spec.hostUsers is False:
        for field, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if getattr(spec, field):
                errs.append(
                    fields.forbidden(f"{path.rpartition('.')[0]}.{shown}", "when `pod.Spec.HostUsers` is false")
                )
    if context is None or context == _EMPTY:
        return
    _ids(errs, path, context.runAsUser, context.runAsGroup)
    if context.fsGroup is not None:
        checks.in_range(errs, f"{path}.fsGroup", context.fsGroup, 0, checks.MAX_INT32)
    for index, group in enumerate(context.supplementalGroups or ()):
        checks.in_range(errs, f"{path}.supplementalGroups[{index}]", group, 0, checks.MAX_INT32)
    _seccomp(errs, f"{path}.seccompProfile", context.seccompProfile)
    _apparmor(errs, f"{path}.appArmorProfile", context.appArmorProfile)
    if context.fsGroupChangePolicy is not None:
        checks.one_of(errs, f"{path}.fsGroupChangePolicy", context.fsGroupChangePolicy, ("Always", "OnRootMismatch"))
    if context.supplementalGroupsPolicy is not None:
        checks.one_of(errs, f"{path}.supplementalGroupsPolicy", context.supplementalGroupsPolicy, ("Merge", "Strict"))
    _sysctls(errs, f"{path}.sysctls", context.sysctls or [])


_EMPTY = core_v1.PodSecurityContext()


def _ids(errs: Errors, path: str, user: int | None, group: int | None) -> None:
    if user is not None:
        checks.in_range(errs, f"{path}.runAsUser", user, 0, checks.MAX_INT32)
    if group is not None:
        checks.in_range(errs, f"{path}.runAsGroup", group, 0, checks.MAX_INT32)


def _seccomp(errs: Errors, path: str, profile: core_v1.SeccompProfile | None) -> None:
    if profile is None:
        return
    if not profile.type:
        errs.append(fields.required(f"{path}.type", "type is required when seccompProfile is set"))
    else:
        checks.one_of(errs, f"{path}.type", profile.type, SECCOMP_TYPES)
    _localhost_profile(errs, path, profile.type, profile.localhostProfile, "seccomp type")


def _apparmor(errs: Errors, path: str, profile: core_v1.AppArmorProfile | None) -> None:
    if profile is None:
        return
    if not profile.type:
        errs.append(fields.required(f"{path}.type", "type is required when appArmorProfile is set"))
    else:
        checks.one_of(errs, f"{path}.type", profile.type, APPARMOR_TYPES)
    _localhost_profile(errs, path, profile.type, profile.localhostProfile, "AppArmor type")


def _localhost_profile(errs: Errors, path: str, type_: str, profile: str | None, what: str) -> None:
    here = f"{path}.localhostProfile"
    if type_ == "Localhost":
        if not profile:
            errs.append(fields.required(here, f"must be set when {what} is Localhost"))
        else:
            local_descending_path(errs, here, profile)
    elif profile is not None:
        errs.append(fields.invalid(here, profile, f"can only be set when {what} is Localhost"))


def _sysctls(errs: Errors, path: str, sysctls: list[core_v1.Sysctl]) -> None:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        here = f"{path}[{index}].name"
        if not sysctl.name:
            errs.append(fields.required(here))
        elif len(sysctl.name) > 253 or not _SYSCTL.fullmatch(sysctl.name):
            detail = f"must have at most 253 characters and match regex ^{_SYSCTL.pattern}$"
            errs.append(fields.invalid(here, sysctl.name, detail))
        elif sysctl.name in seen:
            errs.append(fields.duplicate(here, sysctl.name))
        seen.add(sysctl.name)
