"""One real cluster for the whole session, started and removed as a user would, and looked at from outside."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.outside import Kubectl

#: Beside the Python that runs the tests, as ``pip install`` puts it.
TIPHYS = Path(sys.executable).parent / "tiphys"
NAME = f"acceptance-{os.getpid()}"
START_SECONDS = 60.0

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: httpd
        image: tiphys.dev/host
        imagePullPolicy: IfNotPresent
        command: [sh, -c]
        args: ["mkdir -p /tmp/www; echo pod=$HOSTNAME > /tmp/www/index.html; exec busybox httpd -f -p 8080 -h /tmp/www"]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: greeting}
data: {GREETING: hello}
---
apiVersion: v1
kind: Secret
metadata: {name: password}
stringData: {PASSWORD: s3cret}
---
apiVersion: v1
kind: Pod
metadata: {name: pair, labels: {kind: pair}}
spec:
  terminationGracePeriodSeconds: 0
  initContainers:
  - {name: init, image: tiphys.dev/host, imagePullPolicy: IfNotPresent, command: [sh, -c, echo from-init]}
  containers:
  - name: talks
    image: tiphys.dev/host
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "for i in 1 2 3; do echo line-$i; done; exec sleep 1000"]
    env:
    - {name: GREETING, valueFrom: {configMapKeyRef: {name: greeting, key: GREETING}}}
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: password, key: PASSWORD}}}
  - name: listens
    image: tiphys.dev/host
    imagePullPolicy: IfNotPresent
    stdin: true
    command: [sh, -c, "echo ready; while read line; do echo got $line; done; exec sleep 1000"]
"""


@dataclass(frozen=True)
class RunningCluster:
    name: str
    kubectl: Kubectl
    port: int


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder is for one worker: the cluster is one, and so are the machine's ports."""
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.root)
            item.add_marker(pytest.mark.acceptance)
            item.add_marker(pytest.mark.xdist_group("acceptance"))
            for reason in filter(None, (_cannot_run(),)):
                item.add_marker(pytest.mark.skip(reason=reason))


def _cannot_run() -> str:
    if os.geteuid() != 0:
        return "a real cluster needs root"
    return "" if shutil.which("kubectl") else "kubectl is not installed"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    folder = tmp_path_factory.mktemp("cluster")
    data, kubeconfig, port = folder / "data", folder / "kubeconfig", free_port()
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}

    def tiphys(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(TIPHYS), *arguments], env=environment, capture_output=True, text=True, timeout=START_SECONDS
        )

    up = tiphys("up", "--name", NAME, "--data-dir", str(data), "--port", str(port))
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        yield RunningCluster(NAME, Kubectl(kubeconfig, folder=folder), port)
    finally:
        mark = _mark(data)
        down = tiphys("down", "--name", NAME, "--purge")
    assert down.returncode == 0, down.stdout + down.stderr
    left = _leftovers(data, mark)
    assert not left, left


def _mark(data: Path) -> str:
    """What every kernel object of the cluster carries in its name; empty if it never started."""
    chosen = data / "cluster.json"
    return json.loads(chosen.read_bytes())["id"][:5] if chosen.exists() else ""


def _kernel_objects(mark: str) -> list[str]:
    groups = [str(path) for pattern in ("tiphys-*", "*/tiphys-*") for path in Path("/sys/fs/cgroup").glob(pattern)]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout.splitlines()
    return [text for text in (*os.listdir("/sys/class/net"), *groups, *tables) if mark in text]


def _leftovers(data: Path, mark: str) -> list[str]:
    """Kernel objects, processes that name the cluster's folder, mounts below it, and the folder itself."""
    found = [f"kernel object {text}" for text in _kernel_objects(mark)] if mark else []
    found += [f"mount {line}" for line in Path("/proc/self/mounts").read_text().splitlines() if str(data) in line]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes()
        except OSError:
            continue  # it has just ended
        if str(data).encode() in command:
            found.append(f"process {process.parent.name}: {command.replace(bytes(1), b' ').decode(errors='replace')}")
    return found + ([f"folder {data}"] if data.exists() else [])


@pytest.fixture(scope="session")
def shop(cluster: RunningCluster) -> Kubectl:
    """A namespace with an application that runs; tests read it and leave it as it is."""
    cluster.kubectl("create namespace shop")
    kubectl = cluster.kubectl.within("shop")
    kubectl("wait --for=create serviceaccount/default --timeout=10s")
    kubectl("apply -f -", stdin=WEB)
    kubectl("rollout status deploy/web --timeout=20s")
    kubectl("wait --for=condition=Ready pod/pair --timeout=20s")
    return kubectl


@pytest.fixture
def kubectl(cluster: RunningCluster, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kubectl]:
    """kubectl in a namespace and a folder of the test's own."""
    name = "t-" + "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[:50].strip("-")
    cluster.kubectl(f"create namespace {name}")
    own = cluster.kubectl.within(name, tmp_path)
    own("wait --for=create serviceaccount/default --timeout=10s")
    yield own
    cluster.kubectl(f"delete namespace {name} --wait=false")
