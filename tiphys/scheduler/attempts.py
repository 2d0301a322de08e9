"""One attempt to schedule a Pod, or all the Pods of a gang: decide, then start to write what was decided."""

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.base.clock import Clock
from tiphys.client.tasks import Tasks
from tiphys.scheduler import gangs as words
from tiphys.scheduler.binding import Binder
from tiphys.scheduler.classes import Classes
from tiphys.scheduler.cycle import Placement, Refusal, decide, decide_nominated
from tiphys.scheduler.deviceclaims import DeviceClaims
from tiphys.scheduler.extended import decide_extended
from tiphys.scheduler.extenders import Extender, ExtenderError
from tiphys.scheduler.functions import PluginFailed
from tiphys.scheduler.gangs import Gang, Gangs
from tiphys.scheduler.hooks import Hook, Rejected
from tiphys.scheduler.metrics import Metrics
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.pods import PodInfo
from tiphys.scheduler.preemption import Budgets, Eviction
from tiphys.scheduler.profiles import Profile
from tiphys.scheduler.queue import SchedulingQueue
from tiphys.scheduler.slots import Slots
from tiphys.scheduler.writes import SCHEDULER_ERROR, Refused, Writes

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Try:
    """What was decided for one Pod of a gang."""

    info: PodInfo
    decision: Placement | Refusal
    #: Whose say the Pod concerns, once they have reserved.
    hooks: list[Hook] | None = None


@dataclass(frozen=True, slots=True)
class Attempts:
    """One per scheduler. ``retry_all`` has every refused Pod tried again."""

    nodes: NodeTable
    queue: SchedulingQueue
    profiles: Mapping[str, Profile]
    classes: Mapping[str, Classes]
    hooks: Mapping[str, Sequence[Hook]]
    binder: Binder
    writes: Writes
    metrics: Metrics
    budgets: Budgets
    device_claims: DeviceClaims
    gangs: Gangs
    #: Bindings that may be under way at once; whoever calls has acquired one.
    bindings: Slots
    tasks: Tasks
    clock: Clock
    retry_all: Callable[[], None]

    def attempt(self, info: PodInfo) -> None:
        """Decide for a Pod in flight, and for those that are scheduled with it."""
        try:
            gang = self.gangs.find(info.pod)
            if gang is None:
                self._follow(info, self._decide(info))
            else:
                self._schedule_gang(info, gang)
        except PluginFailed as error:
            self._give_up(info, error)
        except Exception as error:
            # Whatever is odd about one Pod, the others go on.
            logger.exception("scheduling %s failed", info.key)
            self._give_up(info, error)

    def _give_up(self, info: PodInfo, error: Exception) -> None:
        """No decision could be made: try again after a pause."""
        profile = self.profiles[info.pod.spec.schedulerName or ""]
        self.metrics.attempted(profile.name, "error", 0.0)
        if info.uid in self.binder.assumed:
            self.binder.forget(info)
        # Whoever raised has left columns half done.
        self.classes[profile.name].clear()
        self.queue.failed(info.uid, self.clock.monotonic())
        self._start(self.writes.tell_refused(info, str(error), "", SCHEDULER_ERROR), info)

    async def attempt_extended(self, info: PodInfo, extenders: Sequence[Extender]) -> None:
        """The same for a Pod that concerns extenders; the next decision waits for their answers."""
        profile = self.profiles[info.pod.spec.schedulerName or ""]
        began = self.clock.monotonic()
        info.nominated_node = self.nodes.withdraw(info.uid)
        pod_class = self.classes[profile.name].of(info)
        try:
            decision = await decide_extended(info, pod_class, self.nodes, self.budgets, profile.preempts, extenders)
        except (ExtenderError, PluginFailed) as error:
            self._give_up(info, error)
            return
        self._counted(profile, decision, began)
        self._follow(info, decision)

    def _follow(self, info: PodInfo, decision: Placement | Refusal) -> None:
        match decision:
            case Placement(node_name):
                try:
                    hooks = self._take(info, node_name)
                except Rejected as rejection:
                    self._start(self.binder.reject(info, rejection), info)
                    return
                self._carry_out(info, node_name, hooks)
            case Refusal():
                self._refuse(info, decision)

    def _decide(self, info: PodInfo) -> Placement | Refusal:
        began = self.clock.monotonic()
        profile = self.profiles[info.pod.spec.schedulerName or ""]
        # The place kept for a Pod is not in its own way.
        info.nominated_node = self.nodes.withdraw(info.uid)
        pod_class = self.classes[profile.name].of(info)
        decision: Placement | Refusal | None = None
        if info.nominated_node:
            decision = decide_nominated(info, pod_class, self.nodes, info.nominated_node)
        if decision is None:
            decision = decide(info, pod_class, self.nodes, self.budgets, profile.preempts)
        self._counted(profile, decision, began)
        return decision

    def _counted(self, profile: Profile, decision: Placement | Refusal, began: float) -> None:
        result = "scheduled" if isinstance(decision, Placement) else "unschedulable"
        self.metrics.attempted(profile.name, result, self.clock.monotonic() - began)

    def _take(self, info: PodInfo, node_name: str) -> list[Hook]:
        """Assume a placement and reserve what it needs. Raises Rejected; the placement stays assumed all the same."""
        self.binder.assume(info, node_name)
        hooks = [hook for hook in self.hooks[info.pod.spec.schedulerName or ""] if hook.concerns(info)]
        if hooks:
            self.binder.reserve(info, self.nodes.node(node_name), hooks)
        return hooks

    def _carry_out(self, info: PodInfo, node_name: str, hooks: Sequence[Hook]) -> None:
        """Have a placement bound that was taken."""
        if not hooks:
            self._start(self.binder.bind(info, node_name), info)
            return
        # It may take minutes: others must not wait for it.
        self.bindings.release()
        work = self.binder.bind_with(hooks, info, self.nodes.node(node_name))
        self.tasks.start(work, name=f"bind {info.key}")

    def _refuse(self, info: PodInfo, refusal: Refusal) -> None:
        self.queue.refused(info.uid, self.clock.monotonic(), refusal.plugins)
        self._start(self._follow_refusal(info, refusal), info)

    def _start(self, work: Coroutine[Any, Any, Any], info: PodInfo) -> None:
        task = self.tasks.start(work, name=f"schedule {info.key}")
        task.add_done_callback(lambda _: self.bindings.release())

    def _follow_refusal(self, info: PodInfo, refusal: Refusal) -> Coroutine[Any, Any, None]:
        eviction = refusal.eviction
        if eviction is not None:
            outvoted = self._nominate(info, eviction)
            return self._evict(info, refusal.message, eviction, outvoted)
        if refusal.keeps_nomination and info.nominated_node:
            self.nodes.nominate(info, info.nominated_node)
            return self.writes.tell_refused(info, refusal.message, None)
        info.nominated_node = ""
        if "DynamicResources" in refusal.plugins:
            return self._free_claims(info, refusal.message)
        return self.writes.tell_refused(info, refusal.message, "")

    async def _free_claims(self, info: PodInfo, message: str) -> None:
        await self.writes.tell_refused(info, message, "")
        try:
            await self.device_claims.free(info)
        except Refused as error:
            logger.info("claims of %s not deallocated: %s", info.key, error)

    def _nominate(self, info: PodInfo, eviction: Eviction) -> list[PodInfo]:
        """Keep the node for the Pod; returns less important ones that it was kept for before."""
        name = eviction.node_name
        outvoted = [o for o in self.nodes.nominated.get(name, {}).values() if o.priority < info.priority]
        for other in outvoted:
            self.nodes.withdraw(other.uid)
            other.nominated_node = ""
        info.nominated_node = name
        self.nodes.nominate(info, name)
        return outvoted

    async def _evict(self, info: PodInfo, message: str, eviction: Eviction, outvoted: list[PodInfo]) -> None:
        self.metrics.preempted(len(eviction.victims))
        await self.writes.tell_refused(info, message, eviction.node_name)
        for other in outvoted:
            await self.writes.clear_nomination(other)
        try:
            await self.writes.evict(info, eviction)
        except Refused as error:
            logger.warning("making room for %s failed: %s", info.key, error)
            self.nodes.withdraw(info.uid)
            self.retry_all()
            return
        if outvoted:
            self.retry_all()

    # Gangs

    def _schedule_gang(self, first: PodInfo, gang: Gang) -> None:
        """All Pods of the gang that wait, in the order of their priority and age."""
        uids = self.gangs.members(first.pod)
        others = [info for uid in uids if (info := self.queue.take(uid)) is not None]
        members = sorted((first, *others), key=lambda info: (-info.priority, self.queue.order(info.uid)))
        # One binding was acquired for all: each gives back one when it is done.
        self.bindings.take(len(others))
        victims: list[PodInfo] = []
        tries = [self._try(info, victims) for info in members]
        placed = sum(self.nodes.find_placed(uid) is not None for uid in uids)
        waits = any(isinstance(t.decision, Refusal) and t.decision.eviction for t in tries)
        if placed >= gang.least and not waits:
            self._settle(tries)
            self.tasks.start(self.gangs.tell(gang, "Scheduled", ""), name="pod group")
            return
        self._revert(tries, victims)
        self._refuse_gang(tries, feasible=placed >= gang.least)
        told = words.PREEMPTING if placed >= gang.least else words.UNSCHEDULABLE
        self.tasks.start(self.gangs.tell(gang, "Unschedulable", told), name="pod group")

    def _try(self, info: PodInfo, victims: list[PodInfo]) -> _Try:
        """Decide for one, and let the next ones see it in its place, those that it evicts being gone."""
        try:
            decision = self._decide(info)
        except PluginFailed as error:
            self.classes[info.pod.spec.schedulerName or ""].clear()
            return _Try(info, Refusal(str(error)))
        if isinstance(decision, Placement):
            try:
                return _Try(info, decision, self._take(info, decision.node_name))
            except Rejected as rejection:
                self.binder.forget(info)
                plugins = frozenset((rejection.plugin,))
                return _Try(info, Refusal(f"0/1 nodes are available: 1 {rejection}.", plugins))
        if decision.eviction is not None:
            victims += (v for v in decision.eviction.victims if self.nodes.remove(v.uid) is not None)
            self.binder.assume(info, decision.eviction.node_name)
        return _Try(info, decision)

    def _settle(self, tries: Sequence[_Try]) -> None:
        """The gang has enough places: each goes its own way."""
        for each in tries:
            match each.decision:
                case Placement(node_name):
                    self._carry_out(each.info, node_name, each.hooks or ())
                case Refusal() as refusal:
                    self._refuse(each.info, refusal)

    def _revert(self, tries: Sequence[_Try], victims: Sequence[PodInfo]) -> None:
        for each in reversed(tries):
            if each.hooks:
                self.binder.unreserve(each.info, self.nodes.node(each.info.node_name), each.hooks)
            if each.info.uid in self.binder.assumed:
                self.binder.forget(each.info)
        for victim in victims:
            self.nodes.place(victim, victim.node_name)

    def _refuse_gang(self, tries: Sequence[_Try], feasible: bool) -> None:
        """``feasible``: as soon as the victims have gone."""
        refused = [each.decision for each in tries if isinstance(each.decision, Refusal)]
        plugins = frozenset(name for refusal in refused for name in refusal.plugins)
        for each in tries:
            decision = each.decision
            if isinstance(decision, Refusal) and (feasible or decision.eviction is None):
                self._refuse(each.info, decision)
            elif isinstance(decision, Placement) and feasible:
                each.info.nominated_node = decision.node_name
                self.nodes.nominate(each.info, decision.node_name)
                self.queue.refused(each.info.uid, self.clock.monotonic(), plugins)
                self._start(self.writes.tell_refused(each.info, words.PREEMPTING, decision.node_name), each.info)
            else:
                self._refuse(each.info, Refusal(words.TOO_FEW, plugins))
