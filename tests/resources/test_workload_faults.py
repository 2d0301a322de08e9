"""Faults of workloads and of the network's kinds, in Kubernetes' words."""

from typing import Any

import pytest

from tests.apiserver.server import serving

NETWORK = "/apis/networking.k8s.io/v1/namespaces/default"
POLICIES = f"{NETWORK}/networkpolicies"
INGRESSES = f"{NETWORK}/ingresses"
STATEFUL_SETS = "/apis/apps/v1/namespaces/default/statefulsets"


def ingress(path: str, path_type: str = "Prefix") -> dict[str, Any]:
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    return {"rules": [{"http": {"paths": [{"path": path, "pathType": path_type, "backend": backend}]}}]}


def policy(**port: Any) -> dict[str, Any]:
    return {"podSelector": {}, "ingress": [{"ports": [port]}]}


def stateful_set(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {"serviceName": "s", "selector": {"matchLabels": {"a": "b"}}, "template": template, **spec}


AT_PATH = "spec.rules[0].http.paths[0].path"
AT_END_PORT = "spec.ingress[0].ports[0].endPort"
RETENTION = "spec.persistentVolumeClaimRetentionPolicy"


@pytest.mark.parametrize(
    ("collection", "spec", "said"),
    [
        (INGRESSES, ingress("/a//b"), f"{AT_PATH}: Invalid value: \"/a//b\": must not contain '//'"),
        (INGRESSES, ingress("/a/../b", "Exact"), f"{AT_PATH}: Invalid value: \"/a/../b\": must not contain '/../'"),
        (INGRESSES, ingress("/a%2Fb"), f"{AT_PATH}: Invalid value: \"/a%2Fb\": must not contain '%2F'"),
        (INGRESSES, ingress("/a/."), f"{AT_PATH}: Invalid value: \"/a/.\": cannot end with '/.'"),
        (INGRESSES, ingress("/a//b", "ImplementationSpecific"), ""),
        (POLICIES, policy(endPort=5), f"{AT_END_PORT}: Invalid value: 5: may not be specified when `port` is not"),
        (
            POLICIES,
            policy(port="p", endPort=5),
            f"{AT_END_PORT}: Invalid value: 5: may not be specified when `port` is",
        ),
        (POLICIES, policy(port=6, endPort=5), f"{AT_END_PORT}: Invalid value: 5: must be greater than or equal to"),
        (
            STATEFUL_SETS,
            stateful_set(persistentVolumeClaimRetentionPolicy={"whenDeleted": "Keep"}),
            f'{RETENTION}.whenDeleted: Unsupported value: "Keep": supported values: ',
        ),
    ],
)
async def test_faults(collection: str, spec: dict[str, Any], said: str) -> None:
    async with serving() as api:
        status, found = await api.call("POST", collection, {"metadata": {"name": "a"}, "spec": spec})
        assert status == (422 if said else 201), found
        assert said in found.get("message", "")
