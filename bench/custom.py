"""Custom resources against built-in ones, in process and over the store in memory: microseconds per operation.

    python bench/custom.py [--count 2000] [--rounds 3]

Pairs of about the same size: ConfigMap and a custom resource that is one map of
text (0.3 KB); Deployment and a custom resource with the same fields, typed,
with patterns, lists that are maps, and defaults (2 KB).
"""

import argparse
import asyncio
import gc
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tiphys.apiserver import ApiServer, ApiServerConfig
from tiphys.store.memory import MemoryStore
from tiphys.wire.exchange import Request

GROUP = "bench.example.com"
MERGE = "application/merge-patch+json"
TEXT = {"type": "string"}
NUMBER = {"type": "integer"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _keyed(key: str, **properties: Any) -> dict[str, Any]:
    item = {**_object(**properties), "required": [key]}
    return {
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": [key],
    }


_LABELS = {"type": "object", "additionalProperties": TEXT}
_CONTAINER = {
    "name": {"type": "string", "pattern": "^[a-z0-9-]+$", "maxLength": 63},
    "image": {"type": "string", "minLength": 1},
    "args": {"type": "array", "items": TEXT},
    "env": _keyed("name", name=TEXT, value=TEXT),
    "ports": _keyed("containerPort", containerPort=NUMBER, protocol={**TEXT, "default": "TCP"}, name=TEXT),
    "resources": _object(
        requests={"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": True}},
        limits={"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": True}},
    ),
    "imagePullPolicy": {"type": "string", "enum": ["Always", "IfNotPresent", "Never"], "default": "IfNotPresent"},
    "terminationMessagePath": {**TEXT, "default": "/dev/termination-log"},
}
LARGE = _object(
    spec=_object(
        replicas={"type": "integer", "minimum": 0, "default": 1},
        selector=_object(matchLabels=_LABELS),
        template=_object(
            metadata=_object(labels=_LABELS, annotations=_LABELS),
            spec=_object(containers=_keyed("name", **_CONTAINER), serviceAccountName=TEXT, nodeSelector=_LABELS),
        ),
        revisionHistoryLimit={"type": "integer", "default": 10},
    ),
    status=_object(replicas=NUMBER, readyReplicas=NUMBER),
)
SMALL = _object(data=_LABELS)


def _container(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "image": "registry.example.com/team/application:1.2.3",
        "args": ["--verbose", "--port=8080", "--config=/etc/application/config.yaml"],
        "env": [{"name": f"VARIABLE_{index}", "value": f"some value of number {index}"} for index in range(6)],
        "ports": [{"containerPort": 8080, "name": "http"}, {"containerPort": 9090, "name": "metrics"}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
    }


def large(name: str) -> dict[str, Any]:
    labels = {"app": name, "tier": "backend"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [_container("one"), _container("two")]}}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def small(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"app": name}}, "data": {"key": "value", "other": "x" * 100}}


KINDS: dict[str, tuple[str, Callable[[str], dict[str, Any]], Callable[[int], dict[str, Any]]]] = {
    "ConfigMap": ("/api/v1/namespaces/default/configmaps", small, lambda at: {"data": {"key": str(at)}}),
    "Small": (f"/apis/{GROUP}/v1/namespaces/default/smalls", small, lambda at: {"data": {"key": str(at)}}),
    "Deployment": ("/apis/apps/v1/namespaces/default/deployments", large, lambda at: {"spec": {"replicas": at}}),
    "Large": (f"/apis/{GROUP}/v1/namespaces/default/larges", large, lambda at: {"spec": {"replicas": at}}),
}


class Sink:
    """Takes what a watch sends and counts lines."""

    def __init__(self) -> None:
        self.lines = 0
        self.wanted = 0
        self.there = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.lines += data.count(b"\n")
        if self.lines >= self.wanted:
            self.there.set()

    def buffered_bytes(self) -> int:
        return 0

    async def drain(self) -> None:
        return None

    async def wait_closed(self) -> None:
        await asyncio.Event().wait()


async def _timed(count: int, work: Callable[[int], Awaitable[Any]]) -> float:
    begun = time.perf_counter()
    for index in range(count):
        await work(index)
    return (time.perf_counter() - begun) / count * 1e6


async def measured(kind: str, count: int) -> dict[str, float]:
    """Microseconds of each operation on a fresh server."""
    path, make, change = KINDS[kind]
    async with ApiServer(ApiServerConfig(), MemoryStore()) as server:

        async def ask(method: str, target: str, body: bytes = b"", kind: str = "application/json") -> Any:
            query = {"watch": ["true"]} if method == "WATCH" else {}
            answer = await server.handle(
                Request("GET" if query else method, target, query, {"content-type": kind}, body)
            )
            assert answer.status < 300, answer.body
            return answer

        await _define(ask)
        # As the server does once it has started; rounds of the collector would be noise of tens of microseconds.
        gc.collect()
        gc.freeze()
        bodies = [json.dumps(make(f"a{index}")).encode() for index in range(count)]
        patches = [json.dumps(change(index + 10)).encode() for index in range(count)]
        found = {"create": await _timed(count, lambda at: ask("POST", path, bodies[at]))}
        found["get"] = await _timed(count, lambda at: ask("GET", f"{path}/a{at}"))
        found["list"] = await _timed(20, lambda at: ask("GET", path)) / count
        watch = await ask("WATCH", path)
        sink = Sink()
        sink.wanted = count
        task = asyncio.create_task(watch.stream(sink))
        await sink.there.wait()
        begun = time.perf_counter()
        for index in range(count):
            await ask("PATCH", f"{path}/a{index}", patches[index], MERGE)
        sink.there.clear()
        sink.wanted = sink.lines if sink.lines >= 2 * count else 2 * count
        if sink.lines < sink.wanted:
            await asyncio.wait_for(sink.there.wait(), 5)
        found["patch+watch"] = (time.perf_counter() - begun) / count * 1e6
        task.cancel()
        found["delete"] = await _timed(count, lambda at: ask("DELETE", f"{path}/a{at}"))
    return found


async def _define(ask: Callable[..., Awaitable[Any]]) -> None:
    for kind, schema in (("Small", SMALL), ("Large", LARGE)):
        plural = f"{kind.lower()}s"
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        if kind == "Large":
            version["subresources"] = {"status": {}}
        spec = {"group": GROUP, "scope": "Namespaced", "names": {"plural": plural, "kind": kind}, "versions": [version]}
        crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        body = {"metadata": {"name": f"{plural}.{GROUP}"}, "spec": spec}
        await ask("POST", crds, json.dumps(body).encode())
        while b'"Established"' not in (await ask("GET", f"{crds}/{plural}.{GROUP}")).body:  # noqa: ASYNC110  # each turn of the loop may have been the one
            await asyncio.sleep(0)


def main() -> None:
    """Print a table: each operation of each kind, and custom against built-in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    taken: dict[str, dict[str, list[float]]] = {kind: {} for kind in KINDS}
    for _ in range(arguments.rounds):
        for kind in KINDS:
            for name, value in asyncio.run(measured(kind, arguments.count)).items():
                taken[kind].setdefault(name, []).append(value)
    print(f"{'µs':14}{'ConfigMap':>11}{'custom':>9}{'ratio':>7}   {'Deployment':>11}{'custom':>9}{'ratio':>7}")
    for name in taken["Small"]:
        a, b, c, d = (statistics.median(taken[kind][name]) for kind in KINDS)
        print(f"{name:14}{a:11.1f}{b:9.1f}{b / a:7.2f}   {c:11.1f}{d:9.1f}{d / c:7.2f}")


if __name__ == "__main__":
    main()
