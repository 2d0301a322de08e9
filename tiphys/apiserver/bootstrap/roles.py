"""Rules of the default ClusterRoles and Roles, as data; ``policy`` says how a line is read.

Source: Kubernetes docs, "Using RBAC Authorization", "Default roles and role bindings"; facts of the
1.36 bootstrap policy.
"""

from collections.abc import Mapping
from typing import Final

EVENTS: Final = "EVENTS core,events.k8s.io events"

NODE: Final = """
create authentication.k8s.io tokenreviews
create authorization.k8s.io localsubjectaccessreviews,subjectaccessreviews
READ core services
create,get,list,watch core nodes
patch,update core nodes/status
patch,update core nodes
EVENTS core events
READ core pods
create,delete core pods
patch,update core pods/status
create core pods/eviction
READ core configmaps,secrets
get core persistentvolumeclaims,persistentvolumes
get core endpoints
create,get,list,watch certificates.k8s.io certificatesigningrequests
create,delete,get,patch,update coordination.k8s.io leases
get storage.k8s.io volumeattachments
get,patch,update core persistentvolumeclaims/status
create core serviceaccounts/token
get core serviceaccounts
READ storage.k8s.io csidrivers
create,delete,get,patch,update storage.k8s.io csinodes
READ node.k8s.io runtimeclasses
get resource.k8s.io resourceclaims
deletecollection resource.k8s.io resourceslices
READ certificates.k8s.io clustertrustbundles
create,get,list,watch certificates.k8s.io podcertificaterequests
"""

CLUSTER_ROLES: Final[Mapping[str, str]] = {
    "cluster-admin": """
        * * *
        * /*
    """,
    "system:discovery": """
        get /api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,/readyz,/version,/version/
    """,
    "system:monitoring": """
        get /healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/*
        get /flagz
        get /statusz
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
    "system:node": NODE,
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
    # The cluster's DNS beside kube-dns' role; ours shares the identity of the node's proxy.
    "system:coredns": """
        list,watch core endpoints,namespaces,pods,services
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
    "system:service-account-issuer-discovery": """
        get /.well-known/openid-configuration,/.well-known/openid-configuration/,/openid/v1/jwks,/openid/v1/jwks/
    """,
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
        patch,update scheduling.k8s.io podgroups/status
    """,
}

#: (namespace, name) -> rules.
ROLES: Final[Mapping[tuple[str, str], str]] = {
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
