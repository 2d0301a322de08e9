"""What Go leaves out of JSON: empty lists, maps, text and zeros of fields marked ``omitempty``.

An object that a client sends with ``"args": []`` must come back without it, or
comparing what was asked with what is there would never settle. The schemas do
not say which scalars are pointers in Go's types (whose zero values stay), so
the tables below name, for text, those that are, and for numbers and booleans
those that are not.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec

from tiphys.api.scalars import Object
from tiphys.machinery import fieldsets, shapes
from tiphys.machinery.shapes import Shape


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Optional text that is a pointer: empty text means something.
_POINTER_TEXT: Final = _words(
    """
    apiGroup appProtocol cachingMode completionMode failurePolicy fsGroupChangePolicy gmsaCredentialSpec
    gmsaCredentialSpecName holderIdentity hostnameOverride ingressClassName internalTrafficPolicy
    ipFamilyPolicy ipMode loadBalancerClass localhostProfile managedBy matchPolicy nodeAffinityPolicy
    nodeTaintsPolicy path pathType persistentVolumeName podReplacementPolicy preemptionPolicy preferredHolder
    procMount propagationPolicy recursiveReadOnly reinvocationPolicy resourceClaimName
    resourceClaimTemplateName runAsUserName runtimeClassName schemaURI seLinuxChangePolicy selectPolicy
    sideEffects signerName stopSignal storageClassName strategy supplementalGroupsPolicy timeZone
    unhealthyPodEvictionPolicy url volumeAttributesClassName volumeMode
    """
)
#: The same where the name alone does not tell.
_POINTER_TEXT_OF: Final = {
    "Container.restartPolicy",
    "ContainerRestartRule.action",
    "DeleteOptions.propagationPolicy",
    "Endpoint.hostname",
    "Endpoint.nodeName",
    "Endpoint.zone",
    "EndpointAddress.nodeName",
    "EndpointPort.name",
    "EndpointPort.protocol",
    "ClusterTrustBundleProjection.name",
    "AzureDiskVolumeSource.fsType",
    "AzureDiskVolumeSource.kind",
    "GlusterfsPersistentVolumeSource.endpointsNamespace",
    "PodDNSConfigOption.value",
    "Preconditions.resourceVersion",
    "Preconditions.uid",
    "NetworkPolicyPort.protocol",
    "Lifecycle.stopSignal",
    "GRPCAction.service",
    "HostPathVolumeSource.type",
    "VolumeMount.mountPropagation",
    "IngressClassParametersReference.namespace",
    "IngressClassParametersReference.scope",
    "TypedObjectReference.namespace",
    "StorageClass.reclaimPolicy",
    "StorageClass.volumeBindingMode",
    "CSIDriverSpec.fsGroupPolicy",
    "PortStatus.error",
    "IngressPortStatus.error",
    "ServiceSpec.trafficDistribution",
    "PersistentVolumeClaimStatus.currentVolumeAttributesClassName",
    "JobStatus.failedIndexes",
    "SuccessPolicyRule.succeededIndexes",
    "PodFailurePolicyOnExitCodesRequirement.containerName",
}
#: Plain although their namesakes are pointers.
_PLAIN_TEXT_OF: Final = {
    "core_v1.EndpointPort.name",
    "core_v1.EndpointPort.protocol",
    "core_v1.HTTPGetAction.path",
    "core_v1.PersistentVolumeSpec.storageClassName",
}
#: Optional booleans that are plain: false is left out.
_PLAIN_BOOL: Final = _words(
    """
    hostIPC hostNetwork hostPID paused publishNotReadyAddresses readOnly stdin stdinOnce tty unschedulable
    deprecated namespaced chapAuthDiscovery chapAuthSession globalDefault sslEnabled
    """
)
#: Optional numbers that are plain: zero is left out.
_PLAIN_NUMBER: Final = _words(
    """
    availableReplicas currentReplicas failed failureThreshold fullyLabeledReplicas generation
    healthCheckNodePort hostPort initialDelaySeconds minReadySeconds nodePort numberAvailable
    numberUnavailable observedGeneration partition periodSeconds readyReplicas signal succeeded
    successThreshold unavailableReplicas updatedNumberScheduled updatedReplicas
    """
)
_PLAIN_NUMBER_OF: Final = {
    "DeploymentStatus.replicas",
    "Probe.timeoutSeconds",
    "Event.count",
    "JobStatus.active",
    "Status.code",
    "StatusDetails.retryAfterSeconds",
    "ServiceBackendPort.number",
    "ScaleSpec.replicas",
    "ContainerImage.sizeBytes",
    "Event.deprecatedCount",
    "EventSeries.count",
}
_POINTER_NUMBER_OF: Final = {
    "RollingUpdateStatefulSetStrategy.partition",
}
_TOKENS: Final = (b"{}", b"[]", b'""', b"false", b'":0')
_OBJECT, _LIST, _MAP, _LEAF = 1, 2, 3, 0


class _Step(NamedTuple):
    attribute: str
    droppable: bool
    below: int


def trim(obj: Any) -> None:
    """Set to None, in ``obj`` and below, what Go would not write."""
    # One tuple of all fields is twice as fast as asking for them one by one.
    for value, step in zip(msgspec.structs.astuple(obj), _plan(type(obj)), strict=True):
        if value is None or step is None:
            continue
        if not value:
            if step.droppable:
                setattr(obj, step.attribute, None)
        elif step.below == _OBJECT:
            trim(value)
        elif step.below == _LIST:
            for item in value:
                trim(item)
        elif step.below == _MAP:
            for item in value.values():
                trim(item)


def may_need_trim(cls: type[Any], data: bytes) -> bool:
    """Whether the JSON of a ``cls`` holds an empty value under a name that can be left out.

    Looks at the name before each empty value, which is cheaper than walking
    the object. JSON with spaces is taken to need it.
    """
    if b'": ' in data[:40]:
        return True
    # Managed fields are full of empty objects, none of them to be left out.
    data = fieldsets.without_managed(data)
    names = _droppable_names(cls)
    find, quote = data.find, data.rfind
    for token in _TOKENS:
        at = find(token)
        while at >= 0:
            end = at if token == b'":0' else quote(b'"', 0, at)
            if data[quote(b'"', 0, max(end, 0)) + 1 : end] in names:
                return True
            at = find(token, at + 1)
    return False


def _make_plan(cls: Any) -> tuple[_Step | None, ...]:
    """What to do with each field, in the order of the Struct."""
    known = shapes.fields_of(cls)
    steps: list[_Step | None] = []
    for field in msgspec.structs.fields(cls):
        shape = known[field.encode_name]
        step = _Step(field.name, _is_droppable(cls, field.encode_name, shape), _below(shape))
        steps.append(step if step.droppable or step.below else None)
    return tuple(steps)


_plan: Callable[[Any], tuple[_Step | None, ...]] = cache(_make_plan)


def _below(shape: Shape) -> int:
    if shape.form == "object":
        return _OBJECT
    if shape.item is not None and shape.item.form == "object":
        return _LIST if shape.form == "list" else _MAP
    return _LEAF


def _is_droppable(cls: type[Object], name: str, shape: Shape) -> bool:
    if not shape.optional or shape.form == "object":
        return False
    if shape.form in ("list", "map"):
        return True
    field = f"{cls.__name__}.{name}"
    if shape.type is str:
        full = shapes.class_name(cls) + "." + name
        return full in _PLAIN_TEXT_OF or (name not in _POINTER_TEXT and field not in _POINTER_TEXT_OF)
    if shape.type is bool:
        return name in _PLAIN_BOOL
    return (name in _PLAIN_NUMBER or field in _PLAIN_NUMBER_OF) and field not in _POINTER_NUMBER_OF


def _find_droppable_names(cls: Any) -> frozenset[bytes]:
    return frozenset(name.encode() for below in _classes_below(cls, set()) for name in _droppable_of(below))


_droppable_names: Callable[[Any], frozenset[bytes]] = cache(_find_droppable_names)


def _droppable_of(cls: type[Object]) -> Iterator[str]:
    return (name for name, shape in shapes.fields_of(cls).items() if _is_droppable(cls, name, shape))


def _classes_below(cls: type[Object], seen: set[type[Object]]) -> set[type[Object]]:
    if cls not in seen:
        seen.add(cls)
        for shape in shapes.fields_of(cls).values():
            if shape.cls is not None:
                _classes_below(shape.cls, seen)
    return seen
