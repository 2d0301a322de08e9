"""An operator written with kopf, unchanged, against a served API server: handlers, status, finalizers, events."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.extensions.crontabs import CRDS, CRONTABS, GROUP, SPEC, crontab, definition, eventually, version
from tests.apiserver.secure import Secure, secured

kopf = pytest.importorskip("kopf")

#: kopf keeps what it has seen in the status, under a name of its own.
OPEN = {**SPEC, "properties": {**SPEC["properties"], "status": {"type": "object",
        "x-kubernetes-preserve-unknown-fields": True}}}  # fmt: skip


def operator(secure: Secure, seen: list[tuple[str, str]]) -> Any:
    """The operator's registry."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)  # type: ignore[untyped-decorator]  # kopf may be absent
    def login(**_: Any) -> Any:
        return kopf.ConnectionInfo(
            server=f"https://127.0.0.1:{secure.server.port}",
            ca_path=str(secure.files.ca),
            certificate_path=str(secure.files.admin.cert),
            private_key_path=str(secure.files.admin.key),
        )

    @kopf.on.create(GROUP, "v1", "crontabs", id="created", registry=registry)  # type: ignore[untyped-decorator]  # kopf may be absent
    async def created(name: str, spec: Any, patch: Any, **_: Any) -> dict[str, Any]:
        seen.append(("created", name))
        patch.status["replicas"] = spec["replicas"]
        return {"by": "handler"}

    @kopf.on.update(GROUP, "v1", "crontabs", registry=registry)  # type: ignore[untyped-decorator]  # kopf may be absent
    async def updated(name: str, spec: Any, patch: Any, **_: Any) -> None:
        seen.append(("updated", name))
        patch.status["replicas"] = spec["replicas"]

    @kopf.on.delete(GROUP, "v1", "crontabs", registry=registry)  # type: ignore[untyped-decorator]  # kopf may be absent
    async def deleted(name: str, **_: Any) -> None:
        seen.append(("deleted", name))

    return registry


@pytest.mark.parametrize("status", [{}, {"status": {}}], ids=["without status", "with status"])
async def test_an_operator_lives(tmp_path: Path, status: dict[str, Any]) -> None:
    seen: list[tuple[str, str]] = []
    async with secured(tmp_path) as secure:
        await secure.ok("POST", CRDS, definition(version(schema=OPEN, subresources=status)))
        await eventually(lambda: _established(secure))
        ready, stop = asyncio.Event(), asyncio.Event()
        settings = kopf.OperatorSettings()
        settings.posting.enabled = True
        running = asyncio.create_task(
            kopf.operator(
                registry=operator(secure, seen),
                settings=settings,
                ready_flag=ready,
                stop_flag=stop,
                clusterwide=True,
                standalone=True,
            )
        )
        await asyncio.wait_for(ready.wait(), 10)
        await secure.ok("POST", CRONTABS, crontab())
        made = await eventually(lambda: _with_replicas(secure, 1))
        assert made["status"]["created"] == {"by": "handler"}
        assert made["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
        patch = {"Content-Type": "application/merge-patch+json"}
        await secure.ok("PATCH", f"{CRONTABS}/a", {"spec": {"replicas": 4}}, headers=patch)
        await eventually(lambda: _with_replicas(secure, 4))
        await secure.ok("DELETE", f"{CRONTABS}/a")
        await eventually(lambda: _gone(secure))
        stop.set()
        await asyncio.wait_for(running, 10)
    assert seen == [("created", "a"), ("updated", "a"), ("deleted", "a")]


async def _established(secure: Secure) -> bool:
    crd = await secure.ok("GET", f"{CRDS}/crontabs.{GROUP}")
    return any(c["type"] == "Established" and c["status"] == "True" for c in crd["status"].get("conditions", ()))


async def _with_replicas(secure: Secure, replicas: int) -> Any:
    found = await secure.ok("GET", f"{CRONTABS}/a")
    return found if found.get("status", {}).get("replicas") == replicas else None


async def _gone(secure: Secure) -> bool:
    return (await secure.call("GET", f"{CRONTABS}/a"))[0] == 404
