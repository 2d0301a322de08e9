"""Pods created and deleted in an owner's name: the calls, the Events about them, and nothing decided.

What is asked for has been noted in ``Expectations`` by the caller; what then
fails, and will never be seen, is taken off again here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from tiphys.api import core_v1
from tiphys.client import Client, Expectations, Recorder
from tiphys.controllers.terminating import is_namespace_terminating
from tiphys.machinery import errors

#: Creations begin with one and double as long as all succeed, up to this many at a time: what
#: cannot succeed (a quota, a webhook) is not asked for a thousand times.
LARGEST_BATCH = 500


class PodControl:
    """One per controller; ``recorder`` speaks as the controller."""

    def __init__(self, client: Client, recorder: Recorder, expectations: Expectations) -> None:
        self._client = client
        self._pods = client.of(core_v1.Pod)
        self._recorder = recorder
        self._expectations = expectations

    async def create(self, owner: Any, key: str, bodies: Sequence[bytes]) -> tuple[int, Exception | None]:
        """Create all, as long as it goes well; returns how many there are now, and the first error.

        That the namespace goes away is no error: nothing is needed there any more.
        """
        path = self._pods.path(owner.metadata.namespace)
        rest = iter(bodies)
        created = 0

        async def create_one() -> None:
            nonlocal created
            try:
                answer = await self._client.request("POST", path, body=next(rest))
            except (errors.StatusError, ConnectionError):
                self._expectations.creation_seen(key)
                raise
            created += 1
            name = _created.decode(answer).metadata.name
            self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {name}")

        started, error = await slow_start(len(bodies), create_one)
        # What was not begun will not be seen.
        self._expectations.creation_seen(key, len(bodies) - started)
        if error is None or is_namespace_terminating(error):
            return created, None
        self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
        return created, error

    async def delete(
        self, owner: Any, key: str, pods: Sequence[core_v1.Pod]
    ) -> tuple[list[core_v1.Pod], Exception | None]:
        """Delete all; returns those that are gone or going, and the first error."""

        async def delete_one(pod: core_v1.Pod) -> None:
            try:
                await self._pods.delete(pod.metadata.name, pod.metadata.namespace, uid=pod.metadata.uid)
            except (errors.NotFound, errors.Conflict):
                # Gone already, or another of that name is there.
                self._expectations.deletion_seen(key, pod.metadata.uid)
                return
            except (errors.StatusError, ConnectionError) as error:
                self._expectations.deletion_seen(key, pod.metadata.uid)
                self._recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
                raise
            self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")

        results = await asyncio.gather(*map(delete_one, pods), return_exceptions=True)
        gone = [pod for pod, result in zip(pods, results, strict=True) if result is None]
        return gone, first_error(results)


async def slow_start(count: int, call: Callable[[], Awaitable[None]]) -> tuple[int, Exception | None]:
    """Call ``count`` times, in batches of 1, 2, 4, … at once; returns how many were begun, and the first error.

    The batch in which something fails is the last.
    """
    started, batch = 0, 1
    while started < count:
        size = min(batch, count - started)
        started += size
        error = first_error(await asyncio.gather(*(call() for _ in range(size)), return_exceptions=True))
        if error is not None:
            return started, error
        batch = min(batch * 2, LARGEST_BATCH)
    return started, None


def first_error(results: Sequence[object]) -> Exception | None:
    """The first refusal among what ``gather`` returned; anything but a refusal is a fault of ours and raised."""
    for result in results:
        if isinstance(result, Exception):
            if not isinstance(result, errors.StatusError | ConnectionError):
                raise result
            return result
    return None


class _CreatedMeta(msgspec.Struct):
    name: str = ""


class _Created(msgspec.Struct):
    metadata: _CreatedMeta = msgspec.field(default_factory=_CreatedMeta)


_created = msgspec.json.Decoder(_Created)
