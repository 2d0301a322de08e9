"""Whatever is sent, the answer is a value or a declared refusal, and a refusal changes nothing."""

import json
import random
from typing import Any

import pytest

from tests.apiserver.server import JSON_PATCH, MERGE, STRATEGIC, Api, config_map, pod, serving
from tiphys.resources import table

PATHS = [
    "/api/v1/namespaces/d/pods",
    "/api/v1/namespaces/d/services",
    "/api/v1/namespaces/d/configmaps",
    "/api/v1/namespaces/d/secrets",
    "/api/v1/nodes",
    "/api/v1/namespaces",
    "/apis/apps/v1/namespaces/d/deployments",
    "/apis/apps/v1/namespaces/d/replicasets",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/coordination.k8s.io/v1/namespaces/d/leases",
    "/apis/discovery.k8s.io/v1/namespaces/d/endpointslices",
]
ODD: list[Any] = [
    None,
    0,
    -1,
    2**70,
    1.5,
    True,
    "",
    "x" * 300,
    "\u0000",
    "é",
    [],
    {},
    [None],
    {"": None},
    [[]],
    "1h",
    "-",
]


def damaged(value: Any, dice: random.Random) -> Any:
    """``value`` with something wrong somewhere."""
    if dice.random() < 0.15:
        return dice.choice(ODD)
    if isinstance(value, dict) and value:
        found = dict(value)
        key = dice.choice(list(found))
        if dice.random() < 0.2:
            found[dice.choice(["x", "metadata", "spec", "name", ""])] = dice.choice(ODD)
        elif dice.random() < 0.1:
            del found[key]
        else:
            found[key] = damaged(found[key], dice)
        return found
    if isinstance(value, list) and value:
        found_list = list(value)
        index = dice.randrange(len(found_list))
        found_list[index] = damaged(found_list[index], dice)
        return found_list
    return dice.choice(ODD)


def originals() -> list[tuple[str, dict[str, Any]]]:
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "image": "i",
                    "ports": [{"containerPort": 80}],
                    "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                    "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}},
                    "readinessProbe": {"httpGet": {"path": "/", "port": "web"}},
                    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                }
            ],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "tolerations": [{"key": "k", "operator": "Exists"}],
        },
    }
    workload = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    bodies: dict[str, dict[str, Any]] = {
        "pods": {"spec": template["spec"]},
        "services": {"spec": {"selector": {"a": "b"}, "ports": [{"port": 80, "nodePort": 30001}], "type": "NodePort"}},
        "configmaps": {"data": {"k": "v"}},
        "secrets": {"data": {"k": "dg=="}, "type": "Opaque"},
        "nodes": {"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}},
        "namespaces": {"spec": {"finalizers": ["kubernetes"]}},
        "deployments": {"spec": {**workload, "strategy": {"rollingUpdate": {"maxSurge": "25%"}}}},
        "replicasets": {"spec": workload},
        "clusterroles": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
        "leases": {
            "spec": {"holderIdentity": "x", "leaseDurationSeconds": 1, "renewTime": "2026-01-01T00:00:00.000000Z"}
        },
        "endpointslices": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 1}]},
    }
    metadata = {"name": "o", "labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["a.b/c"]}
    return [(path, {"metadata": metadata, **bodies[path.rpartition("/")[2]]}) for path in PATHS]


def acceptable(status: int, answer: Any) -> bool:
    if status < 300:
        return True
    # Some of Kubernetes' own refusals are a 500 without a reason; faults of ours are InternalErrors.
    if status == 500:
        return "reason" not in answer
    return 400 <= status < 500 and answer["kind"] == "Status" and bool(answer["message"])


@pytest.mark.parametrize("seed", range(6))
async def test_damaged_objects(seed: int) -> None:
    dice = random.Random(seed)
    async with serving() as api:
        for path, body in originals():
            await api.ok("POST", path, body)
            for _ in range(25):
                before = api.store.revision
                sent = damaged(body, dice)
                name = dice.choice(["", "/o"])
                method = "PUT" if name else "POST"
                strictness = {"fieldValidation": dice.choice(["Strict", "Warn", "Ignore"])}
                status, answer = await api.call(method, path + name, sent, strictness)
                assert acceptable(status, answer), (seed, method, path, sent, status, answer)
                if status >= 300:
                    assert api.store.revision == before, "a refusal changes nothing"


@pytest.mark.parametrize("seed", range(6))
async def test_damaged_patches(seed: int) -> None:
    dice = random.Random(seed)
    patch = [
        {"op": "test", "path": "/metadata/name", "value": "o"},
        {"op": "add", "path": "/metadata/labels/x", "value": "y"},
        {"op": "move", "from": "/metadata/labels/x", "path": "/metadata/labels/z"},
    ]
    async with serving() as api:
        for path, body in originals():
            await api.ok("POST", path, body)
            for _ in range(25):
                media_type = dice.choice([MERGE, STRATEGIC, JSON_PATCH])
                sent = damaged(patch if media_type == JSON_PATCH else body, dice)
                status, answer = await api.call("PATCH", f"{path}/o", sent, content_type=media_type)
                assert acceptable(status, answer), (seed, path, media_type, sent, status, answer)


@pytest.mark.parametrize("seed", range(4))
async def test_cut_and_flipped_bytes(seed: int) -> None:
    dice = random.Random(seed)
    async with serving() as api:
        for path, body in originals():
            whole = json.dumps(body).encode()
            for _ in range(15):
                sent = bytearray(whole[: dice.randrange(len(whole))] if dice.random() < 0.5 else whole)
                if sent:
                    sent[dice.randrange(len(sent))] = dice.randrange(256)
                media_type = dice.choice(["application/json", "application/yaml"])
                status, answer = await api.call("POST", path, bytes(sent), content_type=media_type)
                assert acceptable(status, answer), (seed, path, bytes(sent), status, answer)


QUERIES = ["limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector", "fieldSelector", "pretty"]
QUERIES += ["timeoutSeconds", "includeObject", "dryRun", "fieldValidation", "gracePeriodSeconds", "propagationPolicy"]


async def test_odd_queries(api: Api) -> None:
    dice = random.Random(1)
    await api.ok("POST", "/api/v1/namespaces/d/pods", pod("p"))
    values = ["", "x", "-1", "0", "99999999999999999999", "a=b", "a in (", "!", "é", "metadata.name=x", ",", "%", "1.5"]
    for _ in range(400):
        query = {name: dice.choice(values) for name in dice.sample(QUERIES, 2) if name != "resourceVersion"}
        method = dice.choice(["GET", "DELETE", "POST", "PATCH", "PUT", "HEAD", "OPTIONS"])
        path = dice.choice(
            ["/api/v1/pods", "/api/v1/namespaces/d/pods", "/api/v1/namespaces/d/pods/q", "/api/v1/nodes"]
        )
        response = await api.raw(method, path, None if method != "POST" else config_map("a"), query)
        assert response.status < 500, (method, path, query, response.body)


async def test_every_row_lists_and_prints(api: Api) -> None:
    """No row of the table can break the server: each lists, prints and watches, empty as it is."""
    for row in table.RESOURCES:
        if "list" not in row.verbs or row.virtual:
            continue
        base = f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"
        found = await api.ok("GET", f"{base}/{row.plural}")
        assert (found["kind"], found["items"]) == (f"{row.kind}List", [])
        accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
        printed = await api.ok("GET", f"{base}/{row.plural}", accept=accept)
        assert printed["columnDefinitions"] and printed["rows"] == []
