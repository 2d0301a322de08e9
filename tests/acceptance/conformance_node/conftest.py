"""The session's cluster with an image of its own kind, and namespaces in which a module's Pods run side by side."""

import io
import json
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from tests.acceptance.conformance_node.pods import BOX
from tests.acceptance.conftest import TIPHYS, RunningCluster
from tests.acceptance.outside import Kubectl

ACCOUNTS = {
    "etc/passwd": "root:x:0:0::/:/bin/sh\nbox:x:1234:1234::/:/bin/sh\n",
    "etc/group": "root:x:0:\nbox:x:1234:\nmore:x:5000:box\n",
}
APPLETS = ("sh", "echo", "id", "cat", "sleep")


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    archive.addfile(info, io.BytesIO(content))


def _layer() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as layer:
        _add(layer, "bin/busybox", Path("/bin/busybox").read_bytes(), 0o755)
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            layer.addfile(link)
        for name, text in ACCOUNTS.items():
            _add(layer, name, text.encode())
    return out.getvalue()


def _write_image(path: Path) -> None:
    layer = _layer()
    digest = sha256(layer).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": ["/bin/echo", "entry"],
            "Cmd": ["default", "arguments"],
            "User": "1234",
            "Env": ["PATH=/bin", "FROM_IMAGE=yes"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [BOX], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as archive:
        _add(archive, "config.json", json.dumps(config).encode())
        _add(archive, "layer.tar", layer)
        _add(archive, "manifest.json", json.dumps(manifest).encode())


@pytest.fixture(scope="session")
def with_box(cluster: RunningCluster, tmp_path_factory: pytest.TempPathFactory) -> RunningCluster:
    path = tmp_path_factory.mktemp("image") / "box.tar"
    _write_image(path)
    subprocess.run([str(TIPHYS), "image", "load", "--name", cluster.name, str(path)], check=True, timeout=30)
    return cluster


@pytest.fixture(scope="module")
def space(with_box: RunningCluster, request: pytest.FixtureRequest) -> Kubectl:
    """kubectl in a namespace of the module's own."""
    name = request.module.__name__.rpartition(".")[2].replace("_", "-")
    with_box.kubectl(f"create namespace {name}")
    own = with_box.kubectl.within(name)
    own("wait --for=create serviceaccount/default --timeout=10s")
    return own
