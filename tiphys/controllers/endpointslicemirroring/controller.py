"""Wires the mirroring controller."""

from tiphys.api import core_v1, discovery_v1
from tiphys.client import Done, RequeueAfter, Result
from tiphys.controllers.base import Context, Controller, either
from tiphys.controllers.endpointslice.packing import MANAGED_BY_LABEL, SERVICE_LABEL, Plan, plan
from tiphys.controllers.endpointslice.writer import STALE_SECONDS, SliceWriter
from tiphys.controllers.endpointslicemirroring import desired
from tiphys.controllers.terminating import is_namespace_terminating
from tiphys.machinery import errors, meta


class EndpointSliceMirroringController(Controller):
    name = "endpointslicemirroring"
    component = "endpoint-slice-mirroring-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.endpoints = self.informers.of(core_v1.Endpoints)
        self.services = self.informers.of(core_v1.Service)
        self.slices = self.informers.of(discovery_v1.EndpointSlice)
        self._writer = SliceWriter(self.client, self.slices)
        self.slices.add_index("mirror", _mirror_of)
        self.endpoints.add_handler(self.enqueue, either(self.enqueue), self.enqueue)
        self.services.add_handler(self.enqueue, self._service_changed, self.enqueue)
        self.slices.add_handler(None, either(self._slice_changed), self._slice_gone)

    def _service_changed(self, old: core_v1.Service, new: core_v1.Service) -> None:
        if bool(old.spec.selector) != bool(new.spec.selector):
            self.enqueue(new)

    def _slice_changed(self, found: discovery_v1.EndpointSlice) -> None:
        for key in _mirror_of(found):
            if self._writer.is_news(key, found):
                self.queue.add(key)

    def _slice_gone(self, found: discovery_v1.EndpointSlice) -> None:
        for key in _mirror_of(found):
            self.queue.add(key)

    async def reconcile(self, key: str) -> Result:
        endpoints, existing = self.endpoints.get(key), self.slices.by_index("mirror", key)
        if not desired.is_mirrored(endpoints, self.services.get(key)):
            await self._writer.apply(key, Plan(delete=list(existing)))
            self._writer.forget(key)
            return Done()
        assert endpoints is not None
        if not self._writer.is_seen(key):
            return RequeueAfter(STALE_SECONDS)
        found = desired.mirrored(endpoints)
        changes = plan(desired.owner_of(endpoints), existing, found.groups)
        if not changes.empty:
            self._tell_what_is_missing(endpoints, found)
            await self._apply(key, endpoints, changes)
        return Done()

    def _tell_what_is_missing(self, endpoints: core_v1.Endpoints, found: desired.Mirrored) -> None:
        if found.invalid:
            told = f"Skipped {found.invalid} invalid IP addresses when mirroring to EndpointSlices"
            self.recorder.event(endpoints, "Warning", "InvalidAddressesToMirror", told)
        if found.too_many:
            told = (
                f"A max of {desired.SUBSET_ADDRESSES_MAX} addresses can be mirrored to EndpointSlices per Endpoints "
                f"subset. {found.too_many} addresses were skipped"
            )
            self.recorder.event(endpoints, "Warning", "TooManyAddressesToMirror", told)

    async def _apply(self, key: str, endpoints: core_v1.Endpoints, changes: Plan) -> None:
        try:
            await self._writer.apply(key, changes)
        except errors.Conflict:
            raise
        except errors.StatusError as problem:
            if is_namespace_terminating(problem):
                return
            told = f"Error updating mirrored Endpoint Slices for Endpoints {meta.key_of(endpoints)}: {problem}"
            self.recorder.event(endpoints, "Warning", "FailedToUpdateEndpointSlices", told)
            raise


def _mirror_of(found: discovery_v1.EndpointSlice) -> tuple[str, ...]:
    labels = found.metadata.labels
    if labels.get(MANAGED_BY_LABEL) != desired.MANAGED_BY or SERVICE_LABEL not in labels:
        return ()
    return (f"{found.metadata.namespace}/{labels[SERVICE_LABEL]}",)
