"""The ``proxy`` subresources: any request, passed on to a Pod, a Service or a node.

Names may say more: ``https:web:8080`` is the port 8080 (or the port named so)
of ``web``, spoken to in TLS without asking who it is.
Source: Kubernetes docs, "Access Services Running on Clusters", "Manually
constructing apiserver proxy URLs".
"""

import random
import ssl
from functools import cache
from typing import Any, Final
from urllib.parse import quote, urlencode

from tiphys.apiserver.relay import connecting
from tiphys.apiserver.relay.connect import Peer, Unreachable, relay
from tiphys.apiserver.relay.nodes import Nodes
from tiphys.apiserver.seams import Context, ResourceRoute
from tiphys.machinery import errors
from tiphys.machinery.goformat import quote as go_quote
from tiphys.wire.exchange import Response

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SLICE_LABEL: Final = "kubernetes.io/service-name"
PATH_SAFE: Final = "/!$&'()*+,;=:@~-._"


class Proxies:
    """The handlers. ``chance`` picks among a Service's endpoints."""

    def __init__(self, nodes: Nodes, chance: random.Random) -> None:
        self._nodes = nodes
        self._chance = chance

    def routes(self) -> list[ResourceRoute]:
        return [
            ResourceRoute("", "v1", "pods", "proxy", self.pod, METHODS),
            ResourceRoute("", "v1", "services", "proxy", self.service, METHODS),
            ResourceRoute("", "v1", "nodes", "proxy", self.node, METHODS),
        ]

    async def pod(self, context: Context) -> Response:
        attributes = context.attributes
        scheme, name, port = split_name(attributes.name, "pod")
        pod = context.objects.find("", "pods", attributes.namespace, name)
        if pod is None:
            raise errors.NotFound("pods", name)
        if not pod.status.podIP:
            raise errors.BadRequest("address not allowed")
        number = _pod_port(pod, port)
        return await self._proxied(context, Peer(pod.status.podIP, number, _insecure() if scheme == "https" else None))

    async def service(self, context: Context) -> Response:
        attributes = context.attributes
        scheme, name, port = split_name(attributes.name, "service")
        service = context.objects.find("", "services", attributes.namespace, name)
        if service is None:
            raise errors.NotFound("services", name)
        address, number = self._endpoint(context, service, port)
        return await self._proxied(context, Peer(address, number, _insecure() if scheme == "https" else None))

    def _endpoint(self, context: Context, service: Any, port: str) -> tuple[str, int]:
        """A ready endpoint of a Service. Raises ServiceUnavailable."""
        namespace, name = service.metadata.namespace, service.metadata.name
        wanted = _port_name(service, port)
        found: list[tuple[str, int]] = []
        for one in context.objects.all("discovery.k8s.io", "endpointslices", namespace):
            if one.metadata.labels.get(SLICE_LABEL) != name:
                continue
            numbers = [entry.port for entry in one.ports or () if (entry.name or "") == wanted and entry.port]
            for endpoint in one.endpoints or ():
                ready = endpoint.conditions is None or endpoint.conditions.ready is not False
                if ready:
                    found += [(address, number) for address in endpoint.addresses for number in numbers]
        if not found:
            raise errors.ServiceUnavailable(f"no endpoints available for service {go_quote(name)}")
        return self._chance.choice(found)

    async def node(self, context: Context) -> Response:
        _, name, port = split_name(context.attributes.name, "node")
        kubelet = self._nodes.kubelet(name)
        if port and port != str(kubelet.port):
            kubelet = Peer(kubelet.host, _number(port), kubelet.tls, kubelet.server_name)
        return await self._proxied(context, kubelet)

    async def _proxied(self, context: Context, peer: Peer) -> Response:
        request = context.request
        prefix, path = split_path(request.path, namespaced=bool(context.attributes.namespace))
        query = urlencode([(key, value) for key, values in request.query.items() for value in values])
        tail = f"?{query}" if query else ""
        if not path and request.method in ("GET", "HEAD"):
            # Relative links on the page would lead elsewhere.
            return Response(301, {"Location": f"{quote(prefix, safe=PATH_SAFE)}/{tail}"})
        await connecting.admit(context)
        forwarded = [("X-Forwarded-Uri", quote(request.path, safe=PATH_SAFE))]
        if request.remote:
            forwarded.append(("X-Forwarded-For", request.remote))
        if host := request.headers.get("host"):
            forwarded.append(("X-Forwarded-Host", host))
        try:
            return await relay(peer, request, (quote(path, safe=PATH_SAFE) or "/") + tail, forwarded)
        except Unreachable as problem:
            raise errors.ServiceUnavailable(f"error trying to reach service: {problem}") from problem


def split_path(path: str, *, namespaced: bool) -> tuple[str, str]:
    """A request's path up to ``/proxy``, and what is behind it. Anything may be named "proxy", hence the counting."""
    # "", api, v1, (namespaces, its name,) plural, name, proxy
    count = 8 if namespaced else 6
    parts = path.split("/", count)
    return "/".join(parts[:count]), "/" + parts[count] if len(parts) > count else ""


def split_name(text: str, kind: str) -> tuple[str, str, str]:
    """Scheme (may be empty), name and port (may be empty). Raises BadRequest."""
    parts = text.split(":")
    if len(parts) > 3:
        raise errors.BadRequest(f"invalid {kind} request {go_quote(text)}")
    scheme = parts.pop(0) if len(parts) == 3 else ""
    name, port = parts[0], "".join(parts[1:])
    if scheme not in ("", "http", "https") or not name:
        raise errors.BadRequest(f"invalid {kind} request {go_quote(text)}")
    return scheme, name, port


def _number(text: str) -> int:
    if text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise errors.BadRequest(f"invalid port {go_quote(text)}")


def _pod_port(pod: Any, port: str) -> int:
    """The port asked for, else the first TCP port of the first container that has one, else 80."""
    if port:
        return _number(port)
    for container in pod.spec.containers:
        for one in container.ports or ():
            return int(one.containerPort)
    return 80


def _port_name(service: Any, port: str) -> str:
    """The name of the Service's port that a number or name stands for. Raises ServiceUnavailable."""
    ports = list(service.spec.ports or ())
    name = service.metadata.name
    if not port:
        if len(ports) == 1:
            return ports[0].name or ""
        raise errors.ServiceUnavailable(f"no endpoints available for service {go_quote(name)}")
    for one in ports:
        if port in (one.name or "", str(one.port)):
            return one.name or ""
    raise errors.ServiceUnavailable(f"no service port {go_quote(port)} found for service {go_quote(name)}")


@cache
def _insecure() -> ssl.SSLContext:
    """TLS to whoever answers: Pods have certificates of their own making."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
