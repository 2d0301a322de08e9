"""Extenders: servers of one's own that are asked over HTTP which nodes will do, which are best, whom to evict, and
that may write the binding.

Names in requests are those of Kubernetes' Go types; in answers their case does not matter.
Source: Kubernetes docs, "kube-scheduler Configuration (v1)", Extender; the extender v1 API.
"""

import base64
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tiphys.api import core_v1
from tiphys.machinery import codec
from tiphys.scheduler.pods import PodInfo
from tiphys.scheduler.preemption import Eviction, cost_of

#: An extender gives 0 to 10 points, plugins 0 to 100.
POINTS_SCALE = 10
TIMEOUT_SECONDS = 5.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024


class ExtenderError(Exception):
    """An extender did not answer, or not as agreed."""


@dataclass(frozen=True, slots=True)
class ExtenderConfig:
    """One entry of ``extenders``; a verb that is empty is not asked for."""

    url: str
    filter_verb: str = ""
    prioritize_verb: str = ""
    preempt_verb: str = ""
    bind_verb: str = ""
    weight: int = 1
    https: bool = False
    tls: Mapping[str, Any] = field(default_factory=dict)
    timeout_seconds: float = TIMEOUT_SECONDS
    #: It knows the nodes by itself and is told their names alone.
    knows_nodes: bool = False
    #: Only Pods that ask for one of these concern it; all, if there are none.
    resources: frozenset[str] = frozenset()
    ignorable: bool = False


@dataclass(frozen=True, slots=True)
class Filtered:
    """Names that may stay, and why others may not; evicting Pods helps with ``failed`` alone."""

    kept: list[str]
    failed: Mapping[str, str]
    unresolvable: Mapping[str, str]


class Extender:
    """One extender. Every method raises ExtenderError."""

    def __init__(self, config: ExtenderConfig) -> None:
        self.config = config
        self._session: Any = None

    def concerns(self, info: PodInfo) -> bool:
        if not self.config.resources:
            return True
        spec = info.pod.spec
        return any(
            name in self.config.resources
            for container in (*spec.containers, *(spec.initContainers or ()))
            for name in (*(container.resources.requests or ()), *(container.resources.limits or ()))
        )

    async def filter(self, info: PodInfo, nodes: Sequence[core_v1.Node]) -> Filtered:
        answer = await self._ask(self.config.filter_verb, self._arguments(info, nodes))
        if error := answer.get("error"):
            raise ExtenderError(str(error))
        asked = {node.metadata.name for node in nodes}
        kept = answer.get("nodenames") if self.config.knows_nodes else None
        if kept is None:
            items = _lowered(answer.get("nodes") or {}).get("items") or ()
            kept = [item["metadata"]["name"] for item in items]
        for name in kept:
            if name not in asked:
                raise ExtenderError(
                    f'extender "{self.config.url}" claims a filtered node "{name}" which is not found in the input'
                    " node list"
                )
        return Filtered(kept, answer.get("failednodes") or {}, answer.get("failedandunresolvablenodes") or {})

    async def points(self, info: PodInfo, nodes: Sequence[core_v1.Node]) -> dict[str, int]:
        """Weighted, on the plugins' scale."""
        answer = await self._ask(self.config.prioritize_verb, self._arguments(info, nodes))
        found = [_lowered(each) for each in answer.get("items", ())]
        return {each["host"]: int(each["score"]) * self.config.weight * POINTS_SCALE for each in found}

    async def evictions(self, info: PodInfo, candidates: Sequence[Eviction]) -> list[Eviction]:
        """The candidates that it agrees to, with the victims that it wants."""
        name = "NodeNameToMetaVictims" if self.config.knows_nodes else "NodeNameToVictims"
        shown = {
            each.node_name: {
                "Pods": [self._victim(victim) for victim in each.victims],
                "NumPDBViolations": each.violations,
            }
            for each in candidates
        }
        answer = await self._ask(self.config.preempt_verb, {"Pod": codec.to_builtins(info.pod), name: shown})
        known = {each.node_name: each for each in candidates}
        found = []
        for node_name, victims in (answer.get("nodenametometavictims") or {}).items():
            if node_name not in known:
                raise ExtenderError(
                    f'extender "{self.config.url}" names a node "{node_name}" that it was not asked about'
                )
            wanted = _lowered(victims)
            uids = {_lowered(pod)["uid"] for pod in wanted.get("pods") or ()}
            chosen = tuple(victim for victim in known[node_name].victims if victim.uid in uids)
            violations = int(wanted.get("numpdbviolations") or 0)
            if chosen:
                found.append(Eviction(node_name, chosen, violations, cost_of(chosen, violations)))
        return found

    def _victim(self, victim: PodInfo) -> Any:
        return {"UID": victim.uid} if self.config.knows_nodes else codec.to_builtins(victim.pod)

    async def bind(self, info: PodInfo, node_name: str) -> None:
        meta = info.pod.metadata
        arguments = {"PodName": meta.name, "PodNamespace": meta.namespace, "PodUID": meta.uid, "Node": node_name}
        answer = await self._ask(self.config.bind_verb, arguments)
        if error := answer.get("error"):
            raise ExtenderError(str(error))

    def _arguments(self, info: PodInfo, nodes: Sequence[core_v1.Node]) -> dict[str, Any]:
        pod = codec.to_builtins(info.pod)
        if self.config.knows_nodes:
            return {"Pod": pod, "Nodes": None, "NodeNames": [node.metadata.name for node in nodes]}
        return {"Pod": pod, "Nodes": {"items": [codec.to_builtins(node) for node in nodes]}, "NodeNames": None}

    async def _ask(self, verb: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The answer with names in lower case; a list is under ``items``."""
        # Only clusters with extenders speak to any.
        import aiohttp  # noqa: PLC0415

        url = f"{self.config.url.rstrip('/')}/{verb}"
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self.config.timeout_seconds)
            connector = aiohttp.TCPConnector(ssl=_tls(self.config) or False)
            self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        try:
            headers = {"Content-Type": "application/json"}
            name = self.config.tls.get("serverName") or None
            async with self._session.post(
                url, data=codec.encode(arguments), headers=headers, server_hostname=name
            ) as response:
                if response.status != 200:
                    raise ExtenderError(f"failed {verb} with extender at URL {url}, code {response.status}")
                found = msgspec.json.decode(await response.content.read(ANSWER_BYTES_MAX) or b"{}")
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError) as error:
            raise ExtenderError(f'Post "{url}": {str(error) or "context deadline exceeded"}') from error
        return {"items": found} if isinstance(found, list) else _lowered(found)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _lowered(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name.lower(): value for name, value in found.items()}


def _tls(config: ExtenderConfig) -> ssl.SSLContext | None:
    if not config.https:
        return None
    tls = config.tls
    context = ssl.create_default_context()
    authority = base64.b64decode(tls.get("caData") or "").decode() or None
    if tls.get("insecure") or not (tls.get("caFile") or authority):
        # As in Kubernetes: an authority that is not named is not looked for.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        context.load_verify_locations(tls.get("caFile"), cadata=authority)
    if tls.get("certFile"):
        context.load_cert_chain(tls["certFile"], tls.get("keyFile"))
    elif tls.get("certData"):
        # Python takes certificates of one's own from files alone.
        with tempfile.TemporaryDirectory() as folder:
            pair = Path(folder) / "pair.pem"
            pair.touch(0o600)
            pair.write_bytes(base64.b64decode(tls["keyData"]) + b"\n" + base64.b64decode(tls["certData"]))
            context.load_cert_chain(pair)
    return context
