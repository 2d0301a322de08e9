"""The official Python client, unchanged, from PyPI."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.informer import ADDED, DELETED, MODIFIED, SharedInformer
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from kubernetes.stream import portforward, stream

from tests.acceptance.outside import PATIENCE_SECONDS, Kubectl
from tiphys.resources import table
from tiphys.resources.rules import Resource

SECONDS = int(PATIENCE_SECONDS)
DEPLOYMENT: dict[str, Any] = {
    "metadata": {"name": "d"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "d"}},
        "template": {
            "metadata": {"labels": {"app": "d"}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {
                        "name": "c",
                        "image": "tiphys.dev/host",
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["sleep", "1000"],
                    }
                ],
            },
        },
    },
}


@pytest.fixture(autouse=True)
def configured(kubectl: Kubectl) -> None:
    config.load_kube_config(str(kubectl.kubeconfig))


def wait_for(method: Callable[..., Any], name: str, ready: Callable[[Any], bool], namespace: str) -> Any:
    """The object, once it is as wanted; seen through a watch."""
    watcher = watch.Watch()
    selector = f"metadata.name={name}"
    for event in watcher.stream(method, namespace, field_selector=selector, timeout_seconds=SECONDS):
        if ready(event["object"]):
            watcher.stop()
            return event["object"]
    raise AssertionError(f"{name} did not become what it should")


def refusal(act: Callable[[], Any]) -> tuple[int, dict[str, Any]]:
    with pytest.raises(ApiException) as problem:
        act()
    assert problem.value.body is not None and problem.value.status is not None
    return problem.value.status, json.loads(problem.value.body)


def test_deployments(kubectl: Kubectl) -> None:
    """List, watch, create and patch (the three ways), scale, replace, delete."""
    apps, namespace = client.AppsV1Api(), kubectl.namespace
    made = apps.create_namespaced_deployment(namespace, DEPLOYMENT)
    assert made.spec.strategy.type == "RollingUpdate"
    events = watch.Watch()
    kinds = []
    for event in events.stream(
        apps.list_namespaced_deployment,
        namespace,
        resource_version=made.metadata.resource_version,
        timeout_seconds=SECONDS,
    ):
        kinds.append(event["type"])
        if event["object"].status.available_replicas == 2:
            events.stop()
    assert set(kinds) == {"MODIFIED"}
    assert [one.metadata.name for one in apps.list_namespaced_deployment(namespace).items] == ["d"]

    container = {"name": "c", "env": [{"name": "A", "value": "B"}]}
    strategic = {"spec": {"template": {"spec": {"containers": [container]}}}}
    patched = apps.patch_namespaced_deployment("d", namespace, strategic)
    assert (patched.spec.template.spec.containers[0].image, patched.spec.template.spec.containers[0].env[0].value) == (
        "tiphys.dev/host",
        "B",
    )
    operations = [{"op": "replace", "path": "/spec/replicas", "value": 3}]
    assert apps.patch_namespaced_deployment("d", namespace, operations).spec.replicas == 3
    merge = {"metadata": {"labels": {"x": "y"}}}
    merged = apps.patch_namespaced_deployment("d", namespace, merge, _content_type="application/merge-patch+json")
    assert merged.metadata.labels == {"x": "y"}
    assert apps.patch_namespaced_deployment_scale("d", namespace, {"spec": {"replicas": 1}}).spec.replicas == 1
    wait_for(apps.list_namespaced_deployment, "d", lambda d: d.status.replicas == 1, namespace)

    stale = apps.read_namespaced_deployment("d", namespace)
    apps.patch_namespaced_deployment("d", namespace, {"metadata": {"labels": {"x": "z"}}})
    code, body = refusal(lambda: apps.replace_namespaced_deployment("d", namespace, stale))
    assert (code, body["reason"]) == (409, "Conflict")
    stale.metadata.resource_version = None
    stale.spec.paused = True
    assert apps.replace_namespaced_deployment("d", namespace, stale).spec.paused
    apps.delete_namespaced_deployment("d", namespace, propagation_policy="Foreground")
    kubectl("wait --for=delete pod,deploy,rs --all --timeout=20s")
    assert refusal(lambda: apps.read_namespaced_deployment("d", namespace))[1]["reason"] == "NotFound"


def test_server_side_apply(kubectl: Kubectl) -> None:
    core, namespace = client.CoreV1Api(), kubectl.namespace
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "b"}}

    def apply(manager: str, force: bool = False) -> Any:
        words = {"field_manager": manager, "force": force, "_content_type": "application/apply-patch+yaml"}
        return core.patch_namespaced_config_map("a", namespace, body, **words)

    assert apply("first").metadata.managed_fields[0].manager == "first"
    body["data"] = {"a": "c"}
    code, status = refusal(lambda: apply("second"))
    assert (code, status["reason"]) == (409, "Conflict")
    assert status["details"]["causes"][0]["field"] == ".data.a"
    assert apply("second", force=True).data == {"a": "c"}


def test_pages_and_resource_versions(kubectl: Kubectl) -> None:
    core, namespace = client.CoreV1Api(), kubectl.namespace
    for name in "abc":
        core.create_namespaced_config_map(namespace, {"metadata": {"name": name}})
    first = core.list_namespaced_config_map(namespace, limit=2, _preload_content=False)
    page = json.loads(first.data)
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "z"}})
    rest = core.list_namespaced_config_map(namespace, limit=50, _continue=page["metadata"]["continue"])
    # The second page is as old as the first.
    assert [one["metadata"]["name"] for one in page["items"]] == ["a", "b"]
    assert [one.metadata.name for one in rest.items] == ["c", "kube-root-ca.crt"]
    assert rest.metadata.resource_version == page["metadata"]["resourceVersion"]
    assert refusal(lambda: core.list_namespaced_config_map(namespace, _continue="nonsense"))[0] == 400
    assert refusal(lambda: core.list_namespaced_config_map(namespace, label_selector="a in b"))[0] == 400


def test_watch_starts_with_what_is_there_and_bookmarks(kubectl: Kubectl) -> None:
    core, namespace = client.CoreV1Api(), kubectl.namespace
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}})
    answer = core.list_namespaced_config_map(
        namespace,
        watch=True,
        allow_watch_bookmarks=True,
        send_initial_events=True,
        resource_version_match="NotOlderThan",
        timeout_seconds=1,
        _preload_content=False,
    )
    events = [json.loads(line) for line in answer.data.splitlines()]
    assert [event["type"] for event in events[:3]] == ["ADDED", "ADDED", "BOOKMARK"]
    assert events[2]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert {event["type"] for event in events[3:]} <= {"BOOKMARK"}


def test_exec_and_port_forward(shop: Kubectl) -> None:
    core = client.CoreV1Api()
    words = {"container": "talks", "stdin": False, "stdout": True, "stderr": True, "tty": False}
    script = ["sh", "-c", "echo out; echo err >&2"]
    printed = stream(core.connect_get_namespaced_pod_exec, "pair", "shop", command=script, **words)
    assert sorted(printed.split()) == ["err", "out"]

    words |= {"stdin": True, "_preload_content": False}
    shell = stream(core.connect_get_namespaced_pod_exec, "pair", "shop", command=["sh"], **words)
    shell.write_stdin("echo hello\n")
    assert shell.readline_stdout(timeout=SECONDS) == "hello"
    shell.write_stdin("exit 5\n")
    shell.run_forever(timeout=SECONDS)
    assert shell.returncode == 5

    pod = core.list_namespaced_pod("shop", label_selector="app=web").items[0].metadata.name
    forward = portforward(core.connect_get_namespaced_pod_portforward, pod, "shop", ports="8080")
    socket = forward.socket(8080)
    socket.setblocking(True)
    socket.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b"".join(iter(lambda: socket.recv(4096), b""))
    assert answer.endswith(f"pod={pod}\n".encode())
    assert forward.error(8080) is None


def test_logs_and_proxy(shop: Kubectl) -> None:
    core = client.CoreV1Api()
    assert core.read_namespaced_pod_log("pair", "shop", container="talks", tail_lines=2) == "line-2\nline-3\n"
    lines = watch.Watch().stream(core.read_namespaced_pod_log, "pair", "shop", container="talks")
    assert next(iter(lines)) == "line-1"
    assert core.connect_get_namespaced_service_proxy("web:80", "shop").startswith("pod=web-")


def test_informer(kubectl: Kubectl) -> None:
    core, namespace = client.CoreV1Api(), kubectl.namespace
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "before"}})
    seen: list[tuple[str, str]] = []
    gone = threading.Event()

    def note(kind: str) -> Callable[[Any], None]:
        def handle(obj: Any) -> None:
            seen.append((kind, obj.metadata.name))
            if (kind, obj.metadata.name) == (ADDED, "before"):
                core.create_namespaced_config_map(namespace, {"metadata": {"name": "after"}})
            if (kind, obj.metadata.name) == (ADDED, "after"):
                core.patch_namespaced_config_map("after", namespace, {"data": {"a": "b"}})
            if (kind, obj.metadata.name) == (MODIFIED, "after"):
                core.delete_namespaced_config_map("after", namespace)
            if (kind, obj.metadata.name) == (DELETED, "after"):
                gone.set()

        return handle

    informer = SharedInformer(core.list_namespaced_config_map, namespace=namespace)
    for kind in (ADDED, MODIFIED, DELETED):
        informer.add_event_handler(kind, note(kind))
    informer.start()
    try:
        assert gone.wait(SECONDS), seen
        assert informer.cache.get_by_key(f"{namespace}/before") is not None
        assert informer.cache.get_by_key(f"{namespace}/after") is None
    finally:
        informer.stop()
    assert [kind for kind, name in seen if name == "after"] == [ADDED, MODIFIED, DELETED]


@pytest.mark.parametrize("lock", [ConfigMapLock, LeaseLock])
def test_leader_election(kubectl: Kubectl, lock: type[Any]) -> None:
    def elector(identity: str) -> Any:
        terms = {"lease_duration": 17, "renew_deadline": 15, "retry_period": 1}
        own = electionconfig.Config(
            lock("leader", kubectl.namespace, identity),
            onstarted_leading=lambda: None,
            onstopped_leading=lambda: None,
            **terms,
        )
        return leaderelection.LeaderElection(own)

    first, second = elector("first"), elector("second")
    assert first.try_acquire_or_renew()
    assert not second.try_acquire_or_renew()
    assert first.try_acquire_or_renew()


def test_dynamic(kubectl: Kubectl) -> None:
    maps = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "b"}}
    assert maps.create(namespace=kubectl.namespace, body=body).data.a == "b"
    body["data"] = {"c": "d"}
    assert maps.replace(namespace=kubectl.namespace, body=body).data.to_dict() == {"c": "d"}
    merge = {"body": {"data": {"e": "f"}}, "content_type": "application/merge-patch+json"}
    assert maps.patch(namespace=kubectl.namespace, name="a", **merge).data.to_dict() == {"c": "d", "e": "f"}
    events = maps.watch(namespace=kubectl.namespace, field_selector="metadata.name=a", timeout=SECONDS)
    first = next(iter(events))
    assert (first["type"], first["object"].metadata.name) == ("ADDED", "a")
    maps.delete(name="a", namespace=kubectl.namespace)
    with pytest.raises(dynamic.exceptions.NotFoundError):
        maps.get(name="a", namespace=kubectl.namespace)


def test_create_from_yaml(kubectl: Kubectl, tmp_path: Path) -> None:
    manifest = tmp_path / "some.yaml"
    manifest.write_text(
        "apiVersion: v1\nkind: List\nitems:\n"
        "- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: b}}\n"
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}]}\n"
    )
    utils.create_from_yaml(client.ApiClient(), str(manifest), namespace=kubectl.namespace)
    assert client.CoreV1Api().read_namespaced_service("s", kubectl.namespace).spec.cluster_ip
    assert client.CoreV1Api().read_namespaced_config_map("a", kubectl.namespace).data == {"a": "b"}
    with pytest.raises(utils.FailToCreateError, match="already exists"):
        utils.create_from_yaml(client.ApiClient(), str(manifest), namespace=kubectl.namespace)


def test_tokens_and_reviews(kubectl: Kubectl) -> None:
    core, namespace = client.CoreV1Api(), kubectl.namespace
    asked = {"spec": {"audiences": [], "expirationSeconds": 600}}
    token = core.create_namespaced_service_account_token("default", namespace, asked).status.token
    reviewed = client.AuthenticationV1Api().create_token_review({"spec": {"token": token}}).status
    assert reviewed.authenticated and reviewed.user.username == f"system:serviceaccount:{namespace}:default"

    own = client.Configuration.get_default_copy()
    own.cert_file = own.key_file = None
    own.api_key, own.api_key_prefix = {"authorization": token}, {"authorization": "Bearer"}
    as_robot = client.CoreV1Api(client.ApiClient(own))
    code, status = refusal(lambda: as_robot.list_namespaced_pod(namespace))
    user = f"system:serviceaccount:{namespace}:default"
    assert (code, status["message"]) == (
        403,
        f'pods is forbidden: User "{user}" cannot list resource "pods" in API group "" in the namespace "{namespace}"',
    )


def _simple(row: Resource) -> bool:
    """Whether the kind can be made out of nothing but what ``SPECS`` says."""
    return "create" in row.verbs and "list" in row.verbs and not row.virtual and not row.optional


_POD_SPEC = {"containers": [{"name": "c", "image": "i"}]}
_TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": _POD_SPEC}
_SELECTOR = {"matchLabels": {"a": "b"}}
_RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothings"]}
_ROLE_REF = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
#: What a kind needs besides its name.
SPECS: dict[str, dict[str, Any]] = {
    "Pod": {"spec": {**_POD_SPEC, "schedulingGates": [{"name": "example.test/held"}]}},
    "PodTemplate": {"template": {**_TEMPLATE}},
    "ReplicationController": {"spec": {"replicas": 0, "selector": {"a": "b"}, "template": _TEMPLATE}},
    "Service": {"spec": {"ports": [{"port": 80}]}},
    "PersistentVolume": {
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp/none"}}
    },
    "PersistentVolumeClaim": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    "ControllerRevision": {"revision": 1, "data": {"a": "b"}},
    "DaemonSet": {
        "spec": {
            "selector": _SELECTOR,
            "template": {**_TEMPLATE, "spec": {**_POD_SPEC, "nodeSelector": {"no": "where"}}},
        }
    },
    "Deployment": {"spec": {"replicas": 0, "selector": _SELECTOR, "template": _TEMPLATE}},
    "ReplicaSet": {"spec": {"replicas": 0, "selector": _SELECTOR, "template": _TEMPLATE}},
    "StatefulSet": {"spec": {"replicas": 0, "selector": _SELECTOR, "template": _TEMPLATE, "serviceName": "s"}},
    "HorizontalPodAutoscaler": {
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}
    },
    "CronJob": {
        "spec": {
            "schedule": "0 0 1 1 *",
            "suspend": True,
            "jobTemplate": {"spec": {"template": {"spec": {**_POD_SPEC, "restartPolicy": "Never"}}}},
        }
    },
    "Job": {"spec": {"suspend": True, "template": {"spec": {**_POD_SPEC, "restartPolicy": "Never"}}}},
    "EndpointSlice": {"addressType": "IPv4", "endpoints": []},
    "IngressClass": {"spec": {"controller": "example.test/none"}},
    "Ingress": {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
    "NetworkPolicy": {"spec": {"podSelector": {}}},
    "PodDisruptionBudget": {"spec": {"minAvailable": 1, "selector": _SELECTOR}},
    "ClusterRoleBinding": {"roleRef": _ROLE_REF},
    "RoleBinding": {"roleRef": _ROLE_REF},
    "PriorityClass": {"value": 10},
    "RuntimeClass": {"handler": "none"},
    "StorageClass": {"provisioner": "example.test/none"},
    "CSIDriver": {"spec": {}},
    "CSINode": {"spec": {"drivers": []}},
    "VolumeAttachment": {
        "spec": {"attacher": "example.test", "nodeName": "none", "source": {"persistentVolumeName": "none"}}
    },
    "FlowSchema": {"spec": {"priorityLevelConfiguration": {"name": "none"}, "matchingPrecedence": 9000}},
    "PriorityLevelConfiguration": {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}},
    "LimitRange": {"spec": {"limits": []}},
    "IPAddress": {"spec": {"parentRef": {"resource": "services", "namespace": "none", "name": "none"}}},
    "ServiceCIDR": {"spec": {"cidrs": ["192.0.2.0/28"]}},
    "CSIStorageCapacity": {"storageClassName": "none"},
    "VolumeAttributesClass": {"driverName": "example.test", "parameters": {"a": "b"}},
    "ResourceClaim": {"spec": {}},
    "ResourceClaimTemplate": {"spec": {"spec": {}}},
    "ResourceSlice": {
        "spec": {
            "driver": "example.test",
            "allNodes": True,
            "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
        }
    },
    "CustomResourceDefinition": {
        "spec": {
            "group": "example.test",
            "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
            ],
        }
    },
    "APIService": {
        "spec": {
            "group": "metrics.example.test",
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 10,
            "insecureSkipTLSVerify": True,
            "service": {"namespace": "none", "name": "none"},
        }
    },
    "ValidatingAdmissionPolicy": {
        "spec": {"matchConstraints": {"resourceRules": [_RULE]}, "validations": [{"expression": "true"}]}
    },
    "ValidatingAdmissionPolicyBinding": {"spec": {"policyName": "none", "validationActions": ["Deny"]}},
    "MutatingAdmissionPolicy": {
        "spec": {
            "reinvocationPolicy": "Never",
            "matchConstraints": {"resourceRules": [_RULE]},
            "mutations": [
                {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}},
            ],
        }
    },
    "MutatingAdmissionPolicyBinding": {"spec": {"policyName": "none"}},
}
#: Names that say something; others are the test's own.
NAMES = {
    "IPAddress": "192.0.2.7",
    "CustomResourceDefinition": "things.example.test",
    "APIService": "v1.metrics.example.test",
}


def _rows() -> Iterator[Resource]:
    # A request to sign needs a real one; the certificates' own tests make it.
    return (row for row in table.RESOURCES if _simple(row) and row.kind != "CertificateSigningRequest")


def test_every_kind_can_be_made_read_changed_watched_and_deleted(kubectl: Kubectl) -> None:
    """Through discovery and the dynamic client: what the server says that it serves, it serves."""
    known = dynamic.DynamicClient(client.ApiClient())
    name = kubectl.namespace
    wrong = []
    for row in _rows():
        try:
            _round(known, row, name, kubectl.namespace)
        except (AssertionError, dynamic.exceptions.DynamicApiError) as problem:
            wrong.append(f"{row.group_resource}/{row.version}: {problem}")
    assert not wrong, "\n".join(wrong)


def _round(known: Any, row: Resource, name: str, namespace: str) -> None:
    api = known.resources.get(api_version=row.api_version, kind=row.kind)
    place = {"namespace": namespace} if row.namespaced else {}
    name = NAMES.get(row.kind, name)
    body: dict[str, Any] = {"apiVersion": row.api_version, "kind": row.kind, "metadata": {"name": name}}
    body |= SPECS.get(row.kind, {})
    if row.kind == "Event":
        about = {"kind": "Pod", "namespace": namespace, "name": "x", "apiVersion": "v1"}
        body |= {"regarding": about} if row.group else {"involvedObject": about}
        if row.group:
            body |= {
                "eventTime": "2026-01-01T00:00:00.000001Z",
                "reportingController": "example.test/t",
                "reportingInstance": "t",
                "action": "Try",
                "reason": "Tried",
                "type": "Normal",
            }
    if row.kind == "Namespace":
        name = body["metadata"]["name"] = f"{name}-n"
    made = api.create(body=body, **place)
    assert made.kind == row.kind and made.metadata.uid
    assert api.get(name=name, **place).metadata.uid == made.metadata.uid
    assert name in [one.metadata.name for one in api.get(**place).items]
    label = {"body": {"metadata": {"labels": {"seen": "yes"}}}, "content_type": "application/merge-patch+json"}
    assert api.patch(name=name, **label, **place).metadata.labels.seen == "yes"
    again = api.get(name=name, **place).to_dict()
    again["metadata"]["annotations"] = {"example.test/a": "b"}
    again["metadata"].pop("resourceVersion")
    if row.strategy.unconditional_update:
        assert api.replace(body=again, **place).metadata.annotations["example.test/a"] == "b"
    watched = api.watch(field_selector=f"metadata.name={name}", timeout=SECONDS, **place)
    assert next(iter(watched))["object"].metadata.name == name
    api.delete(name=name, **place)
