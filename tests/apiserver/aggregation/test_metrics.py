"""A metrics server behind the aggregation layer: ``kubectl top`` and the autoscaler read through it."""

import base64
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.apiserver.aggregation.conftest import SERVICES, aggregation_of
from tests.apiserver.aggregation.server import https
from tests.apiserver.secure import secured
from tests.apiserver.test_apply_kubectl import Kubectl
from tests.controllers.cluster import Cluster
from tests.controllers.test_autoscaling import STARTED, autoscaler
from tests.controllers.test_autoscaling import _until_sized as until_sized
from tests.controllers.test_autoscaling import _web as deploy
from tiphys.api import apiregistration_v1, core_v1, meta_v1
from tiphys.apiserver import pki
from tiphys.apiserver.aggregation.catalog import Catalog
from tiphys.machinery.conditions import is_true

ROOT = "/apis/metrics.k8s.io/v1beta1"
USAGE = {"cpu": "100m", "memory": "64Mi"}
NOW = {"timestamp": "2026-01-01T00:00:00Z", "window": "15s"}


class MetricsServer:
    """Speaks metrics.k8s.io as the stock one does. ``pods`` names those in ``default`` that it has measured."""

    def __init__(self, pods: Callable[[], list[str]]) -> None:
        self._pods = pods

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path == ROOT:
            resources = [
                {
                    "name": "nodes",
                    "singularName": "",
                    "namespaced": False,
                    "kind": "NodeMetrics",
                    "verbs": ["get", "list"],
                },
                {
                    "name": "pods",
                    "singularName": "",
                    "namespaced": True,
                    "kind": "PodMetrics",
                    "verbs": ["get", "list"],
                },
            ]
            head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1"}
            return web.json_response({**head, "resources": resources})
        if path == f"{ROOT}/nodes":
            return self._list("NodeMetrics", [{"metadata": {"name": "n1"}, **NOW, "usage": USAGE}])
        if path == f"{ROOT}/namespaces/default/pods":
            containers = [{"name": "c", "usage": USAGE}]
            items = [
                {"metadata": {"name": name, "namespace": "default"}, **NOW, "containers": containers}
                for name in self._pods()
            ]
            return self._list("PodMetrics", items)
        return web.json_response({}, status=404)

    def _list(self, kind: str, items: list[dict[str, Any]]) -> web.Response:
        head = {"kind": f"{kind}List", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}}
        return web.json_response({**head, "items": items})


@asynccontextmanager
async def metrics_server(directory: Path, files: pki.Pki, pods: Callable[[], list[str]]) -> AsyncIterator[Any]:
    """Running; yields what has to be created for it."""
    name = "metrics-server.kube-system.svc"
    async with https(directory, MetricsServer(pods).serve, name, files) as (port, pem):
        spec = {"type": "ExternalName", "externalName": "localhost"}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "metrics-server"}, "spec": spec}
        api_service = {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": "v1beta1.metrics.k8s.io"},
            "spec": {
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "service": {"name": "metrics-server", "namespace": "kube-system", "port": port},
                "caBundle": base64.b64encode(pem).decode(),
            },
        }
        yield service, api_service


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
async def test_kubectl_top(tmp_path: Path) -> None:
    async with secured(tmp_path) as secure, metrics_server(tmp_path, secure.files, lambda: ["web"]) as wanted:
        service, api_service = wanted
        node = await secure.add_node("n1")
        node["status"]["allocatable"] = {"cpu": "1", "memory": "1Gi"}
        await secure.ok("PUT", "/api/v1/nodes/n1/status", node)
        await secure.add_pod("web", node="n1")
        await secure.ok("POST", "/api/v1/namespaces/kube-system/services", service)
        await secure.ok("POST", SERVICES, api_service)
        kubectl = Kubectl(secure, tmp_path)
        _, out = await kubectl("wait", "apiservice/v1beta1.metrics.k8s.io", "--for=condition=Available", "--timeout=5s")
        assert out == "apiservice.apiregistration.k8s.io/v1beta1.metrics.k8s.io condition met\n"
        _, out = await kubectl("top", "pods")
        assert [line.split() for line in out.splitlines()] == [
            ["NAME", "CPU(cores)", "MEMORY(bytes)"],
            ["web", "100m", "64Mi"],
        ]
        _, out = await kubectl("top", "nodes")
        assert out.splitlines()[1].split() == ["n1", "100m", "10%", "64Mi", "6%"]


async def test_autoscaling(tmp_path: Path, files: pki.Pki) -> None:
    async with Cluster(seams=aggregation_of(Catalog(), files)) as cluster:

        def pods() -> list[str]:
            return [one.metadata.name for one in cluster.all(core_v1.Pod)]

        async with metrics_server(tmp_path, files, pods) as (service, api_service):
            await cluster.create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="kube-system")))
            await cluster.client.resource("", "v1", "services", True).create(
                service | {"metadata": {"name": "metrics-server", "namespace": "kube-system"}}
            )
            await cluster.client.resource("apiregistration.k8s.io", "v1", "apiservices", False).create(api_service)
            await cluster.until(
                lambda: any(
                    one.metadata.name == "v1beta1.metrics.k8s.io" and is_true(one.status.conditions, "Available")
                    for one in cluster.all(apiregistration_v1.APIService)
                ),
                apiregistration_v1.APIService,
            )
            await deploy(cluster, 2)
            for name in pods():
                await cluster.client.of(core_v1.Pod).patch(name, "default", STARTED, "merge", subresource="status")
            await cluster.caught_up(cluster.controllers.informers.of(core_v1.Pod))
            await cluster.create(autoscaler())
            # Each uses twice of what is wanted.
            await until_sized(cluster, 4)
