"""Which handler serves a request."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Final

from tiphys.apiserver.registry.endpoint import Call, Endpoint
from tiphys.apiserver.seams import Attributes, RawRoute, ResourceRoute
from tiphys.machinery import errors
from tiphys.wire.exchange import Response

Verb = Callable[[Call], Coroutine[None, None, Response]]

TEXT_HEADERS: Final = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}


class Routes:
    """All that is served, by path."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        subresources: Mapping[tuple[str, str, str, str], Verb],
        routes: Sequence[RawRoute],
        resource_routes: Sequence[ResourceRoute],
        foreign: Mapping[tuple[str, str], ResourceRoute] | None = None,
    ) -> None:
        self.endpoints = {(e.row.group, e.row.version, e.row.plural): e for e in endpoints}
        self.subresources = subresources
        #: Resources that are another path to a subresource of an endpoint.
        self.aliases: dict[tuple[str, str, str], tuple[Endpoint, Verb]] = {}
        pod = self.endpoints.get(("", "v1", "pods"))
        if pod is not None:
            self.aliases["", "v1", "bindings"] = (pod, subresources["", "pods", "binding", "create"])
        self._resource_routes = {(r.group, r.version, r.plural, r.subresource): r for r in resource_routes}
        self._foreign = {} if foreign is None else foreign
        self._exact = {route.path: route for route in routes if not route.path.endswith("*")}
        prefixes = [route for route in routes if route.path.endswith("*")]
        self._prefixes = sorted(prefixes, key=lambda route: -len(route.path))

        self._versions = {key[:2] for key in self.endpoints}

    def add(self, endpoints: Sequence[Endpoint]) -> None:
        """Serve these too, in place of what was there."""
        for endpoint in endpoints:
            self.endpoints[endpoint.row.group, endpoint.row.version, endpoint.row.plural] = endpoint

    def remove(self, endpoints: Sequence[Endpoint]) -> None:
        """Serve these no longer, unless others stand in their place."""
        for endpoint in endpoints:
            key = (endpoint.row.group, endpoint.row.version, endpoint.row.plural)
            if self.endpoints.get(key) is endpoint:
                del self.endpoints[key]

    def nothing(self, attributes: Attributes) -> Response:
        """The 404 of a resource that is not there: a Status below a known version, else text."""
        if (attributes.group, attributes.version) in self._versions:
            raise errors.UnknownPath
        return Response(404, TEXT_HEADERS, b"404 page not found\n")

    def raw(self, path: str) -> RawRoute | None:
        """The route of a path that names no resource."""
        found = self._exact.get(path) or self._exact.get(path.rstrip("/"))
        return found or next((route for route in self._prefixes if path.startswith(route.path[:-1])), None)

    def resource(self, attributes: Attributes) -> ResourceRoute | None:
        """The route of a resource that is not the registry's."""
        key = (attributes.group, attributes.version, attributes.resource, attributes.subresource)
        found = self._resource_routes.get(key)
        if found is None and self._foreign:
            return self._foreign.get(key[:2])
        return found
