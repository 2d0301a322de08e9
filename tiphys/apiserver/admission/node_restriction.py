"""NodeRestriction: a node writes about itself and the Pods bound to it, and about nothing else.

Source: Kubernetes docs, "Admission Control", NodeRestriction.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Final, Self

from tiphys.apiserver.admission.plugin import Plugin, Tools, forbidden, is_mirror, resource_of
from tiphys.apiserver.authorization import NODE_LEASES, node_name_of
from tiphys.apiserver.seams import Attributes, Objects
from tiphys.machinery import codec, errors
from tiphys.machinery.goformat import quote

MIRROR: Final = "kubernetes.io/config.mirror"
KUBELET_LABELS: Final = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.kubernetes.io/region",
        "failure-domain.kubernetes.io/zone",
        "node.kubernetes.io/instance-type",
        "node.kubernetes.io/windows-build",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    }
)
KUBELET_PREFIXES: Final = ("kubelet.kubernetes.io", "node.kubernetes.io")


class NodeRestriction(Plugin):
    name: ClassVar = "NodeRestriction"
    operations: ClassVar = ("CREATE", "UPDATE", "DELETE")
    resources: ClassVar = (
        "pods",
        "pods/status",
        "pods/eviction",
        "nodes",
        "nodes/status",
        "serviceaccounts/token",
        "leases.coordination.k8s.io",
        "csinodes.storage.k8s.io",
        "persistentvolumeclaims",
        "persistentvolumeclaims/status",
        "resourceslices.resource.k8s.io",
    )

    @classmethod
    def made(cls, tools: Tools) -> Self:
        return cls(tools.objects)

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        node = node_name_of(attributes.user)
        if node is None:
            return
        if not node:
            raise forbidden(attributes, obj, f"could not determine node from user {quote(attributes.user.name)}")
        check = _CHECKS[resource_of(attributes)]
        why = check(self, node, attributes, obj, old)
        if why:
            raise forbidden(attributes, obj, why)

    def _pod(self, attributes: Attributes) -> Any:
        found = self._objects.find("", "pods", attributes.namespace, attributes.name)
        if found is None:
            raise errors.NotFound("pods", attributes.name)
        return found

    def _check_pod(self, node: str, attributes: Attributes, obj: Any, old: Any) -> str:
        who = quote(node)
        if attributes.operation == "CREATE":
            return _check_mirror(node, obj)
        if attributes.operation == "DELETE":
            if attributes.name and self._pod(attributes).spec.nodeName != node:
                return f"node {who} can only delete pods with spec.nodeName set to itself"
            return ""
        return f"unexpected operation {quote(attributes.operation)}, node {who} can only create and delete mirror pods"

    def _check_pod_status(self, node: str, attributes: Attributes, obj: Any, old: Any) -> str:
        if attributes.operation != "UPDATE" or old is None:
            return f"unexpected operation {quote(attributes.operation)}"
        if old.spec.nodeName != node:
            return f"node {quote(node)} can only update pod status for pods with spec.nodeName set to itself"
        if obj.metadata.labels != old.metadata.labels:
            return f"node {quote(node)} cannot update labels through pod status"
        # Claims that a Pod has are the node's to read: it must not choose them.
        if (obj.status.resourceClaimStatuses or []) != (old.status.resourceClaimStatuses or []):
            return f"node {quote(node)} cannot update resource claim statuses"
        if obj.status.extendedResourceClaimStatus != old.status.extendedResourceClaimStatus:
            return f"node {quote(node)} cannot update extended resource claim status"
        return ""

    def _check_eviction(self, node: str, attributes: Attributes, obj: Any, old: Any) -> str:
        if self._pod(attributes).spec.nodeName != node:
            return f"node {node} can only evict pods with spec.nodeName set to itself"
        return ""

    def _check_node(self, node: str, attributes: Attributes, obj: Any, old: Any) -> str:
        name = attributes.name or (obj.metadata.name if obj is not None else "")
        if attributes.operation == "CREATE":
            wrong = sorted(restricted(obj.metadata.labels))
            if wrong:
                return f"is not allowed to set the following labels: {', '.join(wrong)}"
        if name != node:
            return f"node {quote(node)} is not allowed to modify node {quote(name)}"
        if attributes.operation != "UPDATE" or old is None:
            return ""
        if obj.metadata.ownerReferences != old.metadata.ownerReferences:
            return f"node {quote(node)} is not allowed to modify ownerReferences"
        if (obj.spec.taints or []) != (old.spec.taints or []):
            return f"node {quote(node)} is not allowed to modify taints"
        changed = {
            label
            for label in {*obj.metadata.labels, *old.metadata.labels}
            if obj.metadata.labels.get(label) != old.metadata.labels.get(label)
        }
        wrong = sorted(restricted(changed))
        return f"is not allowed to modify labels: {', '.join(wrong)}" if wrong else ""

    def _check_token(self, node: str, attributes: Attributes, obj: Any, old: Any) -> str:
        reference = obj.spec.boundObjectRef
        if reference is None or reference.apiVersion != "v1" or reference.kind != "Pod" or not reference.name:
            return "node requested token not bound to a pod"
        if not reference.uid:
            return "node requested token with a pod binding without a uid"
        pod = self._objects.find("", "pods", attributes.namespace, reference.name)
        if pod is None:
            raise errors.NotFound("pods", reference.name)
        if pod.metadata.uid != reference.uid:
            return (
                f"the UID in the bound object reference ({reference.uid}) does not match the UID in record "
                f"({pod.metadata.uid}). The object might have been deleted and then recreated"
            )
        if pod.spec.nodeName != node:
            return "node requested token bound to a pod scheduled on a different node"
        return ""

    def _check_lease(self, node: str, attributes: Attributes, obj: Any, old: Any) -> str:
        if attributes.namespace != NODE_LEASES:
            return f"can only access leases in the {quote(NODE_LEASES)} system namespace"
        name = attributes.name or (obj.metadata.name if obj is not None else "")
        if name != node:
            return "can only access node lease with the same name as the requesting node"
        return ""

    def _check_csi_node(self, node: str, attributes: Attributes, obj: Any, old: Any) -> str:
        name = attributes.name or (obj.metadata.name if obj is not None else "")
        if name != node:
            return "can only access CSINode with the same name as the requesting node"
        return ""

    def _check_claim(self, node: str, attributes: Attributes, obj: Any, old: Any) -> str:
        return "may only update PVC status"

    def _check_claim_status(self, node: str, attributes: Attributes, obj: Any, old: Any) -> str:
        if attributes.operation != "UPDATE" or old is None:
            return f"unexpected operation {quote(attributes.operation)}"
        before, after = codec.copy(old), codec.copy(obj)
        for claim in (before, after):
            claim.metadata.managedFields = None
            claim.metadata.resourceVersion = ""
            for field in NODES_CLAIM_STATUS:
                setattr(claim.status, field, None)
        if before != after:
            who = f"node {quote(node)}"
            return f"{who} is not allowed to update fields other than status.quantity and status.conditions"
        return ""

    def _check_slice(self, node: str, attributes: Attributes, obj: Any, old: Any) -> str:
        # All else is looked at by the node authorizer, which sees neither what is created nor each of a collection.
        if attributes.operation == "CREATE" and obj.spec.nodeName != node:
            return "can only create ResourceSlice with the same NodeName as the requesting node"
        if attributes.operation == "DELETE" and old is not None and old.spec.nodeName != node:
            return "can only delete ResourceSlice with the same NodeName as the requesting node"
        return ""


#: What a node finds out about a volume that it mounts or enlarges.
NODES_CLAIM_STATUS: Final = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")

_CHECKS: Final[dict[str, Callable[[NodeRestriction, str, Attributes, Any, Any], str]]] = {
    "pods": NodeRestriction._check_pod,
    "pods/status": NodeRestriction._check_pod_status,
    "pods/eviction": NodeRestriction._check_eviction,
    "nodes": NodeRestriction._check_node,
    "nodes/status": NodeRestriction._check_node,
    "serviceaccounts/token": NodeRestriction._check_token,
    "leases.coordination.k8s.io": NodeRestriction._check_lease,
    "csinodes.storage.k8s.io": NodeRestriction._check_csi_node,
    "persistentvolumeclaims": NodeRestriction._check_claim,
    "persistentvolumeclaims/status": NodeRestriction._check_claim_status,
    "resourceslices.resource.k8s.io": NodeRestriction._check_slice,
}


def _check_mirror(node: str, pod: Any) -> str:
    who = quote(node)
    if not is_mirror(pod):
        return f"pod does not have {quote(MIRROR)} annotation, node {who} can only create mirror pods"
    if pod.spec.nodeName != node:
        return f"node {who} can only create pods with spec.nodeName set to itself"
    owners = pod.metadata.ownerReferences
    if len(owners) != 1 or owners[0].kind != "Node" or owners[0].name != node:
        return f"node {who} can only create pods with an owner reference set to itself"
    if pod.spec.serviceAccountName:
        return f"node {who} can not create pods that reference a service account"
    for volume in pod.spec.volumes or ():
        for kind in ("secret", "configMap", "persistentVolumeClaim", "projected"):
            if getattr(volume, kind) is not None:
                return f"node {who} can not create pods that reference {kind.lower()}s"
    return ""


def restricted(labels: Any) -> set[str]:
    """Those labels that only others may set on a node: in kubernetes.io or k8s.io, but not the kubelet's own."""
    found = set()
    for label in labels:
        domain, slash, _ = label.partition("/")
        if not slash:
            continue
        foreign = not any(domain == one or domain.endswith(f".{one}") for one in ("kubernetes.io", "k8s.io"))
        own = label in KUBELET_LABELS or any(domain == one or domain.endswith(f".{one}") for one in KUBELET_PREFIXES)
        kept = domain == "node-restriction.kubernetes.io" or domain.endswith(".node-restriction.kubernetes.io")
        if kept or not (foreign or own):
            found.add(label)
    return found
