"""Stock kubectl applies on the server's side: create, change, conflict, force, and coming over from its own apply."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.apiserver.secure import Secure, secured

KUBECTL = shutil.which("kubectl") or ""
pytestmark = pytest.mark.skipif(not KUBECTL, reason="needs kubectl")

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: default}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: c, image: "nginx:1", ports: [{{containerPort: 80}}]}}]}}
"""


class Kubectl:
    """kubectl as the administrator."""

    def __init__(self, secure: Secure, home: Path) -> None:
        files = secure.files
        self._flags = (
            f"--server=https://127.0.0.1:{secure.server.port}",
            f"--certificate-authority={files.ca}",
            f"--client-certificate={files.admin.cert}",
            f"--client-key={files.admin.key}",
        )
        self._environment = {**os.environ, "HOME": str(home), "KUBECONFIG": "/dev/null"}

    async def __call__(self, *words: str, given: str = "") -> tuple[int, str]:
        """Exit code and all output."""
        process = await asyncio.create_subprocess_exec(
            KUBECTL,
            *self._flags,
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
        )
        out, _ = await process.communicate(given.encode())
        return process.returncode or 0, out.decode()

    async def apply(self, replicas: int, *words: str) -> tuple[int, str]:
        return await self("apply", *words, "-f", "-", given=DEPLOYMENT.format(replicas=replicas))


@pytest.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    async with secured(tmp_path) as secure:
        await secure.call("POST", "/api/v1/namespaces", {"metadata": {"name": "default"}})
        yield Kubectl(secure, tmp_path)


async def managers(kubectl: Kubectl) -> set[str]:
    path = "{range .metadata.managedFields[*]}{.manager}/{.operation}/{.subresource} {end}"
    _, out = await kubectl("get", "deployment", "web", "-o", f"jsonpath={path}", "--show-managed-fields")
    return set(out.split())


async def test_create_change_conflict_and_force(kubectl: Kubectl) -> None:
    applied = (0, "deployment.apps/web serverside-applied\n")
    assert await kubectl.apply(3, "--server-side") == applied
    assert await kubectl.apply(3, "--server-side") == applied
    assert await kubectl.apply(4, "--server-side") == applied
    code, out = await kubectl.apply(5, "--server-side", "--field-manager=other")
    assert code == 1
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas' in out
    assert await kubectl.apply(5, "--server-side", "--field-manager=other", "--force-conflicts") == applied
    assert await managers(kubectl) == {"kubectl/Apply/", "other/Apply/"}
    code, out = await kubectl("scale", "deployment", "web", "--replicas=2")
    assert code == 0, out
    code, out = await kubectl.apply(5, "--server-side", "--field-manager=other")
    assert 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas' in out


async def test_coming_over_from_client_side_apply(kubectl: Kubectl) -> None:
    code, out = await kubectl.apply(3)
    assert (code, out) == (0, "deployment.apps/web created\n")
    assert await managers(kubectl) == {"kubectl-client-side-apply/Update/"}
    code, out = await kubectl.apply(5, "--server-side")
    assert code == 0, out
    # kubectl keeps its annotation up to date under a manager of its own.
    assert await managers(kubectl) == {"kubectl/Apply/", "kubectl-last-applied/Apply/"}
    # And back again: the annotation says what was applied last.
    code, out = await kubectl.apply(6)
    assert (code, out) == (0, "deployment.apps/web configured\n")


async def test_dry_run(kubectl: Kubectl) -> None:
    code, out = await kubectl.apply(3, "--server-side", "--dry-run=server")
    assert (code, out) == (0, "deployment.apps/web serverside-applied (server dry run)\n")
    code, out = await kubectl("get", "deployment", "web")
    assert code == 1
