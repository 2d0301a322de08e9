"""Resources whose entries ask for every verb, and for the status endpoint where there is one."""

from typing import Any

from tests.apiserver.policies.written import Policies as Api
from tests.apiserver.policies.written import rule
from tests.conformance.walking import EVERY_VERB, SELECTOR, Walk, discovered

NOW = "2026-01-01T00:00:00Z"


def condition(status: str = "True", **more: str) -> dict[str, str]:
    return {"type": "Walked", "status": status, "reason": "Test", "message": "m", "lastTransitionTime": NOW} | more


async def test_flow_schemas(api: Api) -> None:
    """[sig-api-machinery] API priority and fairness should support FlowSchema API operations [Conformance]"""
    group = "flowcontrol.apiserver.k8s.io"
    verbs = await discovered(api, group, "v1", "flowschemas", "flowschemas/status")
    assert verbs["flowschemas"] >= EVERY_VERB
    rules = [
        {
            "subjects": [{"kind": "User", "user": {"name": "nobody"}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["/none"]}],
        }
    ]
    spec = {"matchingPrecedence": 10000, "priorityLevelConfiguration": {"name": "workload-low"}, "rules": rules}
    walk = Walk(api, f"/apis/{group}/v1/flowschemas", {"spec": spec})
    await walk.operations()
    patched = condition("False", lastTransitionTime=NOW)
    await walk.status({"conditions": [patched]}, {"conditions": [patched | {"message": "other"}]})


async def test_priority_level_configurations(api: Api) -> None:
    """[sig-api-machinery] API priority and fairness should support PriorityLevelConfiguration API operations
    [Conformance]"""
    group = "flowcontrol.apiserver.k8s.io"
    names = ("prioritylevelconfigurations", "prioritylevelconfigurations/status")
    assert (await discovered(api, group, "v1", *names))[names[0]] >= EVERY_VERB
    limited = {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}
    walk = Walk(api, f"/apis/{group}/v1/{names[0]}", {"spec": {"type": "Limited", "limited": limited}})
    await walk.operations()
    await walk.status({"conditions": [condition("False")]}, {"conditions": [condition("False", message="other")]})


def policy(**spec: Any) -> dict[str, Any]:
    constraints = {"resourceRules": [rule("deployments", group="apps", operations=("CREATE",))]}
    selector = {"matchLabels": {"no-such-label": "x"}}
    return {"spec": {"matchConstraints": {**constraints, "namespaceSelector": selector}, **spec}}


async def test_validating_admission_policies(api: Api) -> None:
    """[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support
    ValidatingAdmissionPolicy API operations [Conformance]"""
    names = ("validatingadmissionpolicies", "validatingadmissionpolicies/status")
    assert (await discovered(api, "admissionregistration.k8s.io", "v1", *names))[names[0]] >= EVERY_VERB
    body = policy(validations=[{"expression": "object.spec.replicas <= 100"}], failurePolicy="Ignore")
    walk = Walk(api, f"/apis/admissionregistration.k8s.io/v1/{names[0]}", body)
    await walk.operations()
    await walk.status({"conditions": [condition()]}, {"conditions": [condition("False")]})


async def test_validating_admission_policy_bindings(api: Api) -> None:
    """[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support
    ValidatingAdmissionPolicyBinding API operations [Conformance]"""
    name = "validatingadmissionpolicybindings"
    assert (await discovered(api, "admissionregistration.k8s.io", "v1", name))[name] >= EVERY_VERB
    body = {"spec": {"policyName": "none", "validationActions": ["Deny"]}}
    await Walk(api, f"/apis/admissionregistration.k8s.io/v1/{name}", body).operations()


async def test_mutating_admission_policies(api: Api) -> None:
    """[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support
    MutatingAdmissionPolicy API operations [Conformance]"""
    name = "mutatingadmissionpolicies"
    assert (await discovered(api, "admissionregistration.k8s.io", "v1", name))[name] >= EVERY_VERB
    expression = "Object{spec: Object.spec{replicas: 1}}"
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
    body = policy(mutations=[mutation], reinvocationPolicy="Never")
    await Walk(api, f"/apis/admissionregistration.k8s.io/v1/{name}", body).operations()


async def test_mutating_admission_policy_bindings(api: Api) -> None:
    """[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support
    MutatingAdmissionPolicyBinding API operations [Conformance]"""
    name = "mutatingadmissionpolicybindings"
    assert (await discovered(api, "admissionregistration.k8s.io", "v1", name))[name] >= EVERY_VERB
    await Walk(api, f"/apis/admissionregistration.k8s.io/v1/{name}", {"spec": {"policyName": "none"}}).operations()


INGRESS = {
    "rules": [
        {
            "host": "example.com",
            "http": {
                "paths": [
                    {
                        "path": "/",
                        "pathType": "Prefix",
                        "backend": {"service": {"name": "test", "port": {"number": 80}}},
                    }
                ]
            },
        }
    ]
}


async def test_ingresses(api: Api) -> None:
    """[sig-network] Ingress API should support creating Ingress API operations [Conformance]"""
    verbs = await discovered(api, "networking.k8s.io", "v1", "ingresses", "ingresses/status")
    assert verbs["ingresses"] >= EVERY_VERB
    assert verbs["ingresses/status"] >= {"get", "patch", "update"}
    root = "/apis/networking.k8s.io/v1"
    body = {"spec": {"defaultBackend": {"service": {"name": "d", "port": {"number": 80}}}, **INGRESS}}
    walk = Walk(api, f"{root}/namespaces/default/ingresses", body, f"{root}/ingresses")
    await walk.operations()
    await walk.status(
        {"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}}, {"loadBalancer": {"ingress": [{"ip": "169.1.1.2"}]}}
    )


async def test_ingress_classes(api: Api) -> None:
    """[sig-network] IngressClass API should support creating IngressClass API operations [Conformance]"""
    verbs = await discovered(api, "networking.k8s.io", "v1", "ingressclasses")
    assert verbs["ingressclasses"] >= EVERY_VERB
    walk = Walk(api, "/apis/networking.k8s.io/v1/ingressclasses", {"spec": {"controller": "example.com/ingress"}})
    await walk.operations()


async def test_endpoint_slices(api: Api) -> None:
    """[sig-network] EndpointSlice should support creating EndpointSlice API operations [Conformance]"""
    assert (await discovered(api, "discovery.k8s.io", "v1", "endpointslices"))["endpointslices"] >= EVERY_VERB
    root = "/apis/discovery.k8s.io/v1"
    body = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"name": "http", "port": 80}]}
    await Walk(api, f"{root}/namespaces/default/endpointslices", body, f"{root}/endpointslices").operations()


async def test_service_cidrs(api: Api) -> None:
    """[sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations [Conformance]"""
    verbs = await discovered(api, "networking.k8s.io", "v1", "servicecidrs", "servicecidrs/status")
    assert verbs["servicecidrs"] >= EVERY_VERB
    walk = Walk(api, "/apis/networking.k8s.io/v1/servicecidrs", {"spec": {"cidrs": ["10.60.60.0/24"]}})
    made = await walk.create("a")
    assert made["spec"] == {"cidrs": ["10.60.60.0/24"]}
    assert await walk.names() == ["a"]
    await walk.annotate("a", "patched")
    await walk.replace("a", "updated")
    unready = condition("False", type="Ready")
    found = await walk.annotate("a", "patchedstatus", "/status", status={"conditions": [unready]})
    assert found["status"]["conditions"] == [unready]
    version = (await walk.get("a"))["metadata"]["resourceVersion"]
    async with api.watching(walk.path, labelSelector=SELECTOR, resourceVersion=version) as lines:
        await api.ok("DELETE", f"{walk.path}/a")
        while lines.events[-1:] == [] or lines.events[-1]["type"] != "DELETED":
            await lines.wait(len(lines.events) + 1)
    await walk.create("b")
    await api.ok("DELETE", walk.path, query={"labelSelector": SELECTOR})


async def test_ip_addresses(api: Api) -> None:
    """[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations [Conformance]"""
    assert (await discovered(api, "networking.k8s.io", "v1", "ipaddresses"))["ipaddresses"] >= EVERY_VERB
    parent = {"group": "", "resource": "services", "namespace": "default", "name": "test"}
    walk = Walk(api, "/apis/networking.k8s.io/v1/ipaddresses", {"spec": {"parentRef": parent}})
    made = await walk.create("192.168.7.9")
    assert made["spec"]["parentRef"]["name"] == "test"
    assert await walk.names() == ["192.168.7.9"]
    await walk.annotate("192.168.7.9", "patched")
    await walk.replace("192.168.7.9", "updated")
    await walk.delete("192.168.7.9")
    await walk.create("192.168.7.10")
    await walk.clear()


async def test_csi_storage_capacities(api: Api) -> None:
    """[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations [Conformance]"""
    name = "csistoragecapacities"
    assert (await discovered(api, "storage.k8s.io", "v1", name))[name] >= EVERY_VERB
    body = {"storageClassName": "fast", "capacity": "1Gi", "nodeTopology": {"matchLabels": {"zone": "a"}}}
    walk = Walk(api, f"/apis/storage.k8s.io/v1/namespaces/default/{name}", body, f"/apis/storage.k8s.io/v1/{name}")
    await walk.operations()


async def test_runtime_classes(api: Api) -> None:
    """[sig-node] RuntimeClass should support RuntimeClasses API operations [Conformance]"""
    assert (await discovered(api, "node.k8s.io", "v1", "runtimeclasses"))["runtimeclasses"] >= EVERY_VERB
    await Walk(api, "/apis/node.k8s.io/v1/runtimeclasses", {"handler": "h"}).operations()


CRON_JOB = {
    "schedule": "*/1 * * * *",
    "jobTemplate": {
        "spec": {"template": {"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "i"}]}}}
    },
}


async def test_cron_jobs(api: Api) -> None:
    """[sig-apps] CronJob should support CronJob API operations [Conformance]"""
    verbs = await discovered(api, "batch", "v1", "cronjobs", "cronjobs/status")
    assert verbs["cronjobs"] >= EVERY_VERB
    assert verbs["cronjobs/status"] >= {"get", "patch", "update"}
    walk = Walk(api, "/apis/batch/v1/namespaces/default/cronjobs", {"spec": CRON_JOB}, "/apis/batch/v1/cronjobs")
    await walk.operations()
    await walk.status({"lastScheduleTime": NOW}, {"lastScheduleTime": "2026-01-01T00:01:00Z"})


async def test_leases(api: Api) -> None:
    """[sig-node] Lease lease API should be available [Conformance]"""
    root = "/apis/coordination.k8s.io/v1"
    spec = {
        "holderIdentity": "holder",
        "leaseDurationSeconds": 30,
        "acquireTime": "2026-01-01T00:00:00.000000Z",
        "renewTime": "2026-01-01T00:00:05.000000Z",
        "leaseTransitions": 0,
    }
    walk = Walk(api, f"{root}/namespaces/default/leases", {"spec": spec}, f"{root}/leases")
    made = await walk.create("first")
    assert made["spec"] == (await walk.get("first"))["spec"] == spec
    later = spec | {"holderIdentity": "holder2", "leaseTransitions": 1}
    await api.ok("PUT", f"{walk.path}/first", made | {"spec": later})
    assert (await walk.get("first"))["spec"] == later
    await walk.patch("first", {"spec": {"holderIdentity": "holder3"}})
    assert (await walk.get("first"))["spec"]["holderIdentity"] == "holder3"
    await walk.delete("first")
    await walk.operations()
