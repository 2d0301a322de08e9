"""What the process of simulated nodes puts into a cluster: the Simulation kind, and where metrics are served."""

import base64
from typing import Any, Final

from tiphys.client import Client
from tiphys.machinery import errors
from tiphys.simulation import metrics
from tiphys.simulation.definition import DEFINITION

NAMESPACE: Final = "kube-system"
SERVICE: Final = "metrics-server"


async def ensure(client: Client, port: int, ca: bytes) -> None:
    """Make what is missing and put right what is there; what belongs to others stays as it is."""
    definitions = client.resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", False)
    await _ensure(definitions, DEFINITION)
    if port:
        service, registration = _service(port), _registration(port, ca)
        await _ensure(client.resource("", "v1", "services", True), service)
        await _ensure(client.resource("apiregistration.k8s.io", "v1", "apiservices", False), registration)


async def _ensure(resource: Any, wanted: dict[str, Any]) -> None:
    meta = wanted["metadata"]
    try:
        found = await resource.get(meta["name"], meta.get("namespace", ""))
    except errors.NotFound:
        await resource.create(wanted)
        return
    ours = found["metadata"].get("labels", {}).get(_OURS) or wanted is DEFINITION
    if ours:
        body = {"spec": wanted["spec"]}
        await resource.patch(meta["name"], meta.get("namespace", ""), body, "merge")


_OURS = "sim.tiphys.dev/metrics"


def _service(port: int) -> dict[str, Any]:
    """Without endpoints, which may not name loopback; this machine is where the API server runs as well."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SERVICE, "namespace": NAMESPACE, "labels": {_OURS: "true"}},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"name": "https", "port": port}]},
    }


def _registration(port: int, ca: bytes) -> dict[str, Any]:
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{metrics.VERSION}.{metrics.GROUP}", "labels": {_OURS: "true"}},
        "spec": {
            "group": metrics.GROUP,
            "version": metrics.VERSION,
            "service": {"name": SERVICE, "namespace": NAMESPACE, "port": port},
            "caBundle": base64.b64encode(ca).decode(),
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
