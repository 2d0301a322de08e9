"""What nobody needs any more: Pods that the API does not know, their directories, images when the disk is full.

Source: Kubernetes docs, "Garbage Collection", "Garbage collection of unused containers and images".
"""

import asyncio
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tiphys.api import core_v1
from tiphys.client import Recorder
from tiphys.kubelet.agent import PodAgent
from tiphys.kubelet.context import Context
from tiphys.kubelet.cri import RuntimeFault
from tiphys.kubelet.facts import PodFact
from tiphys.runtime.cri import api_pb2

logger = logging.getLogger(__name__)

ORPHAN_GRACE_SECONDS = 2


class Collector:
    def __init__(
        self,
        context: Context,
        agents: Mapping[str, PodAgent],
        recorder: Recorder,
        node: core_v1.ObjectReference,
    ) -> None:
        self._context = context
        self._agents = agents
        self._recorder = recorder
        self._node = node
        #: Image id to when it was first seen and when it was last used, in monotonic seconds.
        self._seen: dict[str, tuple[float, float]] = {}

    async def run(self) -> None:
        while True:
            await self._context.clock.sleep(self._context.config.image_gc_seconds)
            try:
                await self.collect_images()
            except (RuntimeFault, OSError) as fault:
                logger.warning("image garbage collection: %s", fault)
                self._recorder.event(self._node, "Warning", "ImageGCFailed", str(fault))

    async def remove_orphans(self, orphans: Sequence[PodFact]) -> list[PodFact]:
        """Those that the runtime did not let go yet."""
        removed = await asyncio.gather(*(self._remove_orphan(facts) for facts in orphans))
        for directory in (self._context.config.root_dir / "pods").iterdir():
            if directory.name not in self._agents:
                await self._context.volumes.tear_down(directory, everything=True)
        known = {self._context.paths(a.pod).log_directory.name for a in self._agents.values()}
        for directory in (self._context.config.log_dir / "pods").iterdir():
            if directory.name not in known:
                await asyncio.to_thread(shutil.rmtree, directory, True)
        return [facts for facts, gone in zip(orphans, removed, strict=True) if not gone]

    async def _remove_orphan(self, facts: PodFact) -> bool:
        cri = self._context.cri
        logger.info("pod %s/%s (%s) is not in the API; it is stopped", facts.namespace, facts.name, facts.uid)
        try:
            running = [c.id for c in facts.containers if c.state == "running"]
            await asyncio.gather(*(cri.stop_container(i, ORPHAN_GRACE_SECONDS) for i in running))
            for sandbox in facts.sandboxes:
                await cri.stop_sandbox(sandbox.id)
                await cri.remove_sandbox(sandbox.id)
        except RuntimeFault as fault:
            logger.warning("removing pod %s: %s", facts.uid, fault)
            return fault.not_found
        return True

    async def collect_images(self) -> None:
        """Remove the images that were used longest ago while the disk is fuller than it should be."""
        config, now = self._context.config, self._context.clock.monotonic()
        images = await self._context.cri.list_images()
        containers = await self._context.cri.list_containers()
        # Which of the three names a container's image by its id depends on the runtime.
        in_use = {name for c in containers for name in (c.image_id, c.image_ref, c.image.image)}
        for image in images:
            first, used = self._seen.get(image.id, (now, now))
            self._seen[image.id] = (first, now if image.id in in_use else used)
        excess = _excess_bytes(config.root_dir, config.image_gc_high_percent, config.image_gc_low_percent)
        if excess <= 0:
            return
        freed = 0
        for image in sorted(images, key=lambda i: self._seen[i.id][1]):
            if freed >= excess:
                return
            if image.pinned or image.id in in_use or now - self._seen[image.id][0] < config.image_min_age_seconds:
                continue
            freed += await self._remove(image)
        if freed < excess:
            text = (
                f"Failed to garbage collect required amount of images. Attempted to free {excess} bytes, "
                f"but only found {freed} bytes eligible to free."
            )
            self._recorder.event(self._node, "Warning", "FreeDiskSpaceFailed", text)

    async def _remove(self, image: api_pb2.Image) -> int:
        try:
            await self._context.cri.remove_image(image.id)
        except RuntimeFault as fault:
            # In use in a way that containers' lists do not tell, such as by a volume.
            logger.info("image %s stays: %s", image.id, fault)
            return 0
        self._seen.pop(image.id, None)
        return int(image.size)


def _excess_bytes(root: Path, high_percent: int, low_percent: int) -> int:
    """How much must go; 0 while the disk is not fuller than ``high_percent``."""
    found = os.statvfs(root)
    total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    if total == 0 or 100 - free * 100 // total < high_percent:
        return 0
    return total * (100 - low_percent) // 100 - free
