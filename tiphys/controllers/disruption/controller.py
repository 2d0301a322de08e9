"""Wires the disruption controller: events to keys, counts to status."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tiphys.api import apps_v1, core_v1, meta_v1, policy_v1
from tiphys.client import Done, Informer, RequeueAfter, Result
from tiphys.controllers import pods as podfacts
from tiphys.controllers.base import Context, Controller, either
from tiphys.controllers.disruption import desired
from tiphys.controllers.replicationcontroller.conversion import as_set
from tiphys.machinery import errors, meta

Budget = policy_v1.PodDisruptionBudget

UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of "
    "the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please "
    'set ".spec.minAvailable" field of the PDB to an integer value.'
)


class DisruptionController(Controller):
    name = "disruption"
    component = "controllermanager"
    concurrency = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.budgets = self.informers.of(Budget)
        self.pods = self.informers.of(core_v1.Pod)
        self._owners: dict[str, Informer[Any]] = {
            "Deployment": self.informers.of(apps_v1.Deployment),
            "ReplicaSet": self.informers.of(apps_v1.ReplicaSet),
            "StatefulSet": self.informers.of(apps_v1.StatefulSet),
            "ReplicationController": self.informers.of(core_v1.ReplicationController, transform=as_set),
        }
        self._calls = self.client.of(Budget)
        self.budgets.add_index("namespace", lambda budget: (budget.metadata.namespace,))
        self.pods.add_index("namespace", lambda pod: (pod.metadata.namespace,))
        self.budgets.add_handler(self.enqueue, either(self.enqueue))
        self.pods.add_handler(self._pod_seen, self._pod_updated, self._pod_seen)
        for informer in self._owners.values():
            informer.add_handler(updated=self._owner_updated)

    # Events

    def _pod_seen(self, pod: core_v1.Pod) -> None:
        budgets = self.budgets.by_index("namespace", pod.metadata.namespace)
        for budget in budgets:
            if desired.selects(budget, pod):
                self.enqueue_batched(meta.key_of(budget), budget.status.expectedPods or 0)

    def _pod_updated(self, old: core_v1.Pod, new: core_v1.Pod) -> None:
        if old.metadata.labels != new.metadata.labels:
            self._pod_seen(old)
            self._pod_seen(new)
        elif _facts(old) != _facts(new):
            self._pod_seen(new)

    def _owner_updated(self, old: Any, new: Any) -> None:
        if old.spec.replicas == new.spec.replicas:
            return
        template: core_v1.PodTemplateSpec = new.spec.template
        member = core_v1.Pod(metadata=meta_v1.ObjectMeta(namespace=new.metadata.namespace))
        member.metadata.labels = template.metadata.labels
        self._pod_seen(member)

    # Reconciling

    async def reconcile(self, key: str) -> Result:
        budget = self.budgets.get(key)
        if budget is None:
            return Done()
        pods = [pod for pod in self._neighbours(budget) if desired.selects(budget, pod)]
        if not pods:
            self.recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        now = self.clock.now()
        going = desired.disrupted(budget, pods, now)
        try:
            scale = await self._scale(budget, pods) if desired.needs_scale(budget) else 0
            new = desired.status(budget, pods, scale, going, now)
        except (LookupError, ValueError) as error:
            why = str(error.args[0])
            text = f"Failed to calculate the number of expected pods: {why}"
            self.recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            await self._write(budget, desired.failed(budget, why, now))
            # The owner may come: it is no event of ours if it is of a kind that we do not watch.
            return RequeueAfter(desired.DELETION_SECONDS)
        for pod in going.overdue:
            where = f"{budget.metadata.namespace}/{budget.metadata.name}"
            text = f"Pod was expected by PDB {where} to be deleted but it wasn't"
            self.recorder.event(pod, "Warning", "NotDeleted", text)
        await self._write(budget, new)
        return RequeueAfter(going.wait + 1) if going.wait is not None else Done()

    def _neighbours(self, budget: Budget) -> Sequence[core_v1.Pod]:
        return self.pods.by_index("namespace", budget.metadata.namespace)

    async def _scale(self, budget: Budget, pods: Sequence[core_v1.Pod]) -> int:
        """The size that the Pods' controllers want, together. Raises LookupError with a sentence."""
        sizes: dict[str, int] = {}
        unmanaged = False
        for pod in pods:
            owner = meta.controller_of(pod)
            if owner is None:
                unmanaged = True
            elif owner.uid not in sizes:
                uid, size = self._size_of(pod, owner)
                sizes[owner.uid] = 0
                sizes[uid] = size
        if unmanaged:
            text = UNMANAGED.format(desired.selector_of(budget))
            self.recorder.event(budget, "Warning", "UnmanagedPods", text)
        return sum(sizes.values())

    def _size_of(self, pod: core_v1.Pod, owner: meta_v1.OwnerReference) -> tuple[str, int]:
        """Uid and size of the controller that says how many Pods there are: a Deployment rather than its sets."""
        namespace = pod.metadata.namespace
        found = self._find(namespace, owner)
        above = meta.controller_of(found) if found is not None else None
        if above is not None and above.kind == "Deployment":
            found = self._find(namespace, above)
        if found is None:
            raise LookupError(f'found no controllers for pod "{pod.metadata.name}"')
        return found.metadata.uid, 1 if found.spec.replicas is None else found.spec.replicas

    def _find(self, namespace: str, owner: meta_v1.OwnerReference) -> Any | None:
        informer = self._owners.get(owner.kind)
        found = informer.get(f"{namespace}/{owner.name}") if informer is not None else None
        return found if found is not None and found.metadata.uid == owner.uid else None

    async def _write(self, budget: Budget, status: policy_v1.PodDisruptionBudgetStatus) -> None:
        if status == budget.status:
            return
        try:
            # With its version: an eviction that was granted meanwhile must not be forgotten.
            await self._calls.update_status(msgspec.structs.replace(budget, status=status))
        except errors.NotFound:
            return


def _facts(pod: core_v1.Pod) -> tuple[object, ...]:
    return podfacts.is_ready(pod), pod.metadata.deletionTimestamp is None, pod.metadata.uid
