"""Wires the controller of generic ephemeral volumes."""

from contextlib import suppress

from tiphys.api import core_v1
from tiphys.client import Done, Result
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.ephemeralvolume import desired
from tiphys.machinery import errors


class Stranger(Exception):
    """The name of a claim that is to be made is taken."""


class EphemeralVolumeController(Controller):
    name = "ephemeral-volume-controller"
    component = "ephemeral_volume"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.pods = self.informers.of(core_v1.Pod)
        self.claims = self.informers.of(core_v1.PersistentVolumeClaim)
        self._calls = self.client.of(core_v1.PersistentVolumeClaim)
        self.pods.add_index("ephemeral-claim", _claim_keys)
        self.pods.add_handler(self._pod_seen)
        self.claims.add_handler(deleted=self._claim_gone)

    def _pod_seen(self, pod: core_v1.Pod) -> None:
        if desired.ephemeral_volumes(pod):
            self.enqueue(pod)

    def _claim_gone(self, claim: core_v1.PersistentVolumeClaim) -> None:
        for pod in self.pods.by_index("ephemeral-claim", f"{claim.metadata.namespace}/{claim.metadata.name}"):
            self.enqueue(pod)

    async def reconcile(self, key: str) -> Result:
        pod = self.pods.get(key)
        for volume in desired.ephemeral_volumes(pod) if pod is not None else ():
            assert pod is not None
            await self._ensure(pod, volume)
        return Done()

    async def _ensure(self, pod: core_v1.Pod, volume: core_v1.Volume) -> None:
        found = self.claims.get(f"{pod.metadata.namespace}/{desired.claim_name(pod, volume)}")
        if found is not None:
            if why := desired.stranger(pod, found):
                raise Stranger(why)
            return
        claim = desired.claim_of(pod, volume)
        if claim is None:
            return
        try:
            with suppress(errors.AlreadyExists):
                await self._calls.create(claim)
        except errors.StatusError as problem:
            self.recorder.event(pod, "Warning", "FailedBinding", f"ephemeral volume {volume.name}: {problem.message}")
            raise


def _claim_keys(pod: core_v1.Pod) -> tuple[str, ...]:
    return tuple(f"{pod.metadata.namespace}/{desired.claim_name(pod, v)}" for v in desired.ephemeral_volumes(pod))
