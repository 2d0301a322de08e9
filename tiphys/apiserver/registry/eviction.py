"""``pods/eviction``: a deletion that asks the Pod's disruption budget first.

What a budget grants is written into its status, by compare and swap, before the
Pod is deleted: two evictions never spend the same allowance, and a crash in
between costs an allowance and not a Pod.
Source: Kubernetes docs, "API-initiated Eviction"; KEP-3017 Unhealthy Pod eviction policy.
"""

import msgspec

from tiphys.api import core_v1, meta_v1, policy_v1
from tiphys.apiserver import decoding
from tiphys.apiserver.registry.deleting import delete_object
from tiphys.apiserver.registry.endpoint import Call, success
from tiphys.apiserver.seams import Objects
from tiphys.machinery import codec, conditions, errors, selectors, times
from tiphys.wire.exchange import Response

#: Evictions granted by one budget that nobody has confirmed.
MOST_DISRUPTED = 2000
ATTEMPTS_MAX = 100
VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget."
SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


async def evict(call: Call) -> Response:
    """Delete the Pod gracefully, if its budget allows; 429 if not now."""
    eviction = decoding.decode(policy_v1.Eviction, call.request, "policy/v1", "Eviction", call.attributes.warnings)
    attributes = call.attributes
    if eviction.metadata.name and eviction.metadata.name != attributes.name:
        raise errors.BadRequest("name in URL does not match name in Eviction object")
    options = eviction.deleteOptions or meta_v1.DeleteOptions()
    if options.dryRun:
        attributes.dry_run = True
    services = call.endpoint.services
    attributes.operation = "CREATE"
    await services.admission.admit(attributes, eviction, None)
    await services.admission.validate(attributes, eviction, None)
    options = eviction.deleteOptions or meta_v1.DeleteOptions()
    objects = services.objects
    await services.cache.catch_up()
    pod = objects.find("", "pods", attributes.namespace, attributes.name) if objects is not None else None
    if pod is not None and objects is not None and not _is_free(pod):
        await _ask_budget(call, objects, pod)
        if not call.dry_run:
            await _announce(call, objects, pod)
    await delete_object(call, options, admitted=True)
    return success(201, code=201)


def _is_free(pod: core_v1.Pod) -> bool:
    """Whether the Pod serves nobody any more, or not yet."""
    return pod.status.phase in ("Succeeded", "Failed", "Pending") or pod.metadata.deletionTimestamp is not None


async def _ask_budget(call: Call, objects: Objects, pod: core_v1.Pod) -> None:
    for _ in range(ATTEMPTS_MAX):
        budget = _budget_of(objects, pod)
        if budget is None or _may_go_anyway(budget, pod):
            return
        spent = _spent(call, budget, pod)
        if call.dry_run:
            return
        try:
            await objects.update(spent, "status")
            return
        except errors.Conflict:
            # Another eviction, or the controller, was quicker.
            await call.endpoint.services.cache.catch_up()
    raise errors.TooManyRequests(VIOLATED, 1)


def _budget_of(objects: Objects, pod: core_v1.Pod) -> policy_v1.PodDisruptionBudget | None:
    found = [
        budget
        for budget in objects.all("policy", "poddisruptionbudgets", pod.metadata.namespace)
        if selectors.from_label_selector(budget.spec.selector).matches(pod.metadata.labels)
    ]
    if len(found) > 1:
        raise errors.UnknownError(SEVERAL, reason="")
    return found[0] if found else None


def _is_ready(pod: core_v1.Pod) -> bool:
    return conditions.is_true(pod.status.conditions, "Ready")


def _may_go_anyway(budget: policy_v1.PodDisruptionBudget, pod: core_v1.Pod) -> bool:
    """A Pod that is not ready guards nothing, as long as enough others do, or always if the budget says so."""
    if _is_ready(pod):
        return False
    if budget.spec.unhealthyPodEvictionPolicy == "AlwaysAllow":
        return True
    wanted = budget.status.desiredHealthy or 0
    return wanted > 0 and (budget.status.currentHealthy or 0) >= wanted


def _spent(call: Call, budget: policy_v1.PodDisruptionBudget, pod: core_v1.Pod) -> policy_v1.PodDisruptionBudget:
    """The budget with one allowance less; raises TooManyRequests if it has none."""
    name, status = budget.metadata.name, budget.status
    if (status.observedGeneration or 0) < (budget.metadata.generation or 0):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", 10)
    allowed = status.disruptionsAllowed or 0
    disrupted = status.disruptedPods or {}
    if allowed < 0:
        raise errors.Forbidden("poddisruptionbudgets", name, "pdb disruptions allowed is negative", "policy")
    if len(disrupted) > MOST_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.Forbidden("poddisruptionbudgets", name, why, "policy")
    if allowed == 0:
        raise _refused(_why(budget), 0)
    now = call.endpoint.services.clock.now()
    listed = status.conditions
    if allowed == 1:
        condition = meta_v1.Condition(
            type="DisruptionAllowed",
            status="False",
            reason="InsufficientPods",
            message="",
            observedGeneration=status.observedGeneration,
            lastTransitionTime=times.format_time(now),
        )
        listed = conditions.set_condition(status.conditions, condition, now)
    new = msgspec.structs.replace(
        status,
        disruptionsAllowed=allowed - 1,
        disruptedPods={**disrupted, pod.metadata.name: times.format_time(now)},
        conditions=listed,
    )
    return msgspec.structs.replace(budget, status=new)


def _why(budget: policy_v1.PodDisruptionBudget) -> str:
    name, status = budget.metadata.name, budget.status
    condition = conditions.find_condition(status.conditions, "DisruptionAllowed")
    if condition is not None and condition.reason == "SyncFailed" and condition.status == "False":
        return (
            f"The disruption budget {name} does not allow evicting pods currently because it failed sync: "
            f"{condition.message}"
        )
    wanted, healthy = status.desiredHealthy or 0, status.currentHealthy or 0
    return f"The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently"


def _refused(why: str, retry_after_seconds: int) -> errors.TooManyRequests:
    problem = errors.TooManyRequests(VIOLATED, retry_after_seconds)
    details = problem.details or meta_v1.StatusDetails()
    cause = meta_v1.StatusCause(reason="DisruptionBudget", message=why)
    problem.details = msgspec.structs.replace(details, causes=[cause])
    return problem


async def _announce(call: Call, objects: Objects, pod: core_v1.Pod) -> None:
    """Say on the Pod why it goes; whoever counts its failure can tell this from its own fault."""
    now = call.endpoint.services.clock.now()
    condition = core_v1.PodCondition(
        type="DisruptionTarget",
        status="True",
        reason="EvictionByEvictionAPI",
        message="Eviction API: evicting",
        lastTransitionTime=times.format_time(now),
    )
    for _ in range(ATTEMPTS_MAX):
        fresh = objects.find("", "pods", pod.metadata.namespace, pod.metadata.name)
        if fresh is None or fresh.metadata.uid != pod.metadata.uid:
            return
        changed = codec.copy(fresh)
        changed.status.conditions = conditions.set_condition(changed.status.conditions, condition, now)
        try:
            await objects.update(changed, "status")
            return
        except errors.NotFound:
            return
        except errors.Conflict:
            # The kubelet writes the same status.
            await call.endpoint.services.cache.catch_up()
