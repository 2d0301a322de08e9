"""Definitions that tests share, and how to wait for them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.apiserver.server import Api

GROUP = "stable.example.com"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CRONTABS = f"/apis/{GROUP}/v1/namespaces/default/crontabs"

SPEC: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["cronSpec"],
            "properties": {
                "cronSpec": {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"},
                "image": {"type": "string"},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
                "ports": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["port"],
                    "items": {
                        "type": "object",
                        "required": ["port"],
                        "properties": {"port": {"type": "integer"}, "name": {"type": "string"}},
                    },
                },
            },
        },
        "status": {
            "type": "object",
            "properties": {"replicas": {"type": "integer"}, "labelSelector": {"type": "string"}},
        },
    },
}


def version(name: str = "v1", schema: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    given = {"name": name, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema or SPEC}}
    return given | more


def definition(
    *versions: dict[str, Any], plural: str = "crontabs", kind: str = "CronTab", **spec: Any
) -> dict[str, Any]:
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "shortNames": ["ct"]}
    body = {"group": GROUP, "scope": "Namespaced", "names": names, "versions": list(versions) or [version()]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": body | spec,
    }


def crontab(name: str = "a", spec: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    given = spec if spec is not None else {"cronSpec": "* * * * */5", "image": "i"}
    return {"apiVersion": f"{GROUP}/v1", "kind": "CronTab", "metadata": {"name": name}, "spec": given} | more


async def until(api: Api, name: str, kind: str, status: str = "True") -> dict[str, Any]:
    """The definition once it has a condition."""
    async with asyncio.timeout(5):
        while True:
            crd: dict[str, Any] = await api.ok("GET", f"{CRDS}/{name}")
            for condition in crd.get("status", {}).get("conditions", ()):
                if (condition["type"], condition["status"]) == (kind, status):
                    return crd
            await asyncio.sleep(0)


async def eventually(look: Callable[[], Awaitable[Any]]) -> Any:
    """What ``look`` finds, as soon as it finds something."""
    async with asyncio.timeout(10):
        while True:
            if found := await look():
                return found
            await asyncio.sleep(0)


async def gone(api: Api, path: str) -> None:
    """Return once there is nothing at a path."""

    async def absent() -> bool:
        return (await api.raw("GET", path)).status == 404

    await eventually(absent)


async def define(api: Api, crd: dict[str, Any] | None = None) -> dict[str, Any]:
    """Create a definition and wait until it is served."""
    made = await api.ok("POST", CRDS, crd or definition())
    return await until(api, made["metadata"]["name"], "Established")
