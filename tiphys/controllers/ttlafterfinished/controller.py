"""Wires the TTL-after-finished controller."""

from tiphys.api import batch_v1
from tiphys.client import Done, RequeueAfter, Result
from tiphys.controllers.base import Context, Controller, either
from tiphys.controllers.ttlafterfinished.desired import seconds_left
from tiphys.machinery import errors


class TTLAfterFinishedController(Controller):
    name = "ttl-after-finished"
    component = "ttl-after-finished-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.jobs = self.informers.of(batch_v1.Job)
        self._calls = self.client.of(batch_v1.Job)
        self.jobs.add_handler(self._seen, either(self._seen))

    def _seen(self, job: batch_v1.Job) -> None:
        if seconds_left(job, self.clock.now()) is not None:
            self.enqueue(job)

    async def reconcile(self, key: str) -> Result:
        job = self.jobs.get(key)
        left = seconds_left(job, self.clock.now()) if job is not None else None
        if job is None or left is None:
            return Done()
        if left > 0:
            return RequeueAfter(left)
        try:
            # The TTL may have been raised a moment ago: only the server's word counts.
            fresh = await self._calls.get(job.metadata.name, job.metadata.namespace)
            left = seconds_left(fresh, self.clock.now())
            if left is None:
                return Done()
            if left > 0:
                return RequeueAfter(left)
            metadata = fresh.metadata
            await self._calls.delete(
                metadata.name,
                metadata.namespace,
                uid=metadata.uid,
                resource_version=metadata.resourceVersion,
                propagation="Foreground",
            )
        except errors.NotFound:
            return Done()
        return Done()
