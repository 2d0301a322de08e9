"""Writes a Pod's status to the API: the latest one, as a patch of what differs, one write at a time."""

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Any

from tiphys.api import core_v1
from tiphys.client import TransportError
from tiphys.kubelet import statuspatch
from tiphys.kubelet.context import Context
from tiphys.machinery import codec, errors

logger = logging.getLogger(__name__)

RETRY_SECONDS_MIN = 0.2
RETRY_SECONDS_MAX = 10.0


class StatusWriter:
    """``write`` returns at once; of several statuses that come while one is written, the last is written."""

    def __init__(self, context: Context, pod: core_v1.Pod) -> None:
        self._context = context
        self._pods = context.client.of(core_v1.Pod)
        self._namespace = pod.metadata.namespace
        self._name = pod.metadata.name
        self._uid = pod.metadata.uid
        self._written: dict[str, Any] = codec.to_builtins(pod.status)
        self._pending: core_v1.PodStatus | None = None
        self._task: asyncio.Task[None] | None = None

    def write(self, status: core_v1.PodStatus) -> None:
        self._pending = status
        if self._task is None:
            name = f"status {self._namespace}/{self._name}"
            self._task = self._context.tasks.start(self._write_pending(), name=name)

    async def finish(self, status: core_v1.PodStatus) -> None:
        """Write this last status, then delete the Pod; returns once the API has neither it nor another of its uid."""
        self.write(status)
        if self._task is not None:
            await asyncio.wait((self._task,))
        wait = RETRY_SECONDS_MIN
        while True:
            try:
                await self._pods.delete(self._name, self._namespace, uid=self._uid, grace_period_seconds=0)
                return
            except (errors.NotFound, errors.Conflict):
                return
            except (errors.StatusError, TransportError) as error:
                logger.info("delete of pod %s/%s: %s", self._namespace, self._name, error)
            await self._context.clock.sleep(wait)
            wait = min(wait * 2, RETRY_SECONDS_MAX)

    async def _write_pending(self) -> None:
        wait = RETRY_SECONDS_MIN
        try:
            while self._pending is not None:
                status, self._pending = self._pending, None
                new: dict[str, Any] = codec.to_builtins(status)
                body = statuspatch.patch(self._uid, self._written, new)
                if body is None:
                    continue
                try:
                    await self._pods.patch(self._name, self._namespace, body, "strategic", subresource="status")
                    self._written = new
                    wait = RETRY_SECONDS_MIN
                except (errors.NotFound, errors.Conflict):
                    # Gone, or another Pod of that name: the watch will say so.
                    return
                except (errors.StatusError, TransportError) as error:
                    logger.info("status of pod %s/%s: %s", self._namespace, self._name, error)
                    self._pending = self._pending or status
                    await self._context.clock.sleep(wait)
                    wait = min(wait * 2, RETRY_SECONDS_MAX)
        finally:
            self._task = None


def remove_tree(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
