"""Wires the Endpoints controller: events to keys, decisions to calls."""

from tiphys.api import core_v1
from tiphys.client import Done, Result
from tiphys.controllers import services, triggers
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.endpoints.desired import MANAGED_BY, MANAGED_BY_LABEL, desired
from tiphys.controllers.terminating import is_namespace_terminating
from tiphys.machinery import errors, meta


class EndpointsController(Controller):
    name = "endpoints"
    component = "endpoint-controller"
    concurrency = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.services = self.informers.of(core_v1.Service)
        self.pods = self.informers.of(core_v1.Pod)
        self.endpoints = self.informers.of(core_v1.Endpoints)
        self._client = self.client.of(core_v1.Endpoints)
        self._sizes: dict[str, int] = {}
        self._triggers = triggers.TriggerTimes()
        self.services.add_index("namespace", lambda service: (service.metadata.namespace,))
        self.pods.add_index("namespace", lambda pod: (pod.metadata.namespace,))
        self.services.add_handler(self.enqueue, lambda _, new: self.enqueue(new), self.enqueue)
        self.pods.add_handler(
            lambda pod: self._pod_changed(None, pod), self._pod_changed, lambda pod: self._pod_changed(pod, None)
        )
        # At start every object is looked at once: those whose Service went away meanwhile are removed.
        self.endpoints.add_handler(added=self.enqueue, deleted=self.enqueue)

    def _pod_changed(self, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        pod = new or old
        assert pod is not None
        candidates = self.services.by_index("namespace", pod.metadata.namespace)
        if not candidates:
            return
        for service in services.concerned(candidates, old, new):
            key = meta.key_of(service)
            self.enqueue_batched(key, self._sizes.get(key, 0))

    async def reconcile(self, key: str) -> Result:
        service, current = self.services.get(key), self.endpoints.get(key)
        if service is None:
            self._sizes.pop(key, None)
            self._triggers.forget(key)
            await self._remove(current)
            return Done()
        if service.metadata.deletionTimestamp is not None or not services.is_managed(service):
            return Done()
        selector = (service.spec.selector or {}).items()
        namespace = service.metadata.namespace
        pods = [pod for pod in self.pods.by_index("namespace", namespace) if selector <= pod.metadata.labels.items()]
        self._sizes[key] = len(pods)
        instant = self._triggers.note(key, service, pods)
        new = desired(service, pods, current)
        if new is None:
            return Done()
        new.metadata = triggers.stamped(new.metadata, instant)
        try:
            await (self._client.create(new) if current is None else self._client.update(new))
        except errors.Forbidden as error:
            if is_namespace_terminating(error):
                return Done()
            reason = "FailedToCreateEndpoint" if current is None else "FailedToUpdateEndpoint"
            verb = "create" if current is None else "update"
            self.recorder.event(new, "Warning", reason, f"Failed to {verb} endpoint {key}: {error}")
            raise
        except errors.NotFound:
            # Deleted by another meanwhile, which brings us back.
            return Done()
        return Done()

    async def _remove(self, current: core_v1.Endpoints | None) -> None:
        """The Service is gone. Endpoints that nobody's selector made are left to who made them."""
        if current is None or current.metadata.labels.get(MANAGED_BY_LABEL) != MANAGED_BY:
            return
        try:
            await self._client.delete(current.metadata.name, current.metadata.namespace, uid=current.metadata.uid)
        except (errors.NotFound, errors.Conflict):
            return
