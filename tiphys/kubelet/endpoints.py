"""What the kubelet's server answers, path by path."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec

from tiphys.api import core_v1
from tiphys.kubelet import logs, metrics, restart, stats
from tiphys.kubelet.agent import PodAgent
from tiphys.kubelet.context import Context
from tiphys.kubelet.cri import RuntimeFault
from tiphys.kubelet.facts import ContainerFact
from tiphys.machinery import codec, times
from tiphys.machinery.goformat import quote
from tiphys.runtime.cri import api_pb2
from tiphys.wire import http1

Query = Mapping[str, Sequence[str]]


class HttpFault(Exception):
    """The request is answered with ``status`` and this text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class Answer:
    """Either ``text``, or ``chunks`` as they come, or a connection to ``relay_url``."""

    status: int = 200
    text: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    chunks: AsyncGenerator[bytes, None] | None = None
    relay_url: str = ""


def _json(data: bytes) -> Answer:
    return Answer(text=data, content_type="application/json")


class Endpoints:
    def __init__(self, context: Context, agents: Mapping[str, PodAgent]) -> None:
        self._context = context
        self._agents = agents

    async def answer(self, head: http1.Head, path: str, query: Query) -> Answer:
        """Raises HttpFault."""
        first, *rest = [part for part in path.split("/") if part] or [""]
        match first:
            case "healthz":
                return Answer(text=b"ok")
            case "pods" | "runningpods":
                pods = core_v1.PodList(items=[a.pod for a in self._agents.values()])
                return _json(codec.encode(pods))
            case "configz":
                return _json(self._configz())
            case "metrics":
                ready = [a for a in self._agents.values() if a.facts.sandbox and a.facts.sandbox.ready]
                metrics.RUNNING_PODS.set(len(ready))
                return Answer(text=metrics.rendered(), content_type=metrics.CONTENT_TYPE)
            case "stats" if rest[:1] == ["summary"]:
                return _json(await stats.summary(self._context, self._agents))
            case "containerLogs" if len(rest) == 3:
                return self._logs(rest[0], rest[1], rest[2], query)
            case "exec" | "attach" | "portForward" | "run" if len(rest) >= 2:
                try:
                    return await self._stream(first, head, rest, query)
                except RuntimeFault as fault:
                    raise HttpFault(500, str(fault)) from fault
        raise HttpFault(404, "404 page not found\n")

    def _configz(self) -> bytes:
        config = self._context.config
        found = {
            "kubeletconfig": {
                "kind": "KubeletConfiguration",
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "clusterDNS": list(config.cluster_dns),
                "clusterDomain": config.cluster_domain,
                "maxPods": config.max_pods,
                "cgroupDriver": "cgroupfs",
                "port": config.port,
                "containerRuntimeEndpoint": f"unix://{config.cri_socket}",
                "imageGCHighThresholdPercent": config.image_gc_high_percent,
                "imageGCLowThresholdPercent": config.image_gc_low_percent,
            }
        }
        return msgspec.json.encode(found)

    # Containers

    def _agent(self, namespace: str, name: str, uid: str = "") -> PodAgent:
        for agent in self._agents.values():
            meta = agent.pod.metadata
            if meta.namespace == namespace and meta.name == name and (not uid or meta.uid == uid):
                return agent
        raise HttpFault(404, f"pod {quote(f'{name}_{namespace}')} not found\n")

    def _logs(self, namespace: str, name: str, container: str, query: Query) -> Answer:
        agent = self._agent(namespace, name)
        if restart.find_container(agent.pod, container) is None:
            raise HttpFault(404, f"container {quote(container)} not found in pod {quote(f'{name}_{namespace}')}\n")
        fact = self._logged(agent, container, _flag(query, "previous"))
        options = self._log_options(query)
        path = self._context.paths(agent.pod).log_directory / container / f"{fact.attempt}.log"
        return Answer(chunks=self._read(path, options, agent, fact.id))

    def _logged(self, agent: PodAgent, container: str, previous: bool) -> ContainerFact:
        """The container whose log is asked for. Raises HttpFault in Kubernetes' words."""
        facts = agent.facts.of(container)
        where = f"container {quote(container)} in pod {quote(agent.pod.metadata.name)}"
        if previous:
            # One that waits to run again has no current container: the last that ran is the previous one.
            waiting = bool(_waiting_reason(agent, container))
            current = None if waiting else next((f for f in facts if f.state != "created"), None)
            older = [f for f in facts if f.state == "exited" and f is not current]
            if not older:
                raise HttpFault(400, f"previous terminated {where} not found")
            return older[0]
        started = [f for f in facts if f.state in ("running", "exited")]
        if not started:
            reason = _waiting_reason(agent, container)
            if reason in ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"):
                problem = "image can't be pulled" if reason == "ErrImagePull" else "trying and failing to pull image"
                raise HttpFault(400, f"{where} is waiting to start: {problem}")
            raise HttpFault(400, f"{where} is waiting to start: {reason or 'ContainerCreating'}")
        return started[0]

    def _log_options(self, query: Query) -> logs.LogOptions:
        since = None
        if seconds := _number(query, "sinceSeconds", 1):
            since = self._context.clock.now() - timedelta(seconds=seconds)
        if text := _one(query, "sinceTime"):
            try:
                since = times.parse(text)
            except ValueError as error:
                raise HttpFault(400, f"unable to decode query: {error}") from error
        return logs.LogOptions(
            follow=_flag(query, "follow"),
            tail_lines=_number(query, "tailLines", 0),
            since=since,
            timestamps=_flag(query, "timestamps"),
            limit_bytes=_number(query, "limitBytes", 1),
        )

    async def _read(
        self, path: Path, options: logs.LogOptions, agent: PodAgent, container_id: str
    ) -> AsyncGenerator[bytes, None]:
        def running() -> bool:
            return any(f.id == container_id and f.state != "exited" for f in agent.facts.containers)

        try:
            async for piece in logs.read_log(path, options, running, agent.listeners):
                yield piece
        except FileNotFoundError:
            # The container has written nothing, or its log has been removed: either way there is nothing to say.
            return

    async def _stream(self, verb: str, head: http1.Head, rest: list[str], query: Query) -> Answer:
        cri = self._context.cri
        if verb == "portForward":
            agent = self._agent(rest[0], rest[1], rest[2] if len(rest) > 2 else "")
            sandbox = agent.facts.sandbox
            if sandbox is None or not sandbox.ready:
                raise HttpFault(500, f"sandbox of pod {quote(rest[1])} is not running")
            ports = [int(text) for part in (query.get("port") or query.get("ports") or ()) for text in part.split(",")]
            request = api_pb2.PortForwardRequest(pod_sandbox_id=sandbox.id, port=ports)
            return Answer(relay_url=await cri.port_forward_url(request))
        uid, container = (rest[2], rest[3]) if len(rest) > 3 else ("", rest[2] if len(rest) > 2 else "")
        agent = self._agent(rest[0], rest[1], uid)
        running = next((f for f in agent.facts.of(container) if f.state == "running"), None)
        if running is None:
            if verb == "attach":
                raise HttpFault(404, f"container {container} not found in pod {rest[1]}_{rest[0]}")
            raise HttpFault(404, f"container not found ({quote(container)})")
        command = list(query.get("command") or query.get("cmd") or ())
        if verb == "run":
            code, output = await cri.exec_sync(running.id, command, int(_one(query, "timeout") or 0))
            return Answer(200 if code == 0 else 500, output)
        tty = _flag(query, "tty")
        if verb == "exec":
            exec_request = api_pb2.ExecRequest(
                container_id=running.id,
                cmd=command,
                tty=tty,
                stdin=_flag(query, "stdin", "input"),
                stdout=_flag(query, "stdout", "output"),
                stderr=_flag(query, "stderr", "error") and not tty,
            )
            return Answer(relay_url=await cri.exec_url(exec_request))
        spec = restart.find_container(agent.pod, container)
        tty = bool(spec and spec.tty)
        attach_request = api_pb2.AttachRequest(
            container_id=running.id,
            tty=tty,
            stdin=_flag(query, "stdin", "input"),
            stdout=_flag(query, "stdout", "output"),
            stderr=_flag(query, "stderr", "error") and not tty,
        )
        return Answer(relay_url=await cri.attach_url(attach_request))


def _waiting_reason(agent: PodAgent, container: str) -> str:
    status = agent.worker.reported
    for found in (
        *(status.initContainerStatuses or ()),
        *(status.containerStatuses or ()),
        *(status.ephemeralContainerStatuses or ()),
    ):
        if found.name == container and found.state.waiting:
            return found.state.waiting.reason or ""
    return ""


def _one(query: Query, name: str) -> str:
    return next(iter(query.get(name) or ()), "")


def _flag(query: Query, *names: str) -> bool:
    return any(_one(query, name) in ("true", "1", "True", "t") for name in names)


def _number(query: Query, name: str, minimum: int) -> int | None:
    text = _one(query, name)
    if not text:
        return None
    try:
        number = int(text)
    except ValueError as error:
        raise HttpFault(400, f"invalid value {quote(text)} for {name}") from error
    if number < minimum:
        raise HttpFault(400, f"{name} must be greater than or equal to {minimum}")
    return number
