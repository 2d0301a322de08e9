"""Wires the binder of claims and volumes."""

from typing import Any

from tiphys.api import core_v1, storage_v1
from tiphys.client import Done, Result
from tiphys.controllers.base import Context, Controller, either
from tiphys.controllers.persistentvolume import desired
from tiphys.controllers.persistentvolume.desired import Bind, Claim, Emit, Provision, SetClass, SetPhase, Unbind, Volume
from tiphys.machinery import codec, errors, meta, times
from tiphys.resources.storage import volumes as rules

#: Both names are read: provisioners before 1.23 know the first one only.
PROVISIONER_ANNOTATIONS = ("volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner")


class PersistentVolumeController(Controller):
    name = "persistentvolume-binder-controller"
    component = "persistentvolume-controller"
    #: One at a time: two claims must not take the same volume.
    concurrency = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        informers = self.informers
        self.claims = informers.of(core_v1.PersistentVolumeClaim)
        self.volumes = informers.of(core_v1.PersistentVolume)
        self.classes = informers.of(storage_v1.StorageClass)
        self.pods = informers.of(core_v1.Pod)
        self._claim_calls = self.client.of(core_v1.PersistentVolumeClaim)
        self._volume_calls = self.client.of(core_v1.PersistentVolume)
        self.volumes.add_index("class", lambda volume: (rules.class_of(volume),))
        self.claims.add_index("open", _open_class)
        self.pods.add_index("waits-for-claim", _awaited_claims)
        self.claims.add_handler(self.enqueue, either(self.enqueue), self._claim_gone)
        self.volumes.add_handler(self._volume_seen, either(self._volume_seen), self._volume_gone)
        self.classes.add_handler(self._class_seen, either(self._class_seen))
        self.pods.add_handler(self._pod_seen)
        self._facts = desired.Facts(
            find_volume=self.volumes.get,
            volumes_of_class=lambda name: self.volumes.by_index("class", name),
            find_class=self.classes.get,
            default_class=lambda: desired.default_class(self.classes.list()),
            waiting_pods=lambda claim: [p.metadata.name for p in self._waiting(meta.key_of(claim))],
        )

    def _waiting(self, claim: str) -> list[core_v1.Pod]:
        return sorted(self.pods.by_index("waits-for-claim", claim), key=lambda pod: pod.metadata.name)

    def _volume_seen(self, volume: Volume) -> None:
        self.enqueue(volume)
        ref = volume.spec.claimRef
        if ref is not None:
            self.queue.add(f"{ref.namespace}/{ref.name}")
        elif (volume.status.phase or "Available") == "Available":
            self._wake_open(rules.class_of(volume))

    def _volume_gone(self, volume: Volume) -> None:
        if (ref := volume.spec.claimRef) is not None:
            self.queue.add(f"{ref.namespace}/{ref.name}")

    def _claim_gone(self, claim: Claim) -> None:
        if claim.spec.volumeName:
            self.queue.add(claim.spec.volumeName)

    def _class_seen(self, found: storage_v1.StorageClass) -> None:
        self._wake_open(found.metadata.name)
        if found.metadata.annotations.get(desired.IS_DEFAULT_CLASS) == "true":
            self._wake_open("")

    def _wake_open(self, name: str) -> None:
        for claim in self.claims.by_index("open", name):
            self.enqueue(claim)

    def _pod_seen(self, pod: core_v1.Pod) -> None:
        for key in _awaited_claims(pod):
            if self.claims.get(key) is not None:
                self.queue.add(key)

    async def reconcile(self, key: str) -> Result:
        try:
            if "/" in key:
                await self._claim(key)
            else:
                await self._volume(key)
        except errors.NotFound:
            # Gone meanwhile; its deletion brings the key back where that matters.
            return Done()
        return Done()

    async def _claim(self, key: str) -> None:
        claim = self.claims.get(key)
        if claim is None:
            return
        for action in desired.claim_actions(claim, self._facts):
            match action:
                case Bind(volume, _):
                    await self._bind(volume, claim)
                case SetClass(name):
                    changed = codec.copy(claim)
                    changed.spec.storageClassName = name
                    await self._claim_calls.update(changed)
                case Provision(provisioner):
                    await self._ask(claim, provisioner)
                case SetPhase(phase, event):
                    await self._set_claim_phase(claim, phase, event)
                case Emit():
                    self._tell(claim, action)

    async def _volume(self, name: str) -> None:
        volume = self.volumes.get(name)
        if volume is None:
            return
        ref = volume.spec.claimRef
        claim = self.claims.get(f"{ref.namespace}/{ref.name}") if ref is not None else None
        if claim is None and ref is not None and ref.uid:
            claim = await self._fresh_claim(ref)
        for action in desired.volume_actions(volume, claim):
            match action:
                case SetPhase(phase, event, reason, message):
                    if volume.status.phase != phase:
                        await self._set_volume_phase(volume, phase, reason, message)
                        self._tell(volume, event)
                case Unbind():
                    await self._unbind(volume)

    async def _fresh_claim(self, ref: core_v1.ObjectReference) -> Claim | None:
        """Data may be thrown away for a claim that is missing, so the cache alone is not believed."""
        try:
            return await self._claim_calls.get(ref.name or "", ref.namespace or "")
        except errors.NotFound:
            return None

    def _tell(self, obj: Any, event: Emit | None) -> None:
        if event is not None:
            self.recorder.event(obj, event.type, event.reason, event.message)

    async def _ask(self, claim: Claim, provisioner: str) -> None:
        wanted = dict.fromkeys(PROVISIONER_ANNOTATIONS, provisioner)
        if not wanted.items() <= claim.metadata.annotations.items():
            changed = codec.copy(claim)
            changed.metadata.annotations |= wanted
            await self._claim_calls.update(changed)

    async def _bind(self, volume: Volume, claim: Claim) -> None:
        """The four writes, as far as they are missing."""
        volume = await self._refer_to_claim(volume, claim)
        if volume.status.phase != "Bound":
            volume = await self._set_volume_phase(volume, "Bound")
        claim = await self._refer_to_volume(claim, volume)
        status = claim.status
        modes = volume.spec.accessModes
        # A claim that has grown keeps its new capacity.
        if status.phase == "Bound" and (status.accessModes or None) == (modes or None) and status.capacity:
            return
        changed = codec.copy(claim)
        changed.status.phase = "Bound"
        changed.status.accessModes = modes
        changed.status.capacity = {"storage": (volume.spec.capacity or {})["storage"]}
        changed.status.currentVolumeAttributesClassName = volume.spec.volumeAttributesClassName
        await self._claim_calls.update(changed, subresource="status")

    async def _refer_to_claim(self, volume: Volume, claim: Claim) -> Volume:
        ref = volume.spec.claimRef
        if ref is not None and ref.uid == claim.metadata.uid:
            return volume
        changed = codec.copy(volume)
        changed.spec.claimRef = core_v1.ObjectReference(
            apiVersion="v1",
            kind="PersistentVolumeClaim",
            namespace=claim.metadata.namespace,
            name=claim.metadata.name,
            uid=claim.metadata.uid,
            resourceVersion=claim.metadata.resourceVersion,
        )
        if ref is None:
            changed.metadata.annotations[rules.BOUND_BY_CONTROLLER] = "yes"
        return await self._volume_calls.update(changed)

    async def _refer_to_volume(self, claim: Claim, volume: Volume) -> Claim:
        if rules.is_bound(claim):
            return claim
        changed = codec.copy(claim)
        if claim.spec.volumeName != volume.metadata.name:
            changed.spec.volumeName = volume.metadata.name
            changed.metadata.annotations[rules.BOUND_BY_CONTROLLER] = "yes"
        changed.metadata.annotations[rules.BIND_COMPLETED] = "yes"
        return await self._claim_calls.update(changed)

    async def _unbind(self, volume: Volume) -> None:
        changed = codec.copy(volume)
        changed.spec.claimRef = None
        del changed.metadata.annotations[rules.BOUND_BY_CONTROLLER]
        await self._set_volume_phase(await self._volume_calls.update(changed), "Available")

    async def _set_volume_phase(self, volume: Volume, phase: str, reason: str = "", message: str = "") -> Volume:
        changed = codec.copy(volume)
        now = times.format_time(self.clock.now())
        changed.status = core_v1.PersistentVolumeStatus(
            phase=phase, reason=reason or None, message=message or None, lastPhaseTransitionTime=now
        )
        return await self._volume_calls.update(changed, subresource="status")

    async def _set_claim_phase(self, claim: Claim, phase: str, event: Emit | None) -> None:
        if claim.status.phase == phase:
            return
        changed = codec.copy(claim)
        changed.status.phase = phase
        if phase == "Pending":
            changed.status.accessModes = changed.status.capacity = None
        await self._claim_calls.update(changed, subresource="status")
        self._tell(claim, event)


def _open_class(claim: Claim) -> tuple[str, ...]:
    """The class of a claim that waits for a volume."""
    return () if claim.spec.volumeName else (rules.class_of(claim),)


def _awaited_claims(pod: core_v1.Pod) -> tuple[str, ...]:
    """Keys of the claims of a Pod that has no node yet."""
    return () if pod.spec.nodeName else rules.claim_keys(pod)
