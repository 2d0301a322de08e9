"""What may change in a Pod that exists, by each of its endpoints."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tiphys.api import core_v1
from tiphys.machinery import codec, fields, goformat, names
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.core.pod.validation import validate_pod

UPDATABLE = (
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
)
STATES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


def validate_update(pod: core_v1.Pod, old: core_v1.Pod) -> Errors:
    """The main endpoint: images, deadline, more tolerations, fewer gates."""
    errs: Errors = []
    if pod.spec == old.spec:
        # It was valid when it was written, and looking again would be a third of a metadata patch.
        return errs
    validate_pod(errs, pod)
    for field in ("containers", "initContainers"):
        if not _same_length(errs, f"spec.{field}", getattr(pod.spec, field) or [], getattr(old.spec, field) or []):
            return errs
    if not _deadline(errs, pod.spec.activeDeadlineSeconds, old.spec.activeDeadlineSeconds):
        return errs
    _only_added_tolerations(errs, pod.spec.tolerations or [], old.spec.tolerations or [])
    _only_removed_gates(errs, pod.spec.schedulingGates or [], old.spec.schedulingGates or [])
    allowed = _with_old_values(pod.spec, old.spec)
    if old.spec.schedulingGates:
        _gated(errs, allowed, old.spec)
    if allowed != old.spec:
        changes = describe_changes(allowed, old.spec)
        detail = f"pod updates may not change fields other than {','.join(UPDATABLE)}\n{changes}"
        errs.append(fields.forbidden("spec", detail))
    return errs


def _same_length(errs: Errors, path: str, new: Sequence[core_v1.Container], old: Sequence[core_v1.Container]) -> bool:
    if len(new) != len(old):
        errs.append(fields.forbidden(path, "pod updates may not add or remove containers"))
        return False
    for index, container in enumerate(new):
        if not container.image:
            errs.append(fields.required(f"{path}[{index}].image"))
    return True


def _deadline(errs: Errors, new: int | None, old: int | None) -> bool:
    path = "spec.activeDeadlineSeconds"
    if new is not None:
        if not 0 <= new <= checks.MAX_INT32:
            errs.append(fields.invalid(path, new, names.inclusive_range(0, checks.MAX_INT32)))
            return False
        if old is not None and old < new:
            errs.append(fields.invalid(path, new, "must be less than or equal to previous value"))
            return False
    elif old is not None:
        errs.append(fields.invalid(path, None, "must not update from a positive integer to nil value"))
    return True


def _only_added_tolerations(errs: Errors, new: Sequence[core_v1.Toleration], old: Sequence[core_v1.Toleration]) -> None:
    kept = [msgspec.structs.replace(toleration, tolerationSeconds=None) for toleration in new]
    for toleration in old:
        if msgspec.structs.replace(toleration, tolerationSeconds=None) not in kept:
            detail = "existing toleration can not be modified except its tolerationSeconds"
            errs.append(fields.forbidden("spec.tolerations", detail))
            return


def _only_removed_gates(
    errs: Errors, new: Sequence[core_v1.PodSchedulingGate], old: Sequence[core_v1.PodSchedulingGate]
) -> None:
    known = {gate.name for gate in old}
    for index, gate in enumerate(new):
        if gate.name not in known:
            detail = f"only deletion is allowed, but found new scheduling gate '{gate.name}'"
            errs.append(fields.forbidden(f"spec.schedulingGates[{index}].name", detail))


def _with_old_values(new: core_v1.PodSpec, old: core_v1.PodSpec) -> core_v1.PodSpec:
    """The new spec with all that may change set back."""
    replaced: dict[str, Any] = {
        "containers": _with_old_images(new.containers, old.containers),
        "activeDeadlineSeconds": old.activeDeadlineSeconds,
        "tolerations": old.tolerations,
        "schedulingGates": old.schedulingGates,
    }
    if new.initContainers and old.initContainers:
        replaced["initContainers"] = _with_old_images(new.initContainers, old.initContainers)
    if (old.terminationGracePeriodSeconds or 0) < 0 and new.terminationGracePeriodSeconds == 1:
        replaced["terminationGracePeriodSeconds"] = old.terminationGracePeriodSeconds
    return msgspec.structs.replace(new, **replaced)


def _with_old_images(new: Sequence[core_v1.Container], old: Sequence[core_v1.Container]) -> list[core_v1.Container]:
    return [msgspec.structs.replace(container, image=before.image) for container, before in zip(new, old, strict=True)]


def _gated(errs: Errors, spec: core_v1.PodSpec, old: core_v1.PodSpec) -> None:
    """A gated Pod may get a narrower node selector."""
    selector, before = spec.nodeSelector or {}, old.nodeSelector or {}
    if selector != before:
        if any(selector.get(key) != value for key, value in before.items()):
            detail = "only additions are allowed (no mutations or deletions)"
            errs.append(fields.invalid("spec.nodeSelector", selector, detail))
        spec.nodeSelector = old.nodeSelector


def describe_changes(new: core_v1.PodSpec, old: core_v1.PodSpec) -> str:
    """The fields that differ, each with both values."""
    before, after = codec.to_builtins(old), codec.to_builtins(new)
    lines = ["  core.PodSpec{"]
    for field in sorted({*before, *after}):
        if before.get(field) != after.get(field):
            lines += [f"- \t{field}: {_shown(before.get(field))},", f"+ \t{field}: {_shown(after.get(field))},"]
    return "\n".join([*lines, "  }", ""])


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def validate_status_update(pod: core_v1.Pod, old: core_v1.Pod) -> Errors:
    """``/status``: what is finished stays so."""
    errs: Errors = []
    status, before = pod.status, old.status
    if status.nominatedNodeName and status.nominatedNodeName != before.nominatedNodeName:
        checks.form(errs, "status.nominatedNodeName", status.nominatedNodeName, checks.dns1123_subdomain)
    if before.qosClass and status.qosClass != before.qosClass:
        errs.append(fields.invalid("status.qosClass", status.qosClass or "", checks.IMMUTABLE))
    for field in STATES:
        policy = "Never" if field == "ephemeralContainerStatuses" else old.spec.restartPolicy or ""
        _transitions(errs, f"status.{field}", getattr(status, field) or [], getattr(before, field) or [], policy, old)
    _addresses(errs, status)
    return errs


def _transitions(
    errs: Errors,
    path: str,
    new: Sequence[core_v1.ContainerStatus],
    old: Sequence[core_v1.ContainerStatus],
    restart_policy: str,
    pod: core_v1.Pod,
) -> None:
    if restart_policy == "Always" or not old:
        return
    # Containers with a policy of their own, sidecars among them, may be started again.
    restartable = {
        container.name
        for container in (*pod.spec.containers, *(pod.spec.initContainers or ()))
        if container.restartPolicy is not None
    }
    for index, before in enumerate(old):
        ended = before.state.terminated
        if ended is None or before.name in restartable:
            continue
        if ended.exitCode != 0 and restart_policy == "OnFailure":
            continue
        if any(status.name == before.name and status.state.terminated is None for status in new):
            detail = "may not be transitioned to non-terminated state"
            errs.append(fields.forbidden(f"{path}[{index}].state", detail))


def _addresses(errs: Errors, status: core_v1.PodStatus) -> None:
    for index, address in enumerate(status.podIPs or ()):
        checks.form(errs, f"status.podIPs[{index}]", address.ip, checks.ip_address)
    for index, host in enumerate(status.hostIPs or ()):
        checks.form(errs, f"status.hostIPs[{index}]", host.ip, checks.ip_address)
    if status.hostIPs and status.hostIP != status.hostIPs[0].ip:
        detail = "must be equal to `hostIP`"
        errs.append(fields.invalid("status.hostIPs[0].ip", status.hostIPs[0].ip, detail))


def validate_ephemeral_update(pod: core_v1.Pod, old: core_v1.Pod) -> Errors:
    """``/ephemeralcontainers``: containers are only added."""
    errs: Errors = []
    validate_pod(errs, pod)
    kept = {container.name: container for container in pod.spec.ephemeralContainers or ()}
    for index, container in enumerate(old.spec.ephemeralContainers or ()):
        path = f"spec.ephemeralContainers[{index}]"
        if container.name not in kept:
            detail = f"existing ephemeral containers {goformat.quote(container.name)} may not be removed\n"
            errs.append(fields.forbidden("spec.ephemeralContainers", detail))
        elif kept[container.name] != container:
            detail = f"existing ephemeral containers {goformat.quote(container.name)} may not be changed\n"
            errs.append(fields.forbidden(path, detail))
    return errs


def validate_resize(pod: core_v1.Pod, old: core_v1.Pod) -> Errors:
    """``/resize``: cpu and memory of containers, never the class of service."""
    errs: Errors = []
    validate_pod(errs, pod)
    if len(pod.spec.containers) != len(old.spec.containers):
        errs.append(fields.forbidden("spec.containers", "containers may not be added or removed on resize"))
        return errs
    restored = [
        msgspec.structs.replace(container, resources=before.resources, resizePolicy=before.resizePolicy)
        for container, before in zip(pod.spec.containers, old.spec.containers, strict=True)
    ]
    replaced: dict[str, Any] = {"containers": restored, "resources": old.spec.resources}
    if pod.spec.initContainers and old.spec.initContainers:
        before_init = {container.name: container for container in old.spec.initContainers}
        replaced["initContainers"] = [
            msgspec.structs.replace(
                container,
                resources=before_init[container.name].resources,
                resizePolicy=before_init[container.name].resizePolicy,
            )
            if container.restartPolicy == "Always" and container.name in before_init
            else container
            for container in pod.spec.initContainers
        ]
    if msgspec.structs.replace(pod.spec, **replaced) != old.spec:
        errs.append(fields.forbidden("spec", "only cpu and memory resources are mutable"))
    return errs
