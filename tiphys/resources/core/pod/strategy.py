"""What each of a Pod's endpoints allows."""

import msgspec

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources.core.pod import defaults, scheduling, update, validation
from tiphys.resources.core.pod.qos import qos_class
from tiphys.resources.core.pod.warnings import pod_spec_warnings
from tiphys.resources.rules import Strategy

GATED_MESSAGE = "Scheduling is blocked due to non-empty scheduling gates"


class _PodEndpoint(Strategy[core_v1.Pod]):
    """What all endpoints share: defaults, and generation counts changes of the spec."""

    def default(self, obj: core_v1.Pod) -> None:
        defaults.default_pod(obj)

    def _count(self, obj: core_v1.Pod, old: core_v1.Pod) -> None:
        obj.metadata.generation = (old.metadata.generation or 0) + (obj.spec != old.spec)


class PodStrategy(_PodEndpoint):
    """The main endpoint."""

    def prepare_for_create(self, obj: core_v1.Pod) -> None:
        obj.metadata.generation = 1
        obj.status = core_v1.PodStatus(phase="Pending", qosClass=qos_class(obj))
        scheduling.merge_label_keys(obj.spec, obj.metadata.labels)
        if obj.spec.schedulingGates:
            gated = core_v1.PodCondition(
                type="PodScheduled", status="False", reason="SchedulingGated", message=GATED_MESSAGE
            )
            obj.status.conditions = [gated]

    def validate_create(self, obj: core_v1.Pod) -> list[FieldError]:
        return validation.validate_create(obj)

    def prepare_for_update(self, obj: core_v1.Pod, old: core_v1.Pod) -> None:
        obj.status = old.status
        self._count(obj, old)

    def validate_update(self, obj: core_v1.Pod, old: core_v1.Pod) -> list[FieldError]:
        return update.validate_update(obj, old)

    def warnings(self, obj: core_v1.Pod, old: core_v1.Pod | None) -> list[str]:
        if old is not None and obj.spec == old.spec:
            return []
        return pod_spec_warnings("spec", obj.spec)

    def grace_period_seconds(self, obj: core_v1.Pod, asked: int | None) -> int | None:
        """What was asked, or what the Pod says; a Pod that no node has, or that has ended, goes at once."""
        if not obj.spec.nodeName or obj.status.phase in ("Failed", "Succeeded"):
            return 0
        seconds = asked if asked is not None else obj.spec.terminationGracePeriodSeconds
        if seconds is None:
            return 30
        return 1 if seconds < 0 else seconds


class PodStatusStrategy(_PodEndpoint):
    """``/status``: written by the kubelet."""

    def prepare_for_update(self, obj: core_v1.Pod, old: core_v1.Pod) -> None:
        obj.spec = old.spec
        obj.metadata.generation = old.metadata.generation
        obj.metadata.ownerReferences = old.metadata.ownerReferences
        if not obj.status.qosClass:
            obj.status.qosClass = old.status.qosClass
        _sync_addresses(obj.status)

    def validate_update(self, obj: core_v1.Pod, old: core_v1.Pod) -> list[FieldError]:
        return update.validate_status_update(obj, old)


def _sync_addresses(status: core_v1.PodStatus) -> None:
    """The single address is the first of the list, whichever of the two a client knows."""
    if status.podIP and (not status.podIPs or status.podIPs[0].ip != status.podIP):
        status.podIPs = [core_v1.PodIP(ip=status.podIP)]
    elif status.podIPs:
        status.podIP = status.podIPs[0].ip


class EphemeralContainersStrategy(_PodEndpoint):
    """``/ephemeralcontainers``: only that list is taken from the client."""

    def prepare_for_update(self, obj: core_v1.Pod, old: core_v1.Pod) -> None:
        added = obj.spec.ephemeralContainers
        obj.spec = _replaced(old.spec, ephemeralContainers=added)
        obj.status = old.status
        self._count(obj, old)

    def validate_update(self, obj: core_v1.Pod, old: core_v1.Pod) -> list[FieldError]:
        return update.validate_ephemeral_update(obj, old)


def _replaced(spec: core_v1.PodSpec, **values: object) -> core_v1.PodSpec:
    return msgspec.structs.replace(spec, **values)


class ResizeStrategy(_PodEndpoint):
    """``/resize``: resources of running containers."""

    def prepare_for_update(self, obj: core_v1.Pod, old: core_v1.Pod) -> None:
        obj.status = old.status
        obj.metadata.labels, obj.metadata.annotations = old.metadata.labels, old.metadata.annotations
        self._count(obj, old)

    def validate_update(self, obj: core_v1.Pod, old: core_v1.Pod) -> list[FieldError]:
        errs = update.validate_resize(obj, old)
        if old.status.qosClass and qos_class(obj) != old.status.qosClass:
            errs.append(fields.invalid("spec", qos_class(obj), "Pod QOS Class may not change as a result of resizing"))
        return errs
