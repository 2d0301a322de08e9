"""What nodes may do: read exactly what their Pods need, write what is theirs.

Everything that is not decided here one by one is decided by the rules of
``system:node``, which no binding grants.
Source: Kubernetes docs, "Using Node Authorization".
"""

from collections.abc import Callable
from typing import Final

from tiphys.apiserver import rbac
from tiphys.apiserver.authorization.graph import NODE_LEASES, Graph, node_name_of
from tiphys.apiserver.bootstrap.policy import NODE_RULES
from tiphys.apiserver.rulelists import RuleList
from tiphys.apiserver.seams import Attributes, Decision, Objects
from tiphys.machinery import selectors
from tiphys.wire.exchange import UserInfo

READ: Final = ("get", "list", "watch")
NO_OPINION: Final = Decision(False)


class NodeAuthorizer:
    """``seams.Authorizer`` for users that are nodes; has no opinion about others."""

    def __init__(self, objects: Objects) -> None:
        self._graph = Graph(objects)

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
        if self._graph.related(node, asked.group, (asked.resource, asked.namespace, asked.name)):
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
        if asked.verb != "get":
            return Decision(False, "can only get individual resources of this type")
        if asked.subresource:
            return Decision(False, "cannot get subresource")
        return self._related(node, asked)

    def _claim(self, node: str, asked: Attributes) -> Decision:
        if asked.subresource != "status":
            return self._gettable(node, asked)
        if asked.verb not in ("update", "patch"):
            return Decision(False, "can only get/update/patch this type")
        return self._related(node, asked)

    def _service_account(self, node: str, asked: Attributes) -> Decision:
        if asked.verb == "get" and not asked.subresource:
            return self._related(node, asked)
        if asked.verb != "create" or not asked.name:
            return Decision(False, "can only create tokens for individual service accounts")
        if asked.subresource != "token":
            return Decision(False, "can only create token subresource of serviceaccount")
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

    def _resource_slice(self, node: str, asked: Attributes) -> Decision:
        if asked.subresource:
            return Decision(False, "cannot authorize ResourceSlice subresources")
        if asked.verb == "create":
            # What it says is NodeRestriction's to look at.
            return Decision(True)
        if asked.verb in ("get", "update", "patch", "delete"):
            return self._related(node, asked)
        if asked.verb not in ("watch", "list", "deletecollection"):
            return Decision(
                False,
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, "
                "delete, deletecollection",
            )
        if _selects(asked, "nodeName") == node or _selects(asked, "spec.nodeName") == node:
            return Decision(True)
        return Decision(False, "can only list/watch/deletecollection resourceslices with nodeName field selector")

    def _node(self, node: str, asked: Attributes) -> Decision:
        if (asked.subresource, asked.verb) in _OWN_NODE:
            return Decision(True)
        if asked.subresource or asked.verb not in READ:
            return NO_OPINION
        if asked.name == node:
            return Decision(True)
        which = f"'{asked.name}'" if asked.name else "all nodes"
        return Decision(False, f"node '{node}' cannot read {which}, only its own Node object")

    def _pod(self, node: str, asked: Attributes) -> Decision:
        if (asked.subresource, asked.verb) in _OWN_PODS:
            return Decision(True)
        if asked.subresource or asked.verb not in READ:
            return NO_OPINION
        if asked.verb == "get":
            return self._related(node, asked)
        if _selects(asked, "spec.nodeName") == node:
            return Decision(True)
        if asked.name:
            return self._related(node, asked)
        return Decision(False, "can only list/watch pods with spec.nodeName field selector")

    async def add_rules(self, user: UserInfo, namespace: str, found: RuleList) -> None:
        if node_name_of(user) is not None:
            found.incomplete = True
            found.problems.append("node authorizer does not support user rule resolution")


def _selects(asked: Attributes, field: str) -> str | None:
    """The one value that the field selector leaves to a field."""
    try:
        return selectors.parse_fields(asked.field_selector).exact(field)
    except selectors.SelectorError:
        return None


#: Subresource and verb that NodeRestriction limits to the node's own objects.
_OWN_NODE: Final = frozenset({("", "create"), ("", "update"), ("", "patch"), ("status", "update"), ("status", "patch")})
_OWN_PODS: Final = frozenset(
    {("", "create"), ("", "delete"), ("status", "update"), ("status", "patch"), ("eviction", "create")}
)

_NODE_RESOURCES: Final[dict[tuple[str, str], Callable[[NodeAuthorizer, str, Attributes], Decision]]] = {
    ("", "secrets"): NodeAuthorizer._readable,
    ("", "configmaps"): NodeAuthorizer._readable,
    ("", "persistentvolumeclaims"): NodeAuthorizer._claim,
    ("", "persistentvolumes"): NodeAuthorizer._gettable,
    ("", "serviceaccounts"): NodeAuthorizer._service_account,
    ("", "nodes"): NodeAuthorizer._node,
    ("", "pods"): NodeAuthorizer._pod,
    ("coordination.k8s.io", "leases"): NodeAuthorizer._lease,
    ("storage.k8s.io", "csinodes"): NodeAuthorizer._csi_node,
    ("storage.k8s.io", "volumeattachments"): NodeAuthorizer._gettable,
    ("resource.k8s.io", "resourceclaims"): NodeAuthorizer._gettable,
    ("resource.k8s.io", "resourceslices"): NodeAuthorizer._resource_slice,
}
