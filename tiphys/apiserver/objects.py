"""``seams.Objects`` over cache and registry: how the server's own parts read and write without a request."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiphys.api import meta_v1
from tiphys.apiserver.cache import Change
from tiphys.apiserver.entries import Entry, View
from tiphys.apiserver.registry import creating, deleting, updating
from tiphys.apiserver.registry.endpoint import Call, Endpoint
from tiphys.apiserver.requestinfo import VERBS
from tiphys.apiserver.seams import Attributes
from tiphys.machinery import codec
from tiphys.wire.exchange import Request, UserInfo

log = logging.getLogger(__name__)

SYSTEM_USER = UserInfo("system:apiserver", groups=("system:masters", "system:authenticated"))


class CachedObjects:
    """See ``seams.Objects``."""

    def __init__(self) -> None:
        self._endpoints: dict[tuple[str, str], Endpoint] = {}
        self._by_class: dict[type[Any], Endpoint] = {}

    def add(self, endpoints: Sequence[Endpoint]) -> None:
        """Called once, when the endpoints exist."""
        for endpoint in endpoints:
            self._endpoints.setdefault((endpoint.row.group, endpoint.row.plural), endpoint)
            self._by_class[endpoint.row.cls] = endpoint

    def add_custom(self, endpoint: Endpoint) -> None:
        """A custom resource has come, or has changed; ``endpoint`` is the stored version's."""
        self._endpoints[endpoint.row.group, endpoint.row.plural] = endpoint
        self._by_class[endpoint.row.cls] = endpoint

    def remove_custom(self, endpoint: Endpoint) -> None:
        """It has gone."""
        row = endpoint.row
        if self._endpoints.get((row.group, row.plural)) is endpoint:
            del self._endpoints[row.group, row.plural]
        self._by_class.pop(row.cls, None)

    def find(self, group: str, plural: str, namespace: str, name: str) -> Any | None:
        endpoint = self._endpoints[group, plural]
        entry = endpoint.cache.find(namespace, name)
        return endpoint.view.object(entry) if entry else None

    def all(self, group: str, plural: str, namespace: str = "") -> Sequence[Any]:
        endpoint = self._endpoints[group, plural]
        entries = endpoint.cache.within(endpoint.cache.span(namespace))
        return [found for entry in entries if (found := _readable(endpoint.view, entry)) is not None]

    def count(self, group: str, plural: str) -> int:
        return len(self._endpoints[group, plural].cache.entries)

    def told(self) -> Mapping[tuple[str, str, str], int]:
        """How many events watchers of a resource were told since it is served, by group, version and plural."""
        return {(one.row.group, one.row.version, one.row.plural): one.hub.told for one in self._endpoints.values()}

    def subscribe(self, group: str, plural: str, changed: Callable[[Any | None, Any | None], None]) -> None:
        endpoint = self._endpoints[group, plural]
        view = endpoint.view

        def listener(changes: Sequence[Change]) -> None:
            for change in changes:
                new, old = _readable(view, change.new), _readable(view, change.old)
                if new is not None or old is not None:
                    changed(new, old)

        endpoint.cache.listeners.append(listener)

    async def create(self, obj: Any) -> Any:
        endpoint = self._by_class[type(obj)]
        call = system_call(endpoint, "POST", obj.metadata.namespace, "")
        return (await creating.create_object(call, codec.copy(obj))).object

    async def update(self, obj: Any, subresource: str = "") -> Any:
        endpoint = self._by_class[type(obj)]
        metadata, body = obj.metadata, codec.encode(obj)
        call = system_call(endpoint, "PUT", metadata.namespace, metadata.name, subresource, body=body)
        return codec.decode(type(obj), (await updating.update(call)).body)

    async def delete(self, group: str, plural: str, namespace: str, name: str) -> None:
        endpoint = self._endpoints[group, plural]
        await deleting.delete_object(system_call(endpoint, "DELETE", namespace, name), meta_v1.DeleteOptions())


def _readable(view: View, entry: Entry | None) -> Any | None:
    """The object; None if it is none of its class. Who follows all of a kind must not fall over one of them."""
    if entry is None:
        return None
    try:
        return view.object(entry)
    except codec.DecodeError:
        log.exception("a stored object cannot be decoded", extra={"key": entry.key})
        return None


def system_call(
    endpoint: Endpoint, method: str, namespace: str, name: str, subresource: str = "", body: bytes = b""
) -> Call:
    """A call of the server's own, as if it had come with a request."""
    row = endpoint.row
    headers: Mapping[str, str] = {"user-agent": "kube-apiserver", "content-type": "application/json"}
    attributes = Attributes(
        VERBS[method],
        "",
        SYSTEM_USER,
        is_resource_request=True,
        group=row.group,
        version=row.version,
        resource=row.plural,
        subresource=subresource,
        namespace=namespace,
        name=name,
        kind=row.kind,
    )
    return Call(Request(method, "", headers=headers, body=body, user=SYSTEM_USER), attributes, endpoint)
