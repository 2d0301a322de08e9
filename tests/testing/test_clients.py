"""Other people's clients and operators against ``cluster.kubeconfig``, over real HTTPS."""

import asyncio
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from tests.testing.manifests import deployment, pod
from tests.testing.test_custom import CRD, DATABASE, configuration
from tiphys.machinery import errors

NODE = Path(__file__).parent / "node"


@pytest.mark.filterwarnings("ignore:Kubernetes version")
def test_kr8s(cluster):
    kr8s = pytest.importorskip("kr8s")
    from kr8s.objects import Pod

    api = kr8s.api(kubeconfig=cluster.kubeconfig)
    made = Pod({**pod("a"), "metadata": {"name": "a", "namespace": "default"}}, api=api)
    made.create()
    cluster.advance_until("pod/a", "Ready")
    made.refresh()
    assert made.ready()
    assert [p.name for p in api.get("pods", namespace="default")] == ["a"]
    made.delete()
    cluster.advance_until("pod/a", "gone", within="1m")


def test_lightkube(cluster):
    lightkube = pytest.importorskip("lightkube")
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import Pod

    client = lightkube.Client(lightkube.KubeConfig.from_file(cluster.kubeconfig))
    client.create(Deployment.from_dict(deployment(2)), namespace="default")
    cluster.advance_until("deployment/web", "Available")
    assert client.get(Deployment, "web", namespace="default").status.readyReplicas == 2
    assert len(list(client.list(Pod, namespace="default", labels={"app": "web"}))) == 2
    client.delete(Deployment, "web", namespace="default")
    cluster.advance_until(lambda: not cluster_pods(client, Pod), within="1m")


def cluster_pods(client, cls):
    return list(client.list(cls, namespace="default"))


def test_an_operator_of_kopf(cluster, monkeypatch):
    """A third party's controller, which knows nothing of us, on our API."""
    kopf = pytest.importorskip("kopf")
    cluster.apply(CRD)
    monkeypatch.setenv("KUBECONFIG", cluster.kubeconfig)
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(kopf.login_with_kubeconfig)

    @kopf.on.create("example.test", "v1", "databases", registry=registry)
    async def created(spec, patch, name, **_):
        patch.status["nodes"] = spec["size"]

    ready, stop = threading.Event(), threading.Event()
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    work = kopf.operator(
        registry=registry, settings=settings, ready_flag=ready, stop_flag=stop, clusterwide=True, standalone=True
    )
    running = threading.Thread(target=lambda: asyncio.run(work), daemon=True)
    running.start()
    try:
        assert ready.wait(15)
        cluster.apply(DATABASE)
        found = cluster.advance_until("database/main", lambda d: d.status.nodes == 3, within="20s")
        assert found.metadata.finalizers == ["kopf.zalando.org/KopfFinalizerMarker"] or not found.metadata.finalizers
    finally:
        stop.set()
        running.join(15)
    assert not running.is_alive()


def test_a_webhook_of_another_process_over_https(cluster, tmp_path):
    """The function's place is taken by a server with a certificate of its own."""
    pytest.importorskip("cryptography")
    from tests.testing.hook_server import HookServer

    with HookServer(tmp_path, refuse="b") as server:
        client = {"url": f"https://127.0.0.1:{server.port}/check", "caBundle": server.bundle}
        assert cluster.kubeconfig
        cluster.apply(configuration("Validating", clientConfig=client))
        cluster.apply(pod("a"))
        with pytest.raises(errors.StatusError, match="no"):
            cluster.apply(pod("b"))


@pytest.mark.skipif(
    shutil.which("node") is None or not (NODE / "node_modules").is_dir(),
    reason="needs node, and npm install in tests/testing/node",
)
def test_javascript(cluster):
    done = subprocess.run(
        ["node", str(NODE / "pods.mjs"), cluster.kubeconfig], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "from-node Running\n", done.stderr
