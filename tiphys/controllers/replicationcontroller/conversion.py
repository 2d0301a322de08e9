"""A ReplicationController seen as a ReplicaSet, and its status back. Pure."""

from tiphys.api import apps_v1, core_v1, meta_v1
from tiphys.machinery import codec

KIND = "ReplicationController"


def as_set(rc: core_v1.ReplicationController) -> apps_v1.ReplicaSet:
    """Shares metadata and template with ``rc``; kind and version stay, as owner references name them."""
    return apps_v1.ReplicaSet(
        apiVersion="v1",
        kind=KIND,
        metadata=rc.metadata,
        spec=apps_v1.ReplicaSetSpec(
            minReadySeconds=rc.spec.minReadySeconds,
            replicas=rc.spec.replicas,
            selector=meta_v1.LabelSelector(matchLabels=rc.spec.selector),
            template=rc.spec.template or core_v1.PodTemplateSpec(),
        ),
        status=codec.convert(apps_v1.ReplicaSetStatus, codec.to_builtins(rc.status)),
    )


def status_of(rs: apps_v1.ReplicaSet) -> core_v1.ReplicationControllerStatus:
    fields = codec.to_builtins(rs.status)
    fields.pop("terminatingReplicas", None)
    status: core_v1.ReplicationControllerStatus = codec.convert(core_v1.ReplicationControllerStatus, fields)
    return status
