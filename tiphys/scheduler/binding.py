"""From an assumed placement to a bound Pod, or back.

A placement is assumed at once, so that the next decision sees it. Where nobody
but the API server has a say the binding is one request; otherwise the hooks
that the Pod concerns are asked first, in their order.
"""

import logging
from collections.abc import Callable, Sequence

from tiphys.api import core_v1
from tiphys.base.clock import Clock
from tiphys.machinery import errors
from tiphys.scheduler.events import ClusterEvent, PodGone
from tiphys.scheduler.hooks import Hook, HookFailed, Rejected, Wait
from tiphys.scheduler.metrics import Metrics
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.pods import PodInfo
from tiphys.scheduler.queue import SchedulingQueue
from tiphys.scheduler.waiting import Waiting
from tiphys.scheduler.writes import SCHEDULER_ERROR, Refused, Writes

logger = logging.getLogger(__name__)


class Binder:
    """One per scheduler."""

    def __init__(
        self,
        nodes: NodeTable,
        queue: SchedulingQueue,
        writes: Writes,
        metrics: Metrics,
        clock: Clock,
        happened: Callable[[ClusterEvent], None],
    ) -> None:
        self._nodes = nodes
        self._queue = queue
        self._writes = writes
        self._metrics = metrics
        self._clock = clock
        self._happened = happened
        #: Pods whose binding is under way, by uid: the informer does not show their node yet.
        self.assumed: set[str] = set()
        self.waiting = Waiting(clock)

    def assume(self, info: PodInfo, node_name: str) -> None:
        """Count the Pod on its node."""
        self.assumed.add(info.uid)
        self._nodes.place(info, node_name)

    def forget(self, info: PodInfo) -> None:
        """Count it no longer."""
        self.assumed.discard(info.uid)
        self._nodes.remove(info.uid)
        info.node_name = ""

    def reserve(self, info: PodInfo, node: core_v1.Node, hooks: Sequence[Hook]) -> None:
        """Ask for room and for leave. Raises Rejected, and then nothing is reserved."""
        waits: dict[str, Wait] = {}
        for number, hook in enumerate(hooks):
            try:
                hook.reserve(info, node)
            except Rejected:
                _unreserve(info, node, hooks[:number])
                raise
        try:
            for hook in hooks:
                if (wait := hook.permit(info, node)) is not None:
                    waits[hook.name] = wait
        except Rejected:
            _unreserve(info, node, hooks)
            raise
        if waits:
            self.waiting.add(info, waits)

    def unreserve(self, info: PodInfo, node: core_v1.Node, hooks: Sequence[Hook]) -> None:
        """Take back what ``reserve`` has done."""
        _unreserve(info, node, hooks)

    async def bind(self, info: PodInfo, node_name: str) -> bool:
        """Write the binding; False if it failed and everything is taken back."""
        # The informer may show the bound Pod, which ends its place in the queue, before the answer is here.
        attempts, since = self._queue.timing(info.uid) or (0, self._clock.monotonic())
        try:
            await self._writes.bind(info, node_name)
        except Refused as error:
            await self.fail(info, node_name, f"binding rejected: {error}", error)
            return False
        self._metrics.bound(attempts + 1, self._clock.monotonic() - since)
        self._queue.remove(info.uid)
        return True

    async def bind_with(self, hooks: Sequence[Hook], info: PodInfo, node: core_v1.Node) -> None:
        """Wait, prepare, bind: for Pods whose node has been reserved."""
        name = node.metadata.name
        try:
            if info in self.waiting.pods():
                await self.waiting.outcome(info)
            for hook in hooks:
                if info.uid in self.assumed:
                    await self._prepare(hook, info, node)
        except (*Refused, HookFailed, Rejected) as error:
            _unreserve(info, node, hooks)
            if isinstance(error, Rejected):
                await self.reject(info, error)
            else:
                await self.fail(info, name, str(error), error)
            return
        if info.uid not in self.assumed:
            _unreserve(info, node, hooks)
        elif await self.bind(info, name):
            for hook in hooks:
                await hook.post_bind(info, node)
        else:
            _unreserve(info, node, hooks)

    async def _prepare(self, hook: Hook, info: PodInfo, node: core_v1.Node) -> None:
        try:
            await hook.pre_bind(info, node, lambda: info.uid in self.assumed)
        except (*Refused, HookFailed) as error:
            raise HookFailed(f'running PreBind plugin "{hook.name}": {error}') from error

    async def reject(self, info: PodInfo, rejection: Rejected) -> None:
        """A plugin refused the Pod after its node had been chosen."""
        if info.uid not in self.assumed:
            return
        self.forget(info)
        self._happened(PodGone(info))
        self._queue.refused(info.uid, self._clock.monotonic(), frozenset((rejection.plugin,)))
        await self._writes.tell_refused(info, f"0/1 nodes are available: 1 {rejection}.", "")

    async def fail(self, info: PodInfo, node_name: str, told: str, error: Exception) -> None:
        """The binding failed: the room on the node is free again, and the Pod is tried again after a pause."""
        if info.uid not in self.assumed:
            # Meanwhile bound by someone else, or gone: the informer has told us so.
            return
        self.forget(info)
        self._happened(PodGone(info))
        if isinstance(error, errors.NotFound):
            self._queue.remove(info.uid)
            return
        logger.warning("binding %s to %s failed: %s", info.key, node_name, error)
        self._queue.failed(info.uid, self._clock.monotonic())
        await self._writes.tell_refused(info, told, "", SCHEDULER_ERROR)


def _unreserve(info: PodInfo, node: core_v1.Node, hooks: Sequence[Hook]) -> None:
    for hook in reversed(hooks):
        hook.unreserve(info, node)
