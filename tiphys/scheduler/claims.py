"""Claims that waited for their first consumer: have them bound before the Pod gets its node.

A volume that is there already is reserved for the claim; otherwise the claim is
told the node, and a provisioner makes a volume there. Both are finished by others.
Source: Kubernetes docs, "Storage Classes", "Volume binding mode".
"""

import asyncio

from tiphys.api import core_v1
from tiphys.base.clock import Clock
from tiphys.client import Client
from tiphys.resources.storage.volumes import BOUND_BY_CONTROLLER, SELECTED_NODE, is_bound
from tiphys.scheduler.cluster import InformedVolumes
from tiphys.scheduler.hooks import Hook, HookFailed, Wanted
from tiphys.scheduler.plugins.volume_binding import VolumeBinding, claims_of
from tiphys.scheduler.pods import PodInfo

BIND_TIMEOUT_SECONDS = 600.0


class Claims(Hook):
    """Reads the informers' caches; writes what a claim needs to be bound."""

    name = VolumeBinding.name

    def __init__(self, client: Client, clock: Clock, volumes: InformedVolumes) -> None:
        self._client = client
        self._clock = clock
        self._volumes = volumes
        self._plugin = VolumeBinding(volumes)

    def concerns(self, info: PodInfo) -> bool:
        return bool(self.unbound(info))

    def unbound(self, info: PodInfo) -> list[core_v1.PersistentVolumeClaim]:
        """The Pod's claims that are there and wait."""
        if not info.pod.spec.volumes:
            return []
        found = (self._volumes.find_claim(info.namespace, name) for name, _ in claims_of(info))
        return [claim for claim in found if claim is not None and not is_bound(claim)]

    async def pre_bind(self, info: PodInfo, node: core_v1.Node, wanted: Wanted) -> None:
        """Return once all claims are bound, or nobody wants it any more."""
        for claim in self.unbound(info):
            await self._ask(claim, node)
        deadline = self._clock.monotonic() + BIND_TIMEOUT_SECONDS
        while wanted() and self.unbound(info):
            left = deadline - self._clock.monotonic()
            if left <= 0:
                raise HookFailed("binding volumes: context deadline exceeded")
            changed = asyncio.ensure_future(self._volumes.wait_changed())
            timer = asyncio.ensure_future(self._clock.sleep(left))
            try:
                await asyncio.wait((changed, timer), return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
                timer.cancel()

    async def _ask(self, claim: core_v1.PersistentVolumeClaim, node: core_v1.Node) -> None:
        meta = claim.metadata
        volume = self._plugin.find_static(claim, node)
        if volume is None:
            body = {"metadata": {"annotations": {SELECTED_NODE: node.metadata.name}}}
            await self._client.of(core_v1.PersistentVolumeClaim).patch(meta.name, meta.namespace, body, "merge")
            return
        if volume.spec.claimRef is not None:
            return
        ref = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": meta.namespace}
        ref |= {"name": meta.name, "uid": meta.uid, "resourceVersion": meta.resourceVersion}
        change = {
            "metadata": {
                "annotations": {BOUND_BY_CONTROLLER: "yes"},
                "resourceVersion": volume.metadata.resourceVersion,
            },
            "spec": {"claimRef": ref},
        }
        await self._client.of(core_v1.PersistentVolume).patch(volume.metadata.name, "", change, "merge")
