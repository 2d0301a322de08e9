"""The roles and bindings that every cluster has, as data.

A line is a rule: verbs, API groups, resources and (rarely) resource names, each
separated by commas (after which it may go on in the next line); ``core`` is the
core group. Lines with two words only
speak of paths.
Source: Kubernetes docs, "Using RBAC Authorization", "Default roles and role
bindings"; facts of the 1.36 bootstrap policy.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from tiphys.api import meta_v1, rbac_v1

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
EVENTS: Final = "EVENTS core,events.k8s.io events"

_NODE: Final = """
create authentication.k8s.io tokenreviews
create authorization.k8s.io localsubjectaccessreviews,subjectaccessreviews
READ core services
create,get,list,watch core nodes
patch,update core nodes/status
patch,update core nodes
EVENTS core,events.k8s.io events
READ core pods
create,delete core pods
patch,update core pods/status
create core pods/eviction
READ core configmaps,secrets
get core persistentvolumeclaims,persistentvolumes
create,get,list,watch certificates.k8s.io certificatesigningrequests
create,delete,get,patch,update coordination.k8s.io leases
get storage.k8s.io volumeattachments
get,patch,update core persistentvolumeclaims/status
create,get core serviceaccounts/token
get core serviceaccounts
READ storage.k8s.io csidrivers
create,delete,get,patch,update storage.k8s.io csinodes
READ node.k8s.io runtimeclasses
get resource.k8s.io resourceclaims
deletecollection,get,list,watch,create,update,patch,delete resource.k8s.io resourceslices
READ certificates.k8s.io clustertrustbundles
create,get,list,watch certificates.k8s.io podcertificaterequests
"""

_CLUSTER_ROLES: Final[Mapping[str, str]] = {
    "cluster-admin": """
        * * *
        * /*
    """,
    "system:discovery": """
        get /api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,/readyz,/version,/version/
    """,
    "system:monitoring": """
        get /healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/*
    """,
    "system:basic-user": """
        create authorization.k8s.io selfsubjectaccessreviews,selfsubjectrulesreviews
        create authentication.k8s.io selfsubjectreviews
    """,
    "system:public-info-viewer": "get /healthz,/livez,/readyz,/version,/version/",
    "system:aggregate-to-admin": """
        create authorization.k8s.io localsubjectaccessreviews
        ALL rbac.authorization.k8s.io rolebindings,roles
    """,
    "system:aggregate-to-edit": """
        READ core pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy
        impersonate core serviceaccounts
        WRITE core pods,pods/attach,pods/exec,pods/portforward,pods/proxy
        create core pods/eviction
        WRITE core configmaps,events,persistentvolumeclaims,replicationcontrollers,replicationcontrollers/scale,
            secrets,serviceaccounts,services,services/proxy
        create core serviceaccounts/token
        WRITE apps daemonsets,deployments,deployments/rollback,deployments/scale,replicasets,replicasets/scale,
            statefulsets,statefulsets/scale
        WRITE autoscaling horizontalpodautoscalers
        WRITE batch cronjobs,jobs
        WRITE extensions daemonsets,deployments,deployments/rollback,deployments/scale,ingresses,
            networkpolicies,replicasets,replicasets/scale,replicationcontrollers/scale
        WRITE policy poddisruptionbudgets
        WRITE networking.k8s.io ingresses,networkpolicies
        ALL coordination.k8s.io leases
        WRITE resource.k8s.io resourceclaims,resourceclaimtemplates
    """,
    "system:aggregate-to-view": """
        READ core configmaps,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,pods,
            replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status
        READ core bindings,events,limitranges,namespaces/status,pods/log,pods/status,
            replicationcontrollers/status,resourcequotas,resourcequotas/status
        READ core namespaces
        READ discovery.k8s.io endpointslices
        READ apps controllerrevisions,daemonsets,daemonsets/status,deployments,deployments/scale,
            deployments/status,replicasets,replicasets/scale,replicasets/status,statefulsets,statefulsets/scale,
            statefulsets/status
        READ autoscaling horizontalpodautoscalers,horizontalpodautoscalers/status
        READ batch cronjobs,cronjobs/status,jobs,jobs/status
        READ extensions daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,ingresses,
            ingresses/status,networkpolicies,replicasets,replicasets/scale,replicasets/status,
            replicationcontrollers/scale
        READ policy poddisruptionbudgets,poddisruptionbudgets/status
        READ networking.k8s.io ingresses,ingresses/status,networkpolicies
        READ resource.k8s.io resourceclaims,resourceclaims/status,resourceclaimtemplates
    """,
    "system:heapster": """
        READ core events,namespaces,nodes,pods
        READ extensions deployments
    """,
    "system:node": _NODE,
    "system:node-problem-detector": f"""
        get core nodes
        patch core nodes/status
        {EVENTS}
    """,
    "system:kubelet-api-admin": """
        READ core nodes
        proxy core nodes
        * core nodes/configz,nodes/healthz,nodes/log,nodes/metrics,nodes/pods,nodes/proxy,nodes/stats
    """,
    "system:node-bootstrapper": "create,get,list,watch certificates.k8s.io certificatesigningrequests",
    "system:auth-delegator": """
        create authentication.k8s.io tokenreviews
        create authorization.k8s.io subjectaccessreviews
    """,
    "system:kube-aggregator": "READ core endpoints,services",
    "system:kube-controller-manager": f"""
        {EVENTS}
        create coordination.k8s.io leases
        get,update coordination.k8s.io leases kube-controller-manager
        create core secrets,serviceaccounts
        delete core secrets
        get core configmaps,namespaces,secrets,serviceaccounts
        update core secrets,serviceaccounts
        create authentication.k8s.io tokenreviews
        create authorization.k8s.io subjectaccessreviews
        list,watch * *
        create core serviceaccounts/token
    """,
    "system:kube-dns": """
        list,watch core endpoints,services
        list,watch discovery.k8s.io endpointslices
    """,
    "system:persistent-volume-provisioner": f"""
        create,delete,get,list,watch core persistentvolumes
        get,list,update,watch core persistentvolumeclaims
        READ storage.k8s.io storageclasses
        watch core events
        {EVENTS}
    """,
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        "create certificates.k8s.io certificatesigningrequests/nodeclient"
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        "create certificates.k8s.io certificatesigningrequests/selfnodeclient"
    ),
    "system:volume-scheduler": """
        get,list,patch,update,watch core persistentvolumes
        READ storage.k8s.io storageclasses
        get,list,patch,update,watch core persistentvolumeclaims
    """,
    "system:certificates.k8s.io:legacy-unknown-approver": (
        "approve certificates.k8s.io signers kubernetes.io/legacy-unknown"
    ),
    "system:certificates.k8s.io:kubelet-serving-approver": (
        "approve certificates.k8s.io signers kubernetes.io/kubelet-serving"
    ),
    "system:certificates.k8s.io:kube-apiserver-client-approver": (
        "approve certificates.k8s.io signers kubernetes.io/kube-apiserver-client"
    ),
    "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": (
        "approve certificates.k8s.io signers kubernetes.io/kube-apiserver-client-kubelet"
    ),
    "system:service-account-issuer-discovery": "get /.well-known/openid-configuration,/openid/v1/jwks",
    "system:node-proxier": f"""
        list,watch core endpoints,services
        READ core nodes
        {EVENTS}
        list,watch discovery.k8s.io endpointslices
        list,watch networking.k8s.io servicecidrs
    """,
    "system:kube-scheduler": f"""
        {EVENTS}
        create coordination.k8s.io leases
        get,list,update,watch coordination.k8s.io leases kube-scheduler
        create coordination.k8s.io leasecandidates
        delete,deletecollection,get,list,patch,update,watch coordination.k8s.io leasecandidates
        READ core nodes
        delete,get,list,watch core pods
        create core bindings,pods/binding
        patch,update core pods/status
        READ core replicationcontrollers,services
        READ apps,extensions replicasets
        READ apps statefulsets
        READ policy poddisruptionbudgets
        READ core persistentvolumeclaims,persistentvolumes
        create authentication.k8s.io tokenreviews
        create authorization.k8s.io subjectaccessreviews
        READ storage.k8s.io csinodes
        READ core namespaces
        READ storage.k8s.io csidrivers
        READ storage.k8s.io csistoragecapacities
        READ storage.k8s.io volumeattachments
        READ resource.k8s.io deviceclasses
        READ resource.k8s.io resourceclaims
        patch,update resource.k8s.io resourceclaims,resourceclaims/status
        READ resource.k8s.io resourceslices
        patch,update core pods/finalizers
        READ resource.k8s.io devicetaintrules
        READ scheduling.k8s.io workloads,podgroups
    """,
}

_CONTROLLERS: Final[Mapping[str, str]] = {
    "attachdetach-controller": f"""
        list,watch core persistentvolumeclaims,persistentvolumes
        READ core nodes
        patch,update core nodes/status
        list,watch core pods
        {EVENTS}
        create,delete,get,list,watch storage.k8s.io volumeattachments
        READ storage.k8s.io csidrivers
        READ storage.k8s.io csinodes
    """,
    "clusterrole-aggregation-controller": (
        "escalate,get,list,patch,update,watch rbac.authorization.k8s.io clusterroles"
    ),
    "cronjob-controller": f"""
        get,list,update,watch batch cronjobs
        create,delete,get,list,patch,update,watch batch jobs
        update batch cronjobs/status
        update batch cronjobs/finalizers
        delete,list,watch core pods
        {EVENTS}
    """,
    "daemon-set-controller": f"""
        READ apps,extensions daemonsets
        update apps,extensions daemonsets/status
        update apps,extensions daemonsets/finalizers
        list,watch core nodes
        create,delete,list,patch,watch core pods
        create core pods/binding
        create,delete,get,list,patch,update,watch apps controllerrevisions
        {EVENTS}
    """,
    "deployment-controller": f"""
        get,list,update,watch apps,extensions deployments
        update apps,extensions deployments/status
        update apps,extensions deployments/finalizers
        create,delete,get,list,patch,update,watch apps,extensions replicasets
        get,list,update,watch core pods
        {EVENTS}
    """,
    "disruption-controller": f"""
        READ apps,extensions deployments
        READ apps,extensions replicasets
        READ core replicationcontrollers
        READ policy poddisruptionbudgets
        READ apps statefulsets
        update policy poddisruptionbudgets/status
        patch,update core pods/status
        get * */scale
        {EVENTS}
    """,
    "endpoint-controller": f"""
        READ core pods,services
        create,delete,get,list,update,watch core endpoints
        create core endpoints/restricted
        {EVENTS}
    """,
    "endpointslice-controller": f"""
        READ core nodes,pods,services
        update core services/finalizers
        create,delete,get,list,update,watch discovery.k8s.io endpointslices
        {EVENTS}
    """,
    "endpointslicemirroring-controller": f"""
        READ core endpoints,services
        update core services/finalizers
        update core endpoints/finalizers
        create,delete,get,list,update,watch discovery.k8s.io endpointslices
        {EVENTS}
    """,
    "expand-controller": f"""
        get,list,patch,update,watch core persistentvolumes
        patch,update core persistentvolumeclaims/status
        READ core persistentvolumeclaims
        {EVENTS}
    """,
    "ephemeral-volume-controller": f"""
        READ core pods
        update core pods/finalizers
        create,get,list,watch core persistentvolumeclaims
        {EVENTS}
    """,
    "resource-claim-controller": f"""
        READ core pods
        update core pods/finalizers
        create,delete,get,list,watch resource.k8s.io resourceclaims
        patch,update resource.k8s.io resourceclaims,resourceclaims/status
        patch,update core pods/status
        READ resource.k8s.io resourceclaimtemplates
        {EVENTS}
    """,
    "device-taint-eviction-controller": f"""
        delete,get,list,watch core pods
        patch,update core pods/status
        READ resource.k8s.io resourceclaims
        READ resource.k8s.io resourceslices
        READ resource.k8s.io deviceclasses
        READ resource.k8s.io devicetaintrules
        {EVENTS}
    """,
    "generic-garbage-collector": f"""
        delete,get,list,patch,update,watch * *
        {EVENTS}
    """,
    "horizontal-pod-autoscaler": f"""
        READ autoscaling horizontalpodautoscalers
        update autoscaling horizontalpodautoscalers/status
        get,update * */scale
        list,watch core pods
        list,watch metrics.k8s.io pods
        READ custom.metrics.k8s.io *
        READ external.metrics.k8s.io *
        {EVENTS}
    """,
    "job-controller": f"""
        get,list,patch,update,watch batch jobs
        update batch jobs/status
        update batch jobs/finalizers
        create,delete,list,patch,watch core pods
        {EVENTS}
    """,
    "namespace-controller": """
        delete,get,list,watch core namespaces
        update core namespaces/finalize,namespaces/status
        delete,deletecollection,get,list,watch * *
    """,
    "node-controller": f"""
        delete,get,list,patch,update,watch core nodes
        patch,update core nodes/status
        patch,update core pods/status
        delete,get,list,watch core pods
        {EVENTS}
    """,
    "persistent-volume-binder": f"""
        create,delete,get,list,update,watch core persistentvolumes
        update core persistentvolumes/status
        get,list,update,watch core persistentvolumeclaims
        update core persistentvolumeclaims/status
        create,delete,get,list,watch core pods
        READ storage.k8s.io storageclasses
        list,watch core nodes
        {EVENTS}
        watch core events
    """,
    "pod-garbage-collector": """
        delete,list,watch core pods
        READ core nodes
        patch core pods/status
    """,
    "replicaset-controller": f"""
        get,list,update,watch apps,extensions replicasets
        update apps,extensions replicasets/status
        update apps,extensions replicasets/finalizers
        create,delete,list,patch,watch core pods
        {EVENTS}
    """,
    "replication-controller": f"""
        get,list,update,watch core replicationcontrollers
        update core replicationcontrollers/status
        update core replicationcontrollers/finalizers
        create,delete,list,patch,watch core pods
        {EVENTS}
    """,
    "resourcequota-controller": f"""
        list,watch * *
        update core resourcequotas/status
        {EVENTS}
    """,
    "route-controller": f"""
        list,watch core nodes
        patch core nodes/status
        {EVENTS}
    """,
    "service-account-controller": f"""
        create core serviceaccounts
        {EVENTS}
    """,
    "service-controller": f"""
        READ core services
        patch,update core services/status
        list,watch core nodes
        {EVENTS}
    """,
    "service-cidrs-controller": f"""
        get,list,patch,update,watch networking.k8s.io servicecidrs
        patch,update networking.k8s.io servicecidrs/finalizers
        patch,update networking.k8s.io servicecidrs/status
        READ networking.k8s.io ipaddresses
        {EVENTS}
    """,
    "statefulset-controller": f"""
        list,watch core pods
        READ apps statefulsets
        update apps statefulsets/status
        update apps statefulsets/finalizers
        create,delete,get,patch,update core pods
        create,delete,get,list,patch,update,watch apps controllerrevisions
        create,get,list,watch core persistentvolumeclaims
        delete,update core persistentvolumeclaims
        update core pods/finalizers
        {EVENTS}
    """,
    "ttl-controller": f"""
        list,patch,update,watch core nodes
        {EVENTS}
    """,
    "certificate-controller": f"""
        delete,get,list,watch certificates.k8s.io certificatesigningrequests
        update certificates.k8s.io certificatesigningrequests/approval,certificatesigningrequests/status
        approve certificates.k8s.io signers kubernetes.io/kube-apiserver-client-kubelet
        sign certificates.k8s.io signers kubernetes.io/kube-apiserver-client,
            kubernetes.io/kube-apiserver-client-kubelet,kubernetes.io/kubelet-serving,
            kubernetes.io/legacy-unknown
        create authorization.k8s.io subjectaccessreviews
        {EVENTS}
    """,
    "podcertificaterequestcleaner": "delete,get,list,watch certificates.k8s.io podcertificaterequests",
    "pvc-protection-controller": f"""
        get,list,update,watch core persistentvolumeclaims
        READ core pods
        {EVENTS}
    """,
    "pv-protection-controller": f"""
        get,list,update,watch core persistentvolumes
        {EVENTS}
    """,
    "volumeattributesclass-protection-controller": f"""
        READ core persistentvolumeclaims
        READ core persistentvolumes
        get,list,update,watch storage.k8s.io volumeattributesclasses
        {EVENTS}
    """,
    "ttl-after-finished-controller": f"""
        delete,get,list,watch batch jobs
        {EVENTS}
    """,
    "root-ca-cert-publisher": f"""
        create,update core configmaps
        {EVENTS}
    """,
    "validatingadmissionpolicy-status-controller": f"""
        READ admissionregistration.k8s.io validatingadmissionpolicies
        get,patch,update admissionregistration.k8s.io validatingadmissionpolicies/status
        {EVENTS}
    """,
    "legacy-service-account-token-cleaner": """
        get core configmaps kube-apiserver-legacy-service-account-token-tracking
        delete,patch core secrets
    """,
    "selinux-warning-controller": f"""
        {EVENTS}
        READ core persistentvolumes
        READ core persistentvolumeclaims
        READ core pods
        READ storage.k8s.io csidrivers
    """,
}

#: (namespace, name) -> rules.
_ROLES: Final[Mapping[tuple[str, str], str]] = {
    ("kube-system", "extension-apiserver-authentication-reader"): (
        "READ core configmaps extension-apiserver-authentication"
    ),
    ("kube-system", "system:controller:bootstrap-signer"): "READ core secrets",
    ("kube-system", "system:controller:cloud-provider"): "create,get,list,watch core configmaps",
    ("kube-system", "system:controller:token-cleaner"): f"""
        delete,get,list,watch core secrets
        {EVENTS}
    """,
    ("kube-system", "system::leader-locking-kube-controller-manager"): """
        watch core configmaps
        get,update core configmaps kube-controller-manager
    """,
    ("kube-system", "system::leader-locking-kube-scheduler"): """
        watch core configmaps
        get,update core configmaps kube-scheduler
    """,
    ("kube-public", "system:controller:bootstrap-signer"): f"""
        READ core configmaps
        update core configmaps cluster-info
        {EVENTS}
    """,
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
        "s:kube-system/bootstrap-signer",
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
        "s:kube-system/token-cleaner",
    ),
    _Binding(
        "kube-public",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        "s:kube-system/bootstrap-signer",
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


NODE_RULES: Final = rules(_NODE)


def cluster_roles() -> Iterator[rbac_v1.ClusterRole]:
    """Every bootstrap ClusterRole; what aggregated ones hold is computed, never written here."""
    for name in _AGGREGATED:
        selector = meta_v1.LabelSelector(matchLabels={f"{AGGREGATE}{name}": "true"})
        aggregation = rbac_v1.AggregationRule(clusterRoleSelectors=[selector])
        yield rbac_v1.ClusterRole(metadata=_metadata(name), aggregationRule=aggregation)
    for name, text in _CLUSTER_ROLES.items():
        yield rbac_v1.ClusterRole(metadata=_metadata(name), rules=rules(text))
    for name, text in _CONTROLLERS.items():
        yield rbac_v1.ClusterRole(metadata=_metadata(f"system:controller:{name}"), rules=rules(text))


def cluster_role_bindings() -> Iterator[rbac_v1.ClusterRoleBinding]:
    # The user as well as the service accounts: our controllers are one process with one certificate. Stock
    # controllers that are given --use-service-account-credentials find the accounts bound as ever.
    manager = "u:system:kube-controller-manager"
    controllers = {f"system:controller:{name}": f"s:kube-system/{name} {manager}" for name in _CONTROLLERS}
    for name, subjects in {**_CLUSTER_BINDINGS, **controllers}.items():
        yield rbac_v1.ClusterRoleBinding(
            metadata=_metadata(name), roleRef=_reference("ClusterRole", name), subjects=_subjects(subjects)
        )


def roles() -> Iterator[rbac_v1.Role]:
    for (namespace, name), text in _ROLES.items():
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
