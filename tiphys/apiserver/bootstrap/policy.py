"""The roles and bindings that every cluster has, made of the lines in ``roles`` and ``controllers``.

A line is a rule: verbs, API groups, resources and (rarely) resource names, each
separated by commas (after which it may go on in the next line); ``core`` is the
core group. Lines of two words speak of paths.
Source: Kubernetes docs, "Using RBAC Authorization", "Default roles and role
bindings"; facts of the 1.36 bootstrap policy.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from tiphys.api import meta_v1, rbac_v1
from tiphys.apiserver.bootstrap.controllers import CONTROLLERS
from tiphys.apiserver.bootstrap.roles import CLUSTER_ROLES, NODE, ROLES

GROUP: Final = "rbac.authorization.k8s.io"
LABELS: Final = {"kubernetes.io/bootstrapping": "rbac-defaults"}
ANNOTATIONS: Final = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
AGGREGATE: Final = "rbac.authorization.k8s.io/aggregate-to-"

#: Verb lists by name.
VERBS: Final = {
    "READ": "get,list,watch",
    "WRITE": "create,delete,deletecollection,patch,update",
    "ALL": "create,delete,deletecollection,get,list,patch,update,watch",
    "EVENTS": "create,patch,update",
}

_AGGREGATED: Final = ("admin", "edit", "view")
#: Which aggregated role each role adds to.
_ADDS_TO: Final = {
    "edit": "admin",
    "view": "edit",
    "system:aggregate-to-admin": "admin",
    "system:aggregate-to-edit": "edit",
    "system:aggregate-to-view": "view",
}

#: Binding (named as its role) -> subjects: ``g`` for groups, ``u`` for users, ``s`` for service accounts.
_CLUSTER_BINDINGS: Final[Mapping[str, str]] = {
    "cluster-admin": "g:system:masters",
    "system:monitoring": "g:system:monitoring",
    "system:discovery": "g:system:authenticated",
    "system:basic-user": "g:system:authenticated",
    "system:public-info-viewer": "g:system:authenticated g:system:unauthenticated",
    "system:node-proxier": "u:system:kube-proxy",
    "system:kube-controller-manager": "u:system:kube-controller-manager",
    "system:kube-dns": "s:kube-system/kube-dns",
    "system:coredns": "u:system:kube-proxy",
    "system:kube-scheduler": "u:system:kube-scheduler",
    "system:volume-scheduler": "u:system:kube-scheduler",
    # Without subjects: what nodes may do is the Node authorizer's to say.
    "system:node": "",
    "system:service-account-issuer-discovery": "g:system:serviceaccounts",
}


class _Binding(NamedTuple):
    namespace: str
    name: str
    role: str
    subjects: str


_BINDINGS: Final = (
    _Binding(
        "kube-system",
        "system::extension-apiserver-authentication-reader",
        "extension-apiserver-authentication-reader",
        "u:system:kube-controller-manager u:system:kube-scheduler",
    ),
    _Binding(
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        "system::leader-locking-kube-controller-manager",
        "u:system:kube-controller-manager s:kube-system/kube-controller-manager",
    ),
    _Binding(
        "kube-system",
        "system::leader-locking-kube-scheduler",
        "system::leader-locking-kube-scheduler",
        "u:system:kube-scheduler s:kube-system/kube-scheduler",
    ),
    _Binding(
        "kube-system",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        "s:kube-system/bootstrap-signer u:system:kube-controller-manager",
    ),
    _Binding(
        "kube-system",
        "system:controller:cloud-provider",
        "system:controller:cloud-provider",
        "s:kube-system/cloud-provider",
    ),
    _Binding(
        "kube-system",
        "system:controller:token-cleaner",
        "system:controller:token-cleaner",
        "s:kube-system/token-cleaner u:system:kube-controller-manager",
    ),
    _Binding(
        "kube-public",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        "s:kube-system/bootstrap-signer u:system:kube-controller-manager",
    ),
)


def rule(line: str) -> rbac_v1.PolicyRule:
    """The rule that one line stands for."""
    verbs, *rest = line.split()
    listed = VERBS.get(verbs, verbs).split(",")
    if len(rest) == 1:
        paths = ["*"] if rest[0] == "/*" else rest[0].split(",")
        return rbac_v1.PolicyRule(verbs=listed, nonResourceURLs=paths)
    groups, resources = rest[0], rest[1]
    return rbac_v1.PolicyRule(
        verbs=listed,
        apiGroups=["" if group == "core" else group for group in groups.split(",")],
        resources=resources.split(","),
        resourceNames=rest[2].split(",") if len(rest) > 2 else None,
    )


def rules(text: str) -> list[rbac_v1.PolicyRule]:
    """The rules of a text, in its order. A line that ends in a comma goes on in the next."""
    joined = re.sub(r",\s+", ",", text)
    return [rule(line) for line in joined.splitlines() if line.strip()]


NODE_RULES: Final = rules(NODE)


def cluster_roles() -> Iterator[rbac_v1.ClusterRole]:
    """Every bootstrap ClusterRole; what aggregated ones hold is computed, never written here."""
    for name in _AGGREGATED:
        selector = meta_v1.LabelSelector(matchLabels={f"{AGGREGATE}{name}": "true"})
        aggregation = rbac_v1.AggregationRule(clusterRoleSelectors=[selector])
        yield rbac_v1.ClusterRole(metadata=_metadata(name), aggregationRule=aggregation)
    for name, text in CLUSTER_ROLES.items():
        yield rbac_v1.ClusterRole(metadata=_metadata(name), rules=rules(text))
    for name, text in CONTROLLERS.items():
        yield rbac_v1.ClusterRole(metadata=_metadata(f"system:controller:{name}"), rules=rules(text))


def cluster_role_bindings() -> Iterator[rbac_v1.ClusterRoleBinding]:
    # The user as well as the service accounts: our controllers are one process with one certificate. Stock
    # controllers that are given --use-service-account-credentials find the accounts bound as ever.
    manager = "u:system:kube-controller-manager"
    controllers = {f"system:controller:{name}": f"s:kube-system/{name} {manager}" for name in CONTROLLERS}
    for name, subjects in {**_CLUSTER_BINDINGS, **controllers}.items():
        yield rbac_v1.ClusterRoleBinding(
            metadata=_metadata(name), roleRef=_reference("ClusterRole", name), subjects=_subjects(subjects)
        )


def roles() -> Iterator[rbac_v1.Role]:
    for (namespace, name), text in ROLES.items():
        yield rbac_v1.Role(metadata=_metadata(name, namespace), rules=rules(text))


def role_bindings() -> Iterator[rbac_v1.RoleBinding]:
    for binding in _BINDINGS:
        yield rbac_v1.RoleBinding(
            metadata=_metadata(binding.name, binding.namespace),
            roleRef=_reference("Role", binding.role),
            subjects=_subjects(binding.subjects),
        )


def _metadata(name: str, namespace: str = "") -> meta_v1.ObjectMeta:
    labels = dict(LABELS)
    if name in _ADDS_TO and not namespace:
        labels[f"{AGGREGATE}{_ADDS_TO[name]}"] = "true"
    return meta_v1.ObjectMeta(name=name, namespace=namespace, labels=labels, annotations=dict(ANNOTATIONS))


def _reference(kind: str, name: str) -> rbac_v1.RoleRef:
    return rbac_v1.RoleRef(apiGroup=GROUP, kind=kind, name=name)


def _subjects(text: str) -> list[rbac_v1.Subject] | None:
    found = []
    for word in text.split():
        kind, _, name = word.partition(":")
        if kind == "s":
            namespace, _, name = name.partition("/")
            found.append(rbac_v1.Subject(kind="ServiceAccount", name=name, namespace=namespace))
        else:
            full = "Group" if kind == "g" else "User"
            found.append(rbac_v1.Subject(apiGroup=GROUP, kind=full, name=name))
    return found or None
