"""Wires the EndpointSlice controller: events to keys, plans to calls."""

import asyncio

from tiphys.api import core_v1, discovery_v1
from tiphys.client import Done, RequeueAfter, Result
from tiphys.controllers import services
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.endpointslice.desired import desired
from tiphys.controllers.endpointslice.packing import MANAGED_BY, MANAGED_BY_LABEL, SERVICE_LABEL, Plan, plan
from tiphys.controllers.terminating import is_namespace_terminating
from tiphys.machinery import errors, meta

ZONE_LABEL = "topology.kubernetes.io/zone"
#: How soon to look again while the cache does not show the last write yet.
STALE_SECONDS = 0.02


class EndpointSliceController(Controller):
    name = "endpointslice"
    component = "endpoint-slice-controller"
    concurrency = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.services = self.informers.of(core_v1.Service)
        self.pods = self.informers.of(core_v1.Pod)
        self.nodes = self.informers.of(core_v1.Node)
        self.slices = self.informers.of(discovery_v1.EndpointSlice)
        self._slice_client = self.client.of(discovery_v1.EndpointSlice)
        #: Per service: the newest resource version that we wrote, and how many endpoints there were.
        self._written: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self._zones: dict[str, str] = {}
        self.services.add_index("namespace", lambda service: (service.metadata.namespace,))
        self.pods.add_index("namespace", lambda pod: (pod.metadata.namespace,))
        self.slices.add_index("service", _service_of)
        self.nodes.add_handler(self._node_changed, lambda _, new: self._node_changed(new), self._node_deleted)
        self.services.add_handler(self.enqueue, lambda _, new: self.enqueue(new), self._service_deleted)
        self.pods.add_handler(
            lambda pod: self._pod_changed(None, pod), self._pod_changed, lambda pod: self._pod_changed(pod, None)
        )
        self.slices.add_handler(self._slice_changed, lambda _, new: self._slice_changed(new), self._slice_deleted)

    # Events

    def _service_deleted(self, service: core_v1.Service) -> None:
        """Its slices go with it, by owner reference."""
        key = meta.key_of(service)
        self._written.pop(key, None)
        self._sizes.pop(key, None)

    def _pod_changed(self, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        pod = new or old
        assert pod is not None
        candidates = self.services.by_index("namespace", pod.metadata.namespace)
        if not candidates:
            return
        for service in services.concerned(candidates, old, new):
            key = meta.key_of(service)
            self.enqueue_batched(key, self._sizes.get(key, 0))

    def _slice_changed(self, found: discovery_v1.EndpointSlice) -> None:
        for key in _service_of(found):
            # Our own write comes back and asks for nothing.
            written = self._written.get(key)
            if written is None or int(found.metadata.resourceVersion) > int(written):
                self.queue.add(key)

    def _slice_deleted(self, found: discovery_v1.EndpointSlice) -> None:
        for key in _service_of(found):
            self.queue.add(key)

    def _node_changed(self, node: core_v1.Node) -> None:
        zone = node.metadata.labels.get(ZONE_LABEL, "")
        if self._zones.get(node.metadata.name, "") == zone:
            return
        self._zones[node.metadata.name] = zone
        for service in self.services.list():
            self.enqueue(service)

    def _node_deleted(self, node: core_v1.Node) -> None:
        self._zones.pop(node.metadata.name, None)

    # Reconciling

    async def reconcile(self, key: str) -> Result:
        service = self.services.get(key)
        if service is None or service.metadata.deletionTimestamp is not None or not services.is_managed(service):
            return Done()
        if not self.slices.has_seen(self._written.get(key, "")):
            return RequeueAfter(STALE_SECONDS)
        selector = service.spec.selector or {}
        namespace = service.metadata.namespace
        pods = [
            pod for pod in self.pods.by_index("namespace", namespace) if selector.items() <= pod.metadata.labels.items()
        ]
        self._sizes[key] = len(pods)
        zones = {node: zone for node, zone in self._zones.items() if zone}
        changes = plan(service, self.slices.by_index("service", key), desired(service, pods, zones))
        if not changes.empty:
            await self._apply(key, service, changes)
        return Done()

    async def _apply(self, key: str, service: core_v1.Service, changes: Plan) -> None:
        calls = [
            *(self._slice_client.create(new) for new in changes.create),
            *(self._slice_client.update(new) for new in changes.update),
        ]
        results = await asyncio.gather(*calls, *map(self._delete, changes.delete), return_exceptions=True)
        for result in results:
            if isinstance(result, discovery_v1.EndpointSlice):
                self._note(key, result.metadata.resourceVersion)
        for result in results:
            if isinstance(result, errors.Conflict | ConnectionError):
                raise result
            if isinstance(result, errors.StatusError):
                if is_namespace_terminating(result):
                    return
                name = f"{service.metadata.namespace}/{service.metadata.name}"
                self.recorder.event(
                    service,
                    "Warning",
                    "FailedToUpdateEndpointSlices",
                    f"Error updating Endpoint Slices for Service {name}: {result}",
                )
                raise result
            if isinstance(result, BaseException):
                raise result

    async def _delete(self, found: discovery_v1.EndpointSlice) -> None:
        try:
            await self._slice_client.delete(found.metadata.name, found.metadata.namespace)
        except errors.NotFound:
            return

    def _note(self, key: str, resource_version: str) -> None:
        if int(resource_version or 0) > int(self._written.get(key, "0")):
            self._written[key] = resource_version


def _service_of(found: discovery_v1.EndpointSlice) -> tuple[str, ...]:
    """The key of the Service whose slice this is; nothing if another manages it."""
    labels = found.metadata.labels
    if labels.get(MANAGED_BY_LABEL) != MANAGED_BY or SERVICE_LABEL not in labels:
        return ()
    return (f"{found.metadata.namespace}/{labels[SERVICE_LABEL]}",)
