"""What a kube-apiserver 1.36 serves without any flag, as a list of its own, and what flags add.

Source: Kubernetes docs, "API Overview" for 1.36, and its discovery documents (``api/discovery``): since 1.24 no new
beta version is on by default, so that this is v1 of every group and autoscaling/v2.
"""

import pytest

from tiphys.resources import table

#: group/version: plurals.
SERVED = {
    "v1": (
        "bindings componentstatuses configmaps endpoints events limitranges namespaces nodes persistentvolumeclaims "
        "persistentvolumes pods podtemplates replicationcontrollers resourcequotas secrets serviceaccounts services"
    ),
    "admissionregistration.k8s.io/v1": (
        "mutatingadmissionpolicies mutatingadmissionpolicybindings mutatingwebhookconfigurations "
        "validatingadmissionpolicies validatingadmissionpolicybindings validatingwebhookconfigurations"
    ),
    "apiextensions.k8s.io/v1": "customresourcedefinitions",
    "apiregistration.k8s.io/v1": "apiservices",
    "apps/v1": "controllerrevisions daemonsets deployments replicasets statefulsets",
    "authentication.k8s.io/v1": "selfsubjectreviews tokenreviews",
    "authorization.k8s.io/v1": (
        "localsubjectaccessreviews selfsubjectaccessreviews selfsubjectrulesreviews subjectaccessreviews"
    ),
    "autoscaling/v1": "horizontalpodautoscalers",
    "autoscaling/v2": "horizontalpodautoscalers",
    "batch/v1": "cronjobs jobs",
    "certificates.k8s.io/v1": "certificatesigningrequests",
    "coordination.k8s.io/v1": "leases",
    "discovery.k8s.io/v1": "endpointslices",
    "events.k8s.io/v1": "events",
    "flowcontrol.apiserver.k8s.io/v1": "flowschemas prioritylevelconfigurations",
    "networking.k8s.io/v1": "ingressclasses ingresses ipaddresses networkpolicies servicecidrs",
    "node.k8s.io/v1": "runtimeclasses",
    "policy/v1": "poddisruptionbudgets",
    "rbac.authorization.k8s.io/v1": "clusterrolebindings clusterroles rolebindings roles",
    "resource.k8s.io/v1": "deviceclasses resourceclaims resourceclaimtemplates resourceslices",
    "scheduling.k8s.io/v1": "priorityclasses",
    "storage.k8s.io/v1": (
        "csidrivers csinodes csistoragecapacities storageclasses volumeattachments volumeattributesclasses"
    ),
}
#: Groups whose rows other parts add.
ELSEWHERE = ("admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io")
SHORT_NAMES = {
    "componentstatuses": ("cs",),
    "configmaps": ("cm",),
    "endpoints": ("ep",),
    "events": ("ev",),
    "limitranges": ("limits",),
    "namespaces": ("ns",),
    "nodes": ("no",),
    "persistentvolumeclaims": ("pvc",),
    "persistentvolumes": ("pv",),
    "pods": ("po",),
    "replicationcontrollers": ("rc",),
    "resourcequotas": ("quota",),
    "serviceaccounts": ("sa",),
    "services": ("svc",),
    "daemonsets": ("ds",),
    "deployments": ("deploy",),
    "replicasets": ("rs",),
    "statefulsets": ("sts",),
    "horizontalpodautoscalers": ("hpa",),
    "cronjobs": ("cj",),
    "certificatesigningrequests": ("csr",),
    "ingresses": ("ing",),
    "ipaddresses": ("ip",),
    "networkpolicies": ("netpol",),
    "poddisruptionbudgets": ("pdb",),
    "priorityclasses": ("pc",),
    "storageclasses": ("sc",),
    "volumeattributesclasses": ("vac",),
    "customresourcedefinitions": ("crd", "crds"),
}


@pytest.mark.parametrize("version", SERVED)
def test_every_resource_of_a_version_is_served(version: str) -> None:
    found = {row.plural for row in table.RESOURCES if row.api_version == version}
    if version.partition("/")[0] in ELSEWHERE:
        assert found <= set(SERVED[version].split())
    else:
        assert found == set(SERVED[version].split())


def test_no_other_version_is_served() -> None:
    assert {row.api_version for row in table.RESOURCES} <= set(SERVED)


def test_short_names() -> None:
    assert {row.plural: row.short_names for row in table.RESOURCES if row.short_names} == SHORT_NAMES


def names(runtime_config: dict[str, bool], gates: dict[str, bool] | None = None) -> set[str]:
    default = {f"{row.api_version}/{row.plural}" for row in table.RESOURCES}
    return {f"{row.api_version}/{row.plural}" for row in table.served(runtime_config, gates or {})} ^ default


def test_runtime_config_switches_versions_and_resources() -> None:
    assert names({}) == set()
    assert names({"networking.k8s.io/v1beta1": True}) == {
        "networking.k8s.io/v1beta1/ipaddresses",
        "networking.k8s.io/v1beta1/servicecidrs",
    }
    assert names({"networking.k8s.io/v1beta1/ipaddresses": True}) == {"networking.k8s.io/v1beta1/ipaddresses"}
    assert names({"batch/v1": False}) == {"batch/v1/jobs", "batch/v1/cronjobs"}
    assert names({"api/beta": True, "storage.k8s.io/v1beta1": False}) == {
        f"{row.api_version}/{row.plural}"
        for row in table.ALL
        if "beta" in row.version and row.api_version != "storage.k8s.io/v1beta1"
    }


def test_gated_kinds_need_their_gate_too() -> None:
    version = {"scheduling.k8s.io/v1alpha2": True}
    both = {"scheduling.k8s.io/v1alpha2/podgroups", "scheduling.k8s.io/v1alpha2/workloads"}
    assert names(version) == set()
    assert names(version, {"GenericWorkload": True}) == both
    assert names(version, {"AllAlpha": True}) == both
    assert names(version, {"AllAlpha": True, "GenericWorkload": False}) == set()
