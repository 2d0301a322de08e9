"""``pods/exec``, ``attach``, ``portforward`` and ``log``: checked here, served by the Pod's kubelet.

Source: Kubernetes API reference, PodExecOptions, PodLogOptions; the kubelet's
server, by behaviour.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from tiphys.api import meta_v1
from tiphys.apiserver.relay import connecting
from tiphys.apiserver.relay.connect import Peer, Unreachable, relay, wants_upgrade
from tiphys.apiserver.relay.nodes import Nodes
from tiphys.apiserver.requestinfo import first
from tiphys.apiserver.seams import Context, ResourceRoute, Upgrade
from tiphys.machinery import errors, fields
from tiphys.machinery.goformat import quote as go_quote
from tiphys.machinery.times import parse
from tiphys.wire.exchange import Response, Sink

#: Our parameters and the kubelet's.
STREAM_FLAGS: Final = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
# On unless switched off, as the options' defaults say.
SHOWN: Final = ("stdout", "stderr")
LOG_FLAGS: Final = ("follow", "previous", "timestamps")
LOG_NUMBERS: Final = {"sinceSeconds": 1, "tailLines": 0, "limitBytes": 1}
LOG_STREAMS: Final = ("All", "Stdout", "Stderr")
TEXT: Final = {"Content-Type": "text/plain", "Cache-Control": "no-cache, private"}
ERROR_BYTES_MAX: Final = 64 * 1024
TRUE: Final = ("1", "t", "T", "true", "TRUE", "True")

Query = Mapping[str, Sequence[str]]


class Streams:
    """The handlers."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def routes(self) -> list[ResourceRoute]:
        connect = ("GET", "POST")
        return [
            ResourceRoute("", "v1", "pods", "exec", self.exec, connect),
            ResourceRoute("", "v1", "pods", "attach", self.attach, connect),
            ResourceRoute("", "v1", "pods", "portforward", self.port_forward, connect),
            ResourceRoute("", "v1", "pods", "log", self.log, ("GET",)),
        ]

    async def exec(self, context: Context) -> Response:
        return await self._stream(context, "exec")

    async def attach(self, context: Context) -> Response:
        return await self._stream(context, "attach")

    async def port_forward(self, context: Context) -> Response:
        pod = await self._pod(context)
        query = context.request.query
        peer = self._peer(pod)
        target = _target("portForward", (pod.metadata.namespace, pod.metadata.name), _listed(query, "ports", "port"))
        return await self._upgraded(context, peer, target)

    async def _stream(self, context: Context, verb: str) -> Response:
        pod = await self._pod(context)
        query = context.request.query
        container = chosen_container(pod, first(query, "container"))
        peer = self._peer(pod)
        parameters = [(theirs, "1") for ours, theirs in STREAM_FLAGS.items() if _flag(query, ours, ours in SHOWN)]
        if verb == "exec":
            parameters += _listed(query, "command", "command")
        path = (pod.metadata.namespace, pod.metadata.name, container)
        return await self._upgraded(context, peer, _target(verb, path, parameters))

    async def _upgraded(self, context: Context, peer: Peer, target: str) -> Response:
        if not wants_upgrade(context.request):
            raise errors.BadRequest("Upgrade request required")
        try:
            response = await relay(peer, context.request, target)
        except Unreachable as problem:
            raise errors.InternalError(f"error dialing backend: {problem}") from problem
        if isinstance(response, Upgrade):
            return response
        # As it came: clients show the text behind words of their own.
        return Response(response.status, TEXT, (await _text(response)).encode())

    async def log(self, context: Context) -> Response:
        pod = await self._pod(context)
        query = context.request.query
        parameters = log_parameters(pod.metadata.name, query)
        container = chosen_container(pod, first(query, "container"))
        if not pod.spec.nodeName:
            # Nothing runs, so nothing has been said.
            return Response(200, TEXT)
        peer = self._peer(pod)
        path = (pod.metadata.namespace, pod.metadata.name, container)
        target = _target("containerLogs", path, parameters)
        try:
            response = await relay(peer, context.request, target)
        except Unreachable as problem:
            scheme = "https" if peer.tls else "http"
            raise errors.InternalError(f'Get "{scheme}://{peer.address}{target}": {problem}') from problem
        if response.status != 200:
            raise log_refusal(response.status, await _text(response), pod.metadata.name)
        response.headers = TEXT
        return response

    async def _pod(self, context: Context) -> Any:
        """Raises NotFound."""
        attributes = context.attributes
        pod = context.objects.find("", "pods", attributes.namespace, attributes.name)
        if pod is None:
            raise errors.NotFound("pods", attributes.name)
        if attributes.subresource != "log":
            await connecting.admit(context)
        return pod

    def _peer(self, pod: Any) -> Peer:
        if not pod.spec.nodeName:
            raise errors.BadRequest(f"pod {pod.metadata.name} does not have a host assigned")
        return self._nodes.kubelet(pod.spec.nodeName)


def chosen_container(pod: Any, asked: str) -> str:
    """The container that a request is about. Raises BadRequest in Kubernetes' words."""
    spec = pod.spec
    name = pod.metadata.name
    plain = [container.name for container in spec.containers]
    init = [container.name for container in spec.initContainers or ()]
    if asked:
        others = [container.name for container in spec.ephemeralContainers or ()]
        if asked not in (*plain, *init, *others):
            raise errors.BadRequest(f"container {asked} is not valid for pod {name}")
        return asked
    if len(plain) == 1:
        return str(plain[0])
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(plain)}]"
    if init:
        text += f" or one of the init containers: [{' '.join(init)}]"
    raise errors.BadRequest(text)


def log_parameters(name: str, query: Query) -> list[tuple[str, str]]:
    """The kubelet's parameters for a log request. Raises Invalid, BadRequest."""
    found = [(flag, "true") for flag in LOG_FLAGS if _flag(query, flag)]
    problems = []
    for parameter, minimum in LOG_NUMBERS.items():
        text = first(query, parameter)
        if not text:
            continue
        try:
            number = int(text)
        except ValueError as problem:
            raise errors.BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from problem
        if number < minimum:
            words = "must be greater than 0" if minimum else "must be greater than or equal to 0"
            problems.append(fields.invalid(parameter, number, words))
        found.append((parameter, text))
    since = first(query, "sinceTime")
    if since:
        if first(query, "sinceSeconds"):
            problems.append(fields.forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
        try:
            parse(since)
        except ValueError as problem:
            raise errors.BadRequest(f"invalid sinceTime: {since}") from problem
        found.append(("sinceTime", since))
    stream = first(query, "stream")
    if stream and stream not in LOG_STREAMS:
        problems.append(fields.not_supported("stream", stream, LOG_STREAMS))
    if stream and stream != "All":
        found.append(("stream", stream))
    if problems:
        raise errors.Invalid("PodLogOptions", "", name, problems)
    return found


def _flag(query: Query, name: str, default: bool = False) -> bool:
    values = query.get(name)
    return default if not values else values[0] in TRUE


def _listed(query: Query, ours: str, theirs: str) -> list[tuple[str, str]]:
    return [(theirs, value) for value in query.get(ours, ())]


def _target(verb: str, path: Sequence[str], parameters: Sequence[tuple[str, str]]) -> str:
    base = "/".join(("", verb, *(quote(part, safe="") for part in path)))
    return f"{base}?{urlencode(parameters)}" if parameters else base


class _Collected:
    """A sink that keeps the beginning of a body."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data = (self.data + data)[:ERROR_BYTES_MAX]

    def buffered_bytes(self) -> int:
        return 0

    async def drain(self) -> None:
        return

    async def wait_closed(self) -> None:
        return


async def _text(response: Response) -> str:
    sink = _Collected()
    checked: Sink = sink
    if response.stream is not None:
        await response.stream(checked)
    return sink.data.decode(errors="replace").strip()


def log_refusal(code: int, text: str, name: str) -> errors.StatusError:
    """What the kubelet answered instead of a log, in the words that Kubernetes' API server has for it."""
    if code == 400:
        return errors.BadRequest(text)
    about = f"( pods/log {name})"
    message = f"an error on the server ({go_quote(text)}) has prevented the request from succeeding {about}"
    if code == 404:
        message = f"the server could not find the requested resource {about}"
    cls = errors.BY_CODE.get(code, errors.InternalError)
    cause = meta_v1.StatusCause(reason="UnexpectedServerResponse", message=text)
    details = meta_v1.StatusDetails(name=name, kind="pods/log", causes=[cause])
    return errors.from_status(meta_v1.Status(message=message, reason=cls.reason, code=code, details=details))
