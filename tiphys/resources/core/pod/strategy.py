"""What each of a Pod's endpoints allows."""

import msgspec

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks
from tiphys.resources.core.pod import defaults, scheduling, update, validation
from tiphys.resources.core.pod.qos import qos_class
from tiphys.resources.core.pod.warnings import pod_spec_warnings
from tiphys.resources.rules import Strategy

HOSTNAME_WARNING = (
    "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
    "a DNS label is recommended"
)
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
        if old is not None:
            return []
        problems = checks.dns1123_label(obj.metadata.name)
        named = [f"{HOSTNAME_WARNING}: [{' '.join(problems)}]"] if problems else []
        return [*named, *pod_spec_warnings("spec", obj.spec)]

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
        _keep_observed(obj.status, old.status)

    def validate_update(self, obj: core_v1.Pod, old: core_v1.Pod) -> list[FieldError]:
        return update.validate_status_update(obj, old)


def _sync_addresses(status: core_v1.PodStatus) -> None:
    """The single address is the first of the list, whichever of the two a client knows."""
    if status.podIP and (not status.podIPs or status.podIPs[0].ip != status.podIP):
        status.podIPs = [core_v1.PodIP(ip=status.podIP)]
    elif status.podIPs:
        status.podIP = status.podIPs[0].ip


def _keep_observed(status: core_v1.PodStatus, old: core_v1.PodStatus) -> None:
    """Clients that do not know ``observedGeneration`` do not clear it."""
    status.observedGeneration = status.observedGeneration or old.observedGeneration
    observed = {each.type: each.observedGeneration for each in old.conditions or ()}
    for condition in status.conditions or ():
        condition.observedGeneration = condition.observedGeneration or observed.get(condition.type)


def _keep_metadata(obj: core_v1.Pod, old: core_v1.Pod) -> None:
    """Subresources that change part of the spec take nothing of the metadata but the preconditions."""
    given = obj.metadata
    obj.metadata = msgspec.structs.replace(
        old.metadata,
        name=given.name,
        namespace=given.namespace,
        uid=given.uid,
        resourceVersion=given.resourceVersion,
    )


class EphemeralContainersStrategy(_PodEndpoint):
    """``/ephemeralcontainers``: only that list is taken from the client."""

    def prepare_for_update(self, obj: core_v1.Pod, old: core_v1.Pod) -> None:
        added = obj.spec.ephemeralContainers
        obj.spec = msgspec.structs.replace(old.spec, ephemeralContainers=added)
        obj.status = old.status
        _keep_metadata(obj, old)
        self._count(obj, old)

    def validate_update(self, obj: core_v1.Pod, old: core_v1.Pod) -> list[FieldError]:
        return update.validate_ephemeral_update(obj, old)


def _resized(
    new: list[core_v1.Container] | None, old: list[core_v1.Container] | None
) -> list[core_v1.Container] | None:
    """The old containers with the new resources; the new ones as they are if they are not the same containers."""
    if [each.name for each in new or ()] != [each.name for each in old or ()]:
        return new
    pairs = zip(new or (), old or (), strict=True)
    merged = [
        msgspec.structs.replace(before, resources=each.resources, resizePolicy=each.resizePolicy)
        for each, before in pairs
    ]
    return merged if old is not None else None


class ResizeStrategy(_PodEndpoint):
    """``/resize``: resources of running containers."""

    def prepare_for_update(self, obj: core_v1.Pod, old: core_v1.Pod) -> None:
        obj.spec = msgspec.structs.replace(
            old.spec,
            containers=_resized(obj.spec.containers, old.spec.containers),
            initContainers=_resized(obj.spec.initContainers, old.spec.initContainers),
            resources=obj.spec.resources,
        )
        obj.status = old.status
        _keep_metadata(obj, old)
        self._count(obj, old)

    def validate_update(self, obj: core_v1.Pod, old: core_v1.Pod) -> list[FieldError]:
        errs = update.validate_resize(obj, old)
        if old.status.qosClass and qos_class(obj) != old.status.qosClass:
            errs.append(fields.invalid("spec", qos_class(obj), "Pod QOS Class may not change as a result of resizing"))
        return errs
