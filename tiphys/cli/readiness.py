"""What ``up`` waits for: all nodes are Ready, the default service account exists, DNS answers."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import TypeVar

from tiphys.api import core_v1
from tiphys.cli import addons, addresses, identities
from tiphys.cli.cluster import Cluster, ClusterConfig
from tiphys.cli.errors import UserError
from tiphys.cli.progress import Progress
from tiphys.client import Client, Informers
from tiphys.machinery import errors
from tiphys.machinery.conditions import find_condition, is_true
from tiphys.simulation.names import LABEL as SIMULATED

T = TypeVar("T")
READY_SECONDS = 60.0
DNS_RETRY_SECONDS = 0.1


async def wait_ready(cluster: Cluster, config: ClusterConfig, progress: Progress) -> None:
    """Return once all of it holds. Raises UserError naming what does not after a minute."""
    async with identities.client(cluster, config, "admin", "up") as client:
        await addons.ensure(client, config)
        steps = {"service account": _service_account(client)}
        if not config.simulate:
            steps |= {"node": _node_ready(client, config), "cluster DNS": _dns_answers(config)}
        if config.nodes:
            steps |= {"simulated nodes": _simulated_ready(client, config)}
        waits = {asyncio.ensure_future(work): name for name, work in steps.items()}
        pending = set(waits)
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        while pending:
            left = deadline - asyncio.get_running_loop().time()
            done, pending = await asyncio.wait(pending, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
                progress.done(waits[task], progress.seconds)
            if not done:
                for task in pending:
                    task.cancel()
                raise UserError(await _what_is_missing(client, config, [waits[task] for task in pending]))


async def until(
    client: Client, cls: type[T], namespace: str, name: str, holds: Callable[[T], bool] = lambda _: True
) -> None:
    """Follow one object until it exists and ``holds`` says yes."""
    reached = asyncio.Event()

    def look(obj: T) -> None:
        if holds(obj):
            reached.set()

    informers = Informers(client)
    informers.of(cls, namespace=namespace, fields=f"metadata.name={name}").add_handler(look, lambda _, new: look(new))
    async with informers:
        await reached.wait()


async def _node_ready(client: Client, config: ClusterConfig) -> None:
    await until(client, core_v1.Node, "", config.node_name, lambda node: is_true(node.status.conditions, "Ready"))


async def _simulated_ready(client: Client, config: ClusterConfig) -> None:
    """All of them."""
    ready: set[str] = set()
    reached = asyncio.Event()

    def look(node: core_v1.Node) -> None:
        if is_true(node.status.conditions, "Ready"):
            ready.add(node.metadata.name)
            if len(ready) >= config.nodes:
                reached.set()

    informers = Informers(client)
    informers.of(core_v1.Node, labels=SIMULATED).add_handler(look, lambda _, new: look(new))
    async with informers:
        await reached.wait()


async def _service_account(client: Client) -> None:
    await until(client, core_v1.ServiceAccount, "default", "default")


async def _dns_answers(config: ClusterConfig) -> None:
    """Ask the DNS server for the API server's Service until it gives an address."""
    loop = asyncio.get_running_loop()
    question = _question(f"kubernetes.default.svc.{config.cluster_domain}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.setblocking(False)
        while True:
            try:
                await loop.sock_connect(asker, (addresses.bridge_address(config), 53))
                await loop.sock_sendall(asker, question)
                answer = await asyncio.wait_for(loop.sock_recv(asker, 512), DNS_RETRY_SECONDS)
            except (OSError, TimeoutError):
                await asyncio.sleep(DNS_RETRY_SECONDS / 2)
                continue
            if _answers(answer):
                return
            await asyncio.sleep(DNS_RETRY_SECONDS / 2)


def _question(name: str) -> bytes:
    """A query for an A record. Source: RFC 1035 §4.1."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", 0x7470, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)


def _answers(message: bytes) -> bool:
    """No error and at least one answer."""
    flags, _, answers = struct.unpack_from("!3H", message, 2)
    return bool(flags & 0xF == 0 and answers > 0)


async def _what_is_missing(client: Client, config: ClusterConfig, names: list[str]) -> str:
    """For each thing that did not become ready, why, as far as the cluster says."""
    text = f"not ready after {READY_SECONDS:.0f} s: {', '.join(names)}"
    if "node" not in names:
        return text
    try:
        node = await client.of(core_v1.Node).get(config.node_name)
    except (errors.StatusError, ConnectionError) as error:
        return f"{text}; the node cannot be read: {error}"
    ready = find_condition(node.status.conditions, "Ready")
    return f"{text}; node {config.node_name}: {ready.message if ready else 'no status yet'}"
