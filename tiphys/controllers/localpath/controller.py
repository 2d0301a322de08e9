"""Wires the local-path provisioner."""

from contextlib import suppress

from tiphys.api import core_v1, storage_v1
from tiphys.client import Done, Result
from tiphys.client.workers import TerminalError
from tiphys.controllers.base import Context, Controller, either
from tiphys.controllers.localpath import desired
from tiphys.machinery import codec, errors, meta
from tiphys.machinery.goformat import quote
from tiphys.resources.storage import local_path
from tiphys.resources.storage import volumes as rules


class LocalPathController(Controller):
    name = "local-path-provisioner"
    component = local_path.PROVISIONER

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.claims = self.informers.of(core_v1.PersistentVolumeClaim)
        self.volumes = self.informers.of(core_v1.PersistentVolume)
        self.classes = self.informers.of(storage_v1.StorageClass)
        self.nodes = self.informers.of(core_v1.Node)
        self.pods = self.informers.of(core_v1.Pod)
        self._volume_calls = self.client.of(core_v1.PersistentVolume)
        self._node_calls = self.client.of(core_v1.Node)
        self._pod_calls = self.client.of(core_v1.Pod)
        self.volumes.add_index("local-path-node", lambda found: (found.metadata.annotations.get(local_path.NODE, ""),))
        self.claims.add_handler(self._claim_seen, either(self._claim_seen))
        self.volumes.add_handler(self._volume_seen, either(self._volume_seen))
        self.nodes.add_handler(deleted=self._node_gone)
        self.pods.add_handler(None, either(self._pod_seen), self._pod_seen)

    def _claim_seen(self, claim: core_v1.PersistentVolumeClaim) -> None:
        if desired.wants_volume(claim):
            self.enqueue(claim)

    def _volume_seen(self, volume: core_v1.PersistentVolume) -> None:
        if desired.is_left_behind(volume) or desired.is_to_be_cleaned(volume):
            self.enqueue(volume)

    def _node_gone(self, node: core_v1.Node) -> None:
        for volume in self.volumes.by_index("local-path-node", node.metadata.name):
            self._volume_seen(volume)

    def _pod_seen(self, pod: core_v1.Pod) -> None:
        if name := pod.metadata.annotations.get(local_path.VOLUME):
            self.queue.add(name)

    async def reconcile(self, key: str) -> Result:
        with suppress(errors.NotFound):
            if "/" in key:
                await self._provision(key)
            else:
                await self._reclaim(key)
        return Done()

    async def _provision(self, key: str) -> None:
        claim = self.claims.get(key)
        if claim is None or not desired.wants_volume(claim):
            return
        name = claim.metadata.annotations.get(rules.SELECTED_NODE)
        storage_class = self.classes.get(rules.class_of(claim))
        node = self.nodes.get(name) if name else min(self.nodes.list(), key=meta.key_of, default=None)
        if storage_class is None or node is None:
            # The scheduler chooses again when the node has gone; the binder says that the class is missing.
            return
        said = f"External provisioner is provisioning volume for claim {quote(key)}"
        self.recorder.event(claim, "Normal", "Provisioning", said)
        try:
            volume = desired.volume_of(claim, storage_class, node, self.config.local_path_directory)
        except desired.CannotProvision as problem:
            why = f"failed to provision volume with StorageClass {quote(storage_class.metadata.name)}: {problem}"
            self.recorder.event(claim, "Warning", "ProvisioningFailed", why)
            raise TerminalError(why) from problem
        with suppress(errors.AlreadyExists):
            await self._volume_calls.create(volume)
        done = f"Successfully provisioned volume {volume.metadata.name}"
        self.recorder.event(claim, "Normal", "ProvisioningSucceeded", done)

    async def _reclaim(self, name: str) -> None:
        volume = self.volumes.get(name)
        if volume is None:
            return
        if desired.is_left_behind(volume):
            metadata = volume.metadata
            await self._volume_calls.delete(name, uid=metadata.uid, resource_version=metadata.resourceVersion)
        elif desired.is_to_be_cleaned(volume) and await self._is_clean(volume):
            changed = codec.copy(volume)
            changed.metadata.finalizers.remove(local_path.FINALIZER)
            await self._volume_calls.update(changed)

    async def _is_clean(self, volume: core_v1.PersistentVolume) -> bool:
        """Whether the directory has gone, or its node; otherwise the Pod that removes it is on its way."""
        cleaner = self.pods.get(f"{desired.CLEANER_NAMESPACE}/{desired.cleaner_name(volume)}")
        if cleaner is not None and cleaner.status.phase == "Succeeded":
            return True
        node_name = volume.metadata.annotations[local_path.NODE]
        if self.nodes.get(node_name) is None:
            try:
                await self._node_calls.get(node_name)
            except errors.NotFound:
                return True
        if cleaner is None:
            # The Pod goes with its volume, and what the cache still shows may have gone with it.
            await self._volume_calls.get(volume.metadata.name)
            with suppress(errors.AlreadyExists):
                await self._pod_calls.create(desired.cleaner_of(volume, self.config.local_path_image))
        return False
