"""What a Pod's failure and an index's success mean for the Job, by its policies. Pure."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from tiphys.api import batch_v1, core_v1
from tiphys.controllers.job import indexes


@dataclass(frozen=True, slots=True)
class Failure:
    """What the pod failure policy makes of a Pod; ``message`` is set if it fails the whole Job."""

    counts: bool = True
    action: str = ""
    message: str = ""


def judge(policy: batch_v1.PodFailurePolicy | None, pod: core_v1.Pod) -> Failure:
    """The first rule that matches decides; without one the failure counts."""
    for number, rule in enumerate(policy.rules if policy is not None else ()):
        matched = _matched(rule, pod)
        if matched is None:
            continue
        if rule.action == "FailJob":
            return Failure(True, rule.action, f"{matched} matching {rule.action} rule at index {number}")
        if rule.action in ("Ignore", "FailIndex", "Count"):
            return Failure(rule.action != "Ignore", rule.action)
    return Failure()


def _matched(rule: batch_v1.PodFailurePolicyRule, pod: core_v1.Pod) -> str | None:
    """What of ``pod`` the rule is about, as the beginning of a sentence; None if it is about nothing."""
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    if rule.onExitCodes is not None:
        found = _exited(rule.onExitCodes, pod)
        if found is None or found.state is None or found.state.terminated is None:
            return None
        return f"Container {found.name} for pod {name} failed with exit code {found.state.terminated.exitCode}"
    for pattern in rule.onPodConditions or ():
        for condition in pod.status.conditions or ():
            if condition.type == pattern.type and condition.status == (pattern.status or "True"):
                return f"Pod {name} has condition {condition.type}"
    return None


def _exited(
    wanted: batch_v1.PodFailurePolicyOnExitCodesRequirement, pod: core_v1.Pod
) -> core_v1.ContainerStatus | None:
    for status in (*(pod.status.containerStatuses or ()), *(pod.status.initContainerStatuses or ())):
        if wanted.containerName is not None and wanted.containerName != status.name:
            continue
        ended = status.state.terminated if status.state is not None else None
        # Success is never a failure, whatever NotIn may say.
        if ended is None or ended.exitCode == 0:
            continue
        if (ended.exitCode in wanted.values) == (wanted.operator == "In"):
            found: core_v1.ContainerStatus = status
            return found
    return None


def success_rule(policy: batch_v1.SuccessPolicy | None, succeeded: Set[int], completions: int) -> int | None:
    """The number of the first success rule that is met; None if none is."""
    if policy is None or not succeeded:
        return None
    for number, rule in enumerate(policy.rules):
        if _met(rule, succeeded, completions):
            return number
    return None


def _met(rule: batch_v1.SuccessPolicyRule, succeeded: Set[int], completions: int) -> bool:
    if rule.succeededIndexes is None:
        return rule.succeededCount is not None and len(succeeded) >= rule.succeededCount
    required = indexes.parse(rule.succeededIndexes, completions)
    matched = len(required & succeeded)
    if rule.succeededCount is not None:
        return matched >= rule.succeededCount
    return matched >= len(required)


def restarts(pods: Sequence[core_v1.Pod]) -> int:
    """Restarts of all containers of Pods that are pending or running."""
    return sum(
        status.restartCount
        for pod in pods
        if pod.status.phase in ("Running", "Pending")
        for status in (*(pod.status.initContainerStatuses or ()), *(pod.status.containerStatuses or ()))
    )
