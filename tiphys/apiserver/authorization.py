"""May they: nodes by what they run, everybody by RBAC, ``system:masters`` always.

A node may read exactly what the Pods bound to it need; everything else of
``system:node`` is decided by the rules of that role, which no binding grants.
Source: Kubernetes docs, "Using Node Authorization".
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from tiphys.apiserver import rbac
from tiphys.apiserver.bootstrap.policy import NODE_RULES
from tiphys.apiserver.seams import Attributes, Authorizer, Decision, Objects
from tiphys.machinery import selectors
from tiphys.wire.exchange import UserInfo

NODE_PREFIX: Final = "system:node:"
NODES_GROUP: Final = "system:nodes"
NODE_LEASES: Final = "kube-node-lease"
READ: Final = ("get", "list", "watch")

NO_OPINION: Final = Decision(False)
#: What a Pod needs: (plural, namespace, name).
Needed = tuple[str, str, str]


def node_name_of(user: UserInfo) -> str | None:
    """The node that a user is; None if it is none."""
    if not user.name.startswith(NODE_PREFIX) or NODES_GROUP not in user.groups:
        return None
    return user.name.removeprefix(NODE_PREFIX)


class Union:
    """The first authorizer that allows decides; reasons of all others are told together."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = authorizers

    async def authorize(self, user: UserInfo, attributes: Attributes) -> Decision:
        if rbac.MASTERS in user.groups:
            return Decision(True)
        reasons: list[str] = []
        for authorizer in self._authorizers:
            decision = await authorizer.authorize(user, attributes)
            if decision.allowed:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(False, "\n".join(reasons))


class PodNeeds:
    """What the Pods of each node need, kept up to date from the first question of a node on."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._counts: dict[str, dict[Needed, int]] | None = None

    def needs(self, node: str, needed: Needed) -> bool:
        """Whether a Pod bound to ``node`` refers to this object."""
        if self._counts is None:
            # Subscribed late: a server without nodes should not decode every Pod that is written.
            self._counts = defaultdict(lambda: defaultdict(int))
            for pod in self._objects.all("", "pods"):
                self._count(pod, 1)
            self._objects.subscribe("", "pods", self._changed)
        return self._counts[node].get(needed, 0) > 0 if node in self._counts else False

    def _changed(self, new: Any | None, old: Any | None) -> None:
        if new is not None and old is not None and new.spec == old.spec:
            return
        if old is not None:
            self._count(old, -1)
        if new is not None:
            self._count(new, 1)

    def _count(self, pod: Any, step: int) -> None:
        node = pod.spec.nodeName
        if not node or self._counts is None:
            return
        counts = self._counts[node]
        for needed in pod_needs(pod, self._objects):
            counts[needed] += step
            if counts[needed] <= 0:
                del counts[needed]
        if not counts:
            del self._counts[node]


def pod_needs(pod: Any, objects: Objects) -> Iterator[Needed]:
    """Every object that the node of ``pod`` has to read for it; itself included."""
    namespace = pod.metadata.namespace
    spec = pod.spec
    yield ("pods", namespace, pod.metadata.name)
    yield ("serviceaccounts", namespace, spec.serviceAccountName or "default")
    for secret in spec.imagePullSecrets or ():
        yield ("secrets", namespace, secret.name or "")
    for container in (*spec.containers, *(spec.initContainers or ()), *(spec.ephemeralContainers or ())):
        for plural, name in _environment_needs(container):
            yield (plural, namespace, name)
    for volume in spec.volumes or ():
        for plural, name in _volume_needs(volume, pod.metadata.name):
            yield (plural, namespace, name)
            if plural == "persistentvolumeclaims":
                claim = objects.find("", plural, namespace, name)
                if claim is not None and claim.spec.volumeName:
                    yield ("persistentvolumes", "", claim.spec.volumeName)


def _environment_needs(container: Any) -> Iterator[tuple[str, str]]:
    for variable in container.env or ():
        source = variable.valueFrom
        if source is not None and source.secretKeyRef is not None:
            yield ("secrets", source.secretKeyRef.name or "")
        if source is not None and source.configMapKeyRef is not None:
            yield ("configmaps", source.configMapKeyRef.name or "")
    for source in container.envFrom or ():
        if source.secretRef is not None:
            yield ("secrets", source.secretRef.name or "")
        if source.configMapRef is not None:
            yield ("configmaps", source.configMapRef.name or "")


def _volume_needs(volume: Any, pod_name: str) -> Iterator[tuple[str, str]]:
    if volume.secret is not None:
        yield ("secrets", volume.secret.secretName or "")
    if volume.configMap is not None:
        yield ("configmaps", volume.configMap.name or "")
    if volume.persistentVolumeClaim is not None:
        yield ("persistentvolumeclaims", volume.persistentVolumeClaim.claimName or "")
    if volume.ephemeral is not None:
        yield ("persistentvolumeclaims", f"{pod_name}-{volume.name}")
    if volume.projected is not None:
        for source in volume.projected.sources or ():
            if source.secret is not None:
                yield ("secrets", source.secret.name or "")
            if source.configMap is not None:
                yield ("configmaps", source.configMap.name or "")


class NodeAuthorizer:
    """``seams.Authorizer`` for users that are nodes; has no opinion about others."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._needs = PodNeeds(objects)

    async def authorize(self, user: UserInfo, attributes: Attributes) -> Decision:
        node = node_name_of(user)
        if node is None:
            return NO_OPINION
        if not node:
            return Decision(False, f'unknown node for user "{user.name}"')
        if attributes.is_resource_request:
            decide = _NODE_RESOURCES.get((attributes.group, attributes.resource))
            if decide is not None:
                return decide(self, node, attributes)
        return self._by_rules(attributes)

    def _by_rules(self, asked: Attributes) -> Decision:
        for rule in NODE_RULES:
            if not asked.is_resource_request or not rbac.verb_matches(rule, asked.verb):
                continue
            if rbac.resource_matches(rule, asked.group, asked.resource, asked.subresource):
                return Decision(True)
        return NO_OPINION

    def _related(self, node: str, asked: Attributes) -> Decision:
        """Whether a Pod of the node needs the object."""
        if not asked.name:
            return Decision(False, "No Object name found")
        if self._needs.needs(node, (asked.resource, asked.namespace, asked.name)):
            return Decision(True)
        return Decision(False, f"no relationship found between node '{node}' and this object")

    def _readable(self, node: str, asked: Attributes) -> Decision:
        if asked.verb not in READ:
            return Decision(False, "can only read resources of this type")
        if asked.subresource:
            return Decision(False, "cannot read subresource")
        if not asked.namespace:
            return Decision(False, "can only read namespaced object of this type")
        return self._related(node, asked)

    def _gettable(self, node: str, asked: Attributes) -> Decision:
        if asked.resource == "persistentvolumeclaims" and asked.subresource == "status":
            if asked.verb not in ("get", "update", "patch"):
                return Decision(False, "can only get individual resources of this type")
            return self._related(node, asked)
        if asked.verb != "get":
            return Decision(False, "can only get individual resources of this type")
        if asked.subresource:
            return Decision(False, "cannot get subresource")
        return self._related(node, asked)

    def _service_account(self, node: str, asked: Attributes) -> Decision:
        if asked.verb == "get" and not asked.subresource:
            return self._related(node, asked)
        if asked.verb != "create" or asked.subresource != "token":
            return Decision(False, "can only create tokens for individual service accounts")
        return self._related(node, asked)

    def _lease(self, node: str, asked: Attributes) -> Decision:
        if asked.verb not in ("get", "create", "update", "patch", "delete"):
            return Decision(False, "can only get, create, update, patch, or delete a node lease")
        if asked.namespace != NODE_LEASES:
            return Decision(False, f'can only access leases in the "{NODE_LEASES}" system namespace')
        # The name of a creation is in its body; NodeRestriction looks at that.
        if asked.verb != "create" and asked.name != node:
            return Decision(False, "can only access node lease with the same name as the requesting node")
        return Decision(True)

    def _csi_node(self, node: str, asked: Attributes) -> Decision:
        if asked.verb not in ("get", "create", "update", "patch", "delete"):
            return Decision(False, "can only get, create, update, patch, or delete a CSINode")
        if asked.subresource:
            return Decision(False, "cannot authorize CSINode subresources")
        if asked.verb != "create" and asked.name != node:
            return Decision(False, "can only access CSINode with the same name as the requesting node")
        return Decision(True)

    def _node(self, node: str, asked: Attributes) -> Decision:
        if asked.subresource not in ("", "status"):
            return self._by_rules(asked)
        if asked.verb in READ and asked.name != node:
            return Decision(False, f"node '{node}' cannot read '{asked.name}', only its own Node object")
        return self._by_rules(asked)

    def _pod(self, node: str, asked: Attributes) -> Decision:
        if asked.subresource or asked.verb not in READ:
            return self._by_rules(asked)
        if asked.verb == "get":
            return self._related(node, asked)
        try:
            chosen = selectors.parse_fields(asked.field_selector).exact("spec.nodeName")
        except selectors.SelectorError:
            chosen = None
        if chosen == node:
            return Decision(True)
        return Decision(False, "can only list/watch pods with spec.nodeName field selector")


_NODE_RESOURCES: Final[dict[tuple[str, str], Callable[[NodeAuthorizer, str, Attributes], Decision]]] = {
    ("", "secrets"): NodeAuthorizer._readable,
    ("", "configmaps"): NodeAuthorizer._readable,
    ("", "persistentvolumeclaims"): NodeAuthorizer._gettable,
    ("", "persistentvolumes"): NodeAuthorizer._gettable,
    ("", "serviceaccounts"): NodeAuthorizer._service_account,
    ("", "nodes"): NodeAuthorizer._node,
    ("", "pods"): NodeAuthorizer._pod,
    ("coordination.k8s.io", "leases"): NodeAuthorizer._lease,
    ("storage.k8s.io", "csinodes"): NodeAuthorizer._csi_node,
}
