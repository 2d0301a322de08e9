"""Wires the EndpointSlice controller: events to keys, plans to calls."""

from tiphys.api import core_v1, discovery_v1
from tiphys.client import Done, RequeueAfter, Result
from tiphys.controllers import services, triggers
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.endpointslice import hints
from tiphys.controllers.endpointslice.desired import desired
from tiphys.controllers.endpointslice.packing import MANAGED_BY_LABEL, SERVICE_LABEL, Owner, Plan, plan
from tiphys.controllers.endpointslice.writer import STALE_SECONDS, SliceWriter
from tiphys.controllers.terminating import is_namespace_terminating
from tiphys.machinery import errors, meta

MANAGED_BY = "endpointslice-controller.k8s.io"


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
        self._writer = SliceWriter(self.client, self.slices)
        #: How many endpoints a Service had, and why it had no hints by share.
        self._sizes: dict[str, int] = {}
        self._triggers = triggers.TriggerTimes()
        self._hint_problems: dict[str, str] = {}
        #: What is known of the nodes' zones; None until it is asked for after a change.
        self._zones: hints.Zones | None = None
        self.services.add_index("namespace", lambda service: (service.metadata.namespace,))
        self.pods.add_index("namespace", lambda pod: (pod.metadata.namespace,))
        self.slices.add_index("service", _service_of)
        self.nodes.add_handler(
            lambda node: self._nodes_changed(None, node),
            self._nodes_changed,
            lambda node: self._nodes_changed(node, None),
        )
        self.services.add_handler(self.enqueue, lambda _, new: self.enqueue(new), self._service_deleted)
        self.pods.add_handler(
            lambda pod: self._pod_changed(None, pod), self._pod_changed, lambda pod: self._pod_changed(pod, None)
        )
        self.slices.add_handler(self._slice_changed, lambda _, new: self._slice_changed(new), self._slice_deleted)

    # Events

    def _service_deleted(self, service: core_v1.Service) -> None:
        """Its slices go with it, by owner reference."""
        key = meta.key_of(service)
        self._writer.forget(key)
        self._sizes.pop(key, None)
        self._triggers.forget(key)
        self._hint_problems.pop(key, None)

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
            if self._writer.is_news(key, found):
                self.queue.add(key)

    def _slice_deleted(self, found: discovery_v1.EndpointSlice) -> None:
        for key in _service_of(found):
            self.queue.add(key)

    def _nodes_changed(self, old: core_v1.Node | None, new: core_v1.Node | None) -> None:
        """Zones concern all Services; what shares are made of, those that want shares."""
        if old is not None and new is not None and hints.facts_of(old) == hints.facts_of(new):
            return
        self._zones = None
        moved = old is None or new is None or hints.zone_of(old) != hints.zone_of(new)
        has_zone = any(node is not None and hints.zone_of(node) for node in (old, new))
        for service in self.services.list():
            if (moved and has_zone) or hints.wants_shares(service):
                self.enqueue(service)

    # Reconciling

    async def reconcile(self, key: str) -> Result:
        service = self.services.get(key)
        if service is None or service.metadata.deletionTimestamp is not None or not services.is_managed(service):
            return Done()
        if not self._writer.is_seen(key):
            return RequeueAfter(STALE_SECONDS)
        selector = service.spec.selector or {}
        namespace = service.metadata.namespace
        pods = [
            pod for pod in self.pods.by_index("namespace", namespace) if selector.items() <= pod.metadata.labels.items()
        ]
        self._sizes[key] = len(pods)
        groups = desired(service, pods, self._known_zones().of_node)
        for group, endpoints in groups.items():
            groups[group], problem = hints.with_hints(service, endpoints, self._known_zones())
            self._tell_of_hints(key, service, problem)
        instant = self._triggers.note(key, service, pods)
        changes = plan(_owner(service), self.slices.by_index("service", key), groups)
        for found in (*changes.create, *changes.update):
            found.metadata = triggers.stamped(found.metadata, instant)
        if not changes.empty:
            await self._apply(key, service, changes)
        return Done()

    def _known_zones(self) -> hints.Zones:
        if self._zones is None:
            self._zones = hints.zones(self.nodes.list())
        return self._zones

    def _tell_of_hints(self, key: str, service: core_v1.Service, problem: str | None) -> None:
        """An event whenever endpoints begin, or cease, to be dealt out to zones."""
        if problem is None:
            self._hint_problems.pop(key, None)
            return
        if self._hint_problems.get(key) == problem:
            return
        self._hint_problems[key] = problem
        if problem:
            self.recorder.event(service, "Warning", "TopologyAwareHintsDisabled", problem)
        else:
            told = "Topology Aware Hints has been enabled"
            self.recorder.event(service, "Normal", "TopologyAwareHintsEnabled", told)

    async def _apply(self, key: str, service: core_v1.Service, changes: Plan) -> None:
        try:
            await self._writer.apply(key, changes)
        except errors.Conflict:
            raise
        except errors.StatusError as problem:
            if is_namespace_terminating(problem):
                return
            told = f"Error updating Endpoint Slices for Service {meta.key_of(service)}: {problem}"
            self.recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", told)
            raise


def _owner(service: core_v1.Service) -> Owner:
    metadata = service.metadata
    reference = meta.owner_reference(service)
    return Owner(metadata.namespace, metadata.name, MANAGED_BY, reference, services.labels_of(service))


def _service_of(found: discovery_v1.EndpointSlice) -> tuple[str, ...]:
    """The key of the Service whose slice this is; nothing if another manages it."""
    labels = found.metadata.labels
    if labels.get(MANAGED_BY_LABEL) != MANAGED_BY or SERVICE_LABEL not in labels:
        return ()
    return (f"{found.metadata.namespace}/{labels[SERVICE_LABEL]}",)
