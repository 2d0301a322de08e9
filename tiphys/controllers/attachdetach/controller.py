"""Wires the attach/detach controller. Keys are names of volumes."""

from collections import defaultdict
from contextlib import suppress

from tiphys.api import core_v1, storage_v1
from tiphys.client import Done, RequeueAfter, Result
from tiphys.controllers.attachdetach import desired
from tiphys.controllers.base import Context, Controller, either
from tiphys.machinery import codec, errors
from tiphys.machinery.goformat import quote


class AttachDetachController(Controller):
    name = "persistentvolume-attach-detach-controller"
    component = "attachdetach-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        informers = self.informers
        self.pods = informers.of(core_v1.Pod)
        self.claims = informers.of(core_v1.PersistentVolumeClaim)
        self.volumes = informers.of(core_v1.PersistentVolume)
        self.attachments = informers.of(storage_v1.VolumeAttachment)
        self.drivers = informers.of(storage_v1.CSIDriver)
        self.nodes = informers.of(core_v1.Node)
        self._attachment_calls = self.client.of(storage_v1.VolumeAttachment)
        self._node_calls = self.client.of(core_v1.Node)
        self._unused_since: dict[tuple[str, str], float] = {}
        self.pods.add_index("attached-claim", desired.claims_of)
        self.attachments.add_index("volume", _volume_of)
        self.pods.add_handler(self._pod_seen, self._pod_changed, self._pod_seen)
        self.claims.add_handler(self._claim_seen, either(self._claim_seen))
        self.volumes.add_handler(self._volume_seen)
        self.attachments.add_handler(self._attachment_seen, either(self._attachment_seen), self._attachment_seen)
        self.nodes.add_handler(None, self._node_changed)

    def _pod_changed(self, old: core_v1.Pod, new: core_v1.Pod) -> None:
        if desired.claims_of(old) != desired.claims_of(new):
            self._pod_seen(old)
            self._pod_seen(new)

    def _pod_seen(self, pod: core_v1.Pod) -> None:
        for key in desired.claims_of(pod):
            if (claim := self.claims.get(key)) is not None:
                self._claim_seen(claim)

    def _claim_seen(self, claim: core_v1.PersistentVolumeClaim) -> None:
        if claim.spec.volumeName:
            volume = self.volumes.get(claim.spec.volumeName)
            if volume is not None:
                self._volume_seen(volume)

    def _volume_seen(self, volume: core_v1.PersistentVolume) -> None:
        if volume.spec.csi is not None:
            self.enqueue(volume)

    def _attachment_seen(self, found: storage_v1.VolumeAttachment) -> None:
        for name in _volume_of(found):
            self.queue.add(name)

    def _node_changed(self, old: core_v1.Node, new: core_v1.Node) -> None:
        if old.status.volumesInUse != new.status.volumesInUse:
            for found in self.attachments.list():
                if found.spec.nodeName == new.metadata.name:
                    self._attachment_seen(found)

    async def reconcile(self, key: str) -> Result:
        volume = self.volumes.get(key)
        if volume is None or volume.spec.csi is None:
            return Done()
        driver = self.drivers.get(volume.spec.csi.driver)
        if driver is not None and driver.spec.attachRequired is False:
            return Done()
        users, existing = self._users(volume), self.attachments.by_index("volume", key)
        in_use, wait = self._in_use(volume, users, existing)
        changes = desired.plan(volume, users, existing, in_use)
        for node_name, told in changes.refused.items():
            for pod in users[node_name]:
                self.recorder.event(pod, "Warning", "FailedAttachVolume", told)
        await self._note_on_nodes(volume, users, existing)
        for found in changes.detach:
            with suppress(errors.NotFound):
                await self._attachment_calls.delete(found.metadata.name, uid=found.metadata.uid)
        for wanted in changes.attach:
            with suppress(errors.AlreadyExists):
                await self._attachment_calls.create(wanted)
        return RequeueAfter(wait) if wait else Done()

    def _users(self, volume: core_v1.PersistentVolume) -> dict[str, list[core_v1.Pod]]:
        """The Pods that use it, by node."""
        ref = volume.spec.claimRef
        found: defaultdict[str, list[core_v1.Pod]] = defaultdict(list)
        if ref is not None:
            for pod in self.pods.by_index("attached-claim", f"{ref.namespace}/{ref.name}"):
                found[pod.spec.nodeName or ""].append(pod)
        return dict(found)

    def _in_use(
        self,
        volume: core_v1.PersistentVolume,
        users: dict[str, list[core_v1.Pod]],
        existing: list[storage_v1.VolumeAttachment],
    ) -> tuple[set[str], float]:
        """Nodes without users that still have it mounted, and how long to wait until they are no longer believed."""
        now, wait = self.clock.monotonic(), 0.0
        found: set[str] = set()
        for attachment in existing:
            name = attachment.spec.nodeName
            since_key = (volume.metadata.name, name)
            node = self.nodes.get(name)
            mounted = node is not None and desired.unique_name(volume) in (node.status.volumesInUse or ())
            if name in users or not mounted:
                self._unused_since.pop(since_key, None)
                continue
            left = self._unused_since.setdefault(since_key, now) + desired.FORCE_AFTER_SECONDS - now
            if left > 0:
                found.add(name)
                wait = max(wait, left)
        return found, wait

    async def _note_on_nodes(
        self,
        volume: core_v1.PersistentVolume,
        users: dict[str, list[core_v1.Pod]],
        existing: list[storage_v1.VolumeAttachment],
    ) -> None:
        """Kubelets mount what their Node lists; what is to be detached leaves the list first."""
        for attachment in existing:
            node = self.nodes.get(attachment.spec.nodeName)
            attached = attachment.status.attached and attachment.spec.nodeName in users
            listed = desired.volumes_attached(node, volume, bool(attached)) if node is not None else None
            if node is None or listed is None:
                continue
            changed = codec.copy(node)
            changed.status.volumesAttached = listed
            with suppress(errors.NotFound):
                await self._node_calls.update(changed, subresource="status")
            if attached:
                told = f"AttachVolume.Attach succeeded for volume {quote(volume.metadata.name)} "
                for pod in users[attachment.spec.nodeName]:
                    self.recorder.event(pod, "Normal", "SuccessfulAttachVolume", told)


def _volume_of(found: storage_v1.VolumeAttachment) -> tuple[str, ...]:
    name = found.spec.source.persistentVolumeName
    return (name,) if name else ()
