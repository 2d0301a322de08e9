"""Real clients over real HTTPS."""

import shutil
import subprocess

import pytest

from tests.testing.manifests import deployment, pod

kubernetes = pytest.importorskip("kubernetes")


def test_the_official_client_sees_what_the_test_does(cluster):
    client = kubernetes.config.new_client_from_config(cluster.kubeconfig)
    apps, core = kubernetes.client.AppsV1Api(client), kubernetes.client.CoreV1Api(client)
    apps.create_namespaced_deployment("default", deployment(2))
    cluster.advance_until("deployment/web", "Available", within="1m")
    assert apps.read_namespaced_deployment("web", "default").status.ready_replicas == 2
    cluster.delete("deployment/web")
    cluster.advance("1m")
    assert core.list_namespaced_pod("default").items == []


def test_time_passes_by_itself_for_whoever_waits(cluster):
    client = kubernetes.config.new_client_from_config(cluster.kubeconfig)
    core = kubernetes.client.CoreV1Api(client)
    core.create_namespaced_pod("default", pod())
    watch = kubernetes.watch.Watch()
    for event in watch.stream(core.list_namespaced_pod, "default", timeout_seconds=20):
        if event["object"].status.phase == "Running":
            watch.stop()
    assert cluster.get("pod/a").status.phase == "Running"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_kubectl(cluster):
    command = ["kubectl", "--kubeconfig", cluster.kubeconfig]
    subprocess.run([*command, "create", "deployment", "web", "--image=nginx:1"], check=True, capture_output=True)
    done = subprocess.run(
        [*command, "rollout", "status", "deployment/web", "--timeout=20s"], capture_output=True, text=True, check=False
    )
    assert "successfully rolled out" in done.stdout, done.stderr


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_without_the_certificate_one_is_nobody(cluster):
    configuration = kubernetes.client.Configuration()
    configuration.host = kubernetes.config.new_client_from_config(cluster.kubeconfig).configuration.host
    configuration.verify_ssl = False
    core = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(configuration))
    with pytest.raises(kubernetes.client.ApiException) as problem:
        core.list_namespaced_pod("default")
    assert problem.value.status == 403
