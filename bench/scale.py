"""What an operation costs against 1,000, 10,000 and 100,000 Pods, and what they take in memory.

    python bench/scale.py [--store sqlite|memory] [--sizes 1000,10000,100000] [--profile out.prof]

In process, without a network: microseconds of CPU (not of time, other work on the
machine does not count) of the whole process per operation, threads of the store
included. Each size runs in a process of its own. Namespaces hold 100 Pods, nodes
10, whatever the size, so that what is selected by them stays the same.
"""

import argparse
import asyncio
import cProfile
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tiphys.apiserver import ApiServer, ApiServerConfig
from tiphys.apiserver.seams import Seams
from tiphys.store.interface import Store
from tiphys.store.memory import MemoryStore
from tiphys.store.sqlite import SqliteStore
from tiphys.wire.exchange import Request

PER_NAMESPACE = 100
PER_NODE = 10
ROUNDS = 5


def pod(number: int) -> dict[str, Any]:
    """About 1.9 KB, as the load generator's."""
    variables = [{"name": f"VARIABLE_{index}", "value": "x" * 40} for index in range(16)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"pod-{number:06}", "labels": {"app": f"app-{number % 7}", "pod": str(number)}},
        "spec": {
            "nodeName": f"node-{number // PER_NODE}",
            "containers": [{"name": "main", "image": "registry.example.com/app:1", "env": variables}],
        },
    }


class Sink:
    """Takes what a watch writes."""

    def __init__(self) -> None:
        self.lines = 0

    def write(self, data: bytes) -> None:
        self.lines += data.count(b"\n")

    def buffered_bytes(self) -> int:
        return 0

    async def drain(self) -> None:
        return None

    async def wait_closed(self) -> None:
        await asyncio.Event().wait()


def namespace_of(number: int) -> str:
    return f"ns-{number // PER_NAMESPACE}"


def path(number: int) -> str:
    return f"/api/v1/namespaces/{namespace_of(number)}/pods"


async def template(number: int) -> bytes:
    """A Pod as the API server stores it."""
    store = MemoryStore()
    async with ApiServer(ApiServerConfig(), store, seams=Seams()) as api:
        answer = await api.handle(Request("POST", path(number), {}, {}, json.dumps(pod(number)).encode()))
        assert answer.status == 201, answer.body
    found = await store.get(f"/registry/pods/{namespace_of(number)}/pod-{number:06}")
    assert found is not None
    return found.value


async def fill(store: Store, size: int) -> int:
    """Put ``size`` Pods past the API, which would take minutes; how many bytes they are."""
    made = await template(0)
    total = 0

    async def put(number: int) -> int:
        value = made.replace(b"pod-000000", b"pod-%06d" % number).replace(
            b'"ns-0"', b'"%s"' % namespace_of(number).encode()
        )
        value = value.replace(b'"node-0"', b'"node-%d"' % (number // PER_NODE))
        await store.put(f"/registry/pods/{namespace_of(number)}/pod-{number:06}", value, expected=0)
        return len(value)

    for first in range(0, size, 1000):
        total += sum(await asyncio.gather(*(put(number) for number in range(first, min(first + 1000, size)))))
    return total


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def cost(run: Callable[[int], Awaitable[Any]], count: int) -> float:
    """Microseconds of CPU per call: the best of some rounds."""
    best = float("inf")
    for number in range(ROUNDS):
        begin = time.process_time()
        for index in range(count):
            await run(number * count + index)
        best = min(best, time.process_time() - begin)
    return best / count * 1e6


class Bench:
    """One API server over one size."""

    def __init__(self, api: ApiServer, size: int) -> None:
        self.api = api
        self.size = size
        self.changes = 0

    async def ask(self, method: str, where: str, body: Any = None, kind: str = "application/json", **query: str) -> Any:
        data = b"" if body is None else json.dumps(body).encode()
        asked = {name: [value] for name, value in query.items()}
        answer = await self.api.handle(Request(method, where, asked, {"content-type": kind}, data))
        assert answer.status < 300, answer.body
        return answer

    async def get(self, number: int) -> None:
        chosen = number * 7919 % self.size
        await self.ask("GET", f"{path(chosen)}/pod-{chosen:06}")

    async def create(self, number: int) -> None:
        # Behind all others, so that namespaces and nodes keep their sizes.
        await self.ask("POST", path(self.size + number), pod(self.size + number))

    async def patch(self, number: int) -> None:
        chosen = number * 7919 % self.size
        self.changes += 1
        body = {"metadata": {"annotations": {"round": str(self.changes)}}}
        await self.ask("PATCH", f"{path(chosen)}/pod-{chosen:06}", body, "application/merge-patch+json")

    async def by_node(self, number: int) -> None:
        answer = await self.ask(
            "GET", "/api/v1/pods", fieldSelector=f"spec.nodeName=node-{number % (self.size // PER_NODE)}"
        )
        assert answer.body.count(b"pod-") >= PER_NODE

    async def by_namespace(self, number: int) -> None:
        answer = await self.ask("GET", path(number * 7919 % self.size))
        assert answer.body

    async def page(self, number: int) -> None:
        await self.ask("GET", "/api/v1/pods", limit="100")

    async def watched(self, count: int, watchers: int) -> float:
        """A patch with what it costs to tell so many watchers, less the patch alone."""
        plain = await cost(self.patch, count)
        sinks = [Sink() for _ in range(watchers)]
        tasks = []
        for sink in sinks:
            answer = await self.ask("GET", "/api/v1/pods", watch="true", resourceVersion=str(self.api._cache.revision))
            tasks.append(asyncio.ensure_future(answer.stream(sink)))
        await asyncio.sleep(0)
        told = await cost(self.patch, count)
        await asyncio.sleep(0)
        assert all(sink.lines >= count for sink in sinks)
        for task in tasks:
            task.cancel()
        return max(told - plain, 0.0) / watchers


async def measure(kind: str, size: int, profile: str) -> dict[str, float]:
    """All figures of one size."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "store.db"
        if kind == "sqlite":
            store: Store = await SqliteStore.open(file)
            total = await fill(store, size)
            await store.close()
            await template(0)
            before = resident_bytes()
            store = await SqliteStore.open(file)
        else:
            await template(0)
            before = resident_bytes()
            store = MemoryStore()
            total = await fill(store, size)
        begin = time.process_time()
        async with ApiServer(ApiServerConfig(), store, seams=Seams()) as api:
            start = time.process_time() - begin
            bench = Bench(api, size)
            await bench.by_node(0)
            grown = resident_bytes() - before
            recorder = cProfile.Profile() if profile else None
            if recorder:
                recorder.enable()
            figures = {
                "get": await cost(bench.get, 2000),
                "create": await cost(bench.create, 300),
                "merge patch": await cost(bench.patch, 300),
                "watch, per event and watcher (of 100)": await bench.watched(200, 100),
                "list by node (10 Pods)": await cost(bench.by_node, 50),
                "list by namespace (100 Pods)": await cost(bench.by_namespace, 50),
                "first page of 100": await cost(bench.page, 50),
            }
            if recorder:
                recorder.disable()
                recorder.dump_stats(profile)
            figures["start, per object"] = start / size * 1e6
            figures["memory, share of the JSON"] = grown / total
        await store.close()
    return figures


def main() -> None:
    """Run each size in a process of its own and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "memory"), default="sqlite")
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--profile", default="", help="write a profile of the last size to this file")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    if arguments.one:
        print(json.dumps(asyncio.run(measure(arguments.store, sizes[0], arguments.profile))))
        return
    found = []
    for size in sizes:
        command = [sys.executable, __file__, "--one", "--store", arguments.store, "--sizes", str(size)]
        command += ["--profile", arguments.profile] if size == sizes[-1] and arguments.profile else []
        found.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    print(f"| {arguments.store}, µs of CPU | " + " | ".join(f"{size:,}" for size in sizes) + " |")
    print("|---|" + "---|" * len(sizes))
    for name in found[0]:
        print(f"| {name} | " + " | ".join(f"{figures[name]:.3g}" for figures in found) + " |")


if __name__ == "__main__":
    main()
