"""What must hold in every cluster at every moment, looked at with each change of a Pod, in the order of changes.

- A Pod has at most one controlling owner, and it never changes to another.
- A Pod's node, once chosen, stays.
- A Pod that has ended (Succeeded or Failed) stays as it ended.
- A Pod that is evicted while Ready has been taken off every disruption budget that is about it, and no budget is
  overdrawn.
- A watch never goes back: no version of an object is older than the one before.
"""

from collections.abc import Iterable

from tiphys.api import core_v1, policy_v1
from tiphys.client import Informers
from tiphys.machinery import codec, meta, selectors
from tiphys.store.interface import Event

PODS = "/registry/pods/"
BUDGETS = "/registry/poddisruptionbudgets.policy/"
ENDED = ("Succeeded", "Failed")


class Invariants:
    """Collects what is broken in ``broken``, a sentence each. ``changed`` is told of every change in the store."""

    def __init__(self, informers: Informers) -> None:
        self.broken: list[str] = []
        self._budgets: dict[str, policy_v1.PodDisruptionBudget] = {}
        informers.of(core_v1.Pod).add_handler(updated=self._watched)

    def changed(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.key.startswith(PODS) and not event.deleted:
                new = codec.decode(core_v1.Pod, event.value)
                old = codec.decode(core_v1.Pod, event.previous.value) if event.previous is not None else None
                self._judge(old, new)
            elif event.key.startswith(BUDGETS):
                self._note(event)

    def _note(self, event: Event) -> None:
        if event.deleted:
            self._budgets.pop(event.key, None)
            return
        budget = self._budgets[event.key] = codec.decode(policy_v1.PodDisruptionBudget, event.value)
        if (budget.status.disruptionsAllowed or 0) < 0:
            self.broken.append(f"disruption budget {meta.key_of(budget)} is overdrawn")

    def _watched(self, old: core_v1.Pod, new: core_v1.Pod) -> None:
        if int(new.metadata.resourceVersion) < int(old.metadata.resourceVersion):
            before, after = old.metadata.resourceVersion, new.metadata.resourceVersion
            self._say(new, f"the watch went back from version {before} to {after}")

    def _judge(self, old: core_v1.Pod | None, new: core_v1.Pod) -> None:
        owners = [owner.name for owner in new.metadata.ownerReferences or () if owner.controller]
        if len(owners) > 1:
            self._say(new, f"has {len(owners)} controllers: {', '.join(owners)}")
        if old is None:
            return
        if old.spec.nodeName and old.spec.nodeName != new.spec.nodeName:
            self._say(new, f"moved from node {old.spec.nodeName} to {new.spec.nodeName}")
        if old.status.phase in ENDED and old.status.phase != new.status.phase:
            self._say(new, f"had ended as {old.status.phase} and is now {new.status.phase}")
        first, second = meta.controller_of(old), meta.controller_of(new)
        if first is not None and second is not None and first.uid != second.uid:
            self._say(new, f"went from {first.kind} {first.name} to {second.kind} {second.name}")
        if _is_evicted(new) and not _is_evicted(old) and _is_ready(old):
            self._judge_eviction(new)

    def _judge_eviction(self, pod: core_v1.Pod) -> None:
        for budget in self._budgets.values():
            if budget.metadata.namespace != pod.metadata.namespace or budget.spec.selector is None:
                continue
            if not selectors.from_label_selector(budget.spec.selector).matches(pod.metadata.labels):
                continue
            if pod.metadata.name not in (budget.status.disruptedPods or {}):
                self._say(pod, f"was evicted past disruption budget {budget.metadata.name}")

    def _say(self, pod: core_v1.Pod, text: str) -> None:
        self.broken.append(f"pod {meta.key_of(pod)} {text}")


def _is_evicted(pod: core_v1.Pod) -> bool:
    """By way of the eviction API, which is what budgets are for."""
    return pod.metadata.deletionTimestamp is not None and any(
        c.type == "DisruptionTarget" and c.status == "True" and c.reason == "EvictionByEvictionAPI"
        for c in pod.status.conditions or ()
    )


def _is_ready(pod: core_v1.Pod) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())
