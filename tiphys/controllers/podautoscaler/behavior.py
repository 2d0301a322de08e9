"""How fast a size may change, and against flapping. Pure."""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tiphys.api import autoscaling_v2

Rules = autoscaling_v2.HPAScalingRules
Policy = autoscaling_v2.HPAScalingPolicy

DOWN_WINDOW_SECONDS = 300
UP_POLICIES = (
    Policy(type="Pods", value=4, periodSeconds=15),
    Policy(type="Percent", value=100, periodSeconds=15),
)
DOWN_POLICIES = (Policy(type="Percent", value=100, periodSeconds=15),)


@dataclass(slots=True)
class Memory:
    """What happened lately to one autoscaler; lost at a restart, as in Kubernetes."""

    recommendations: list[tuple[datetime, int]] = field(default_factory=list)
    #: When, and by how many replicas: negative for down.
    changes: list[tuple[datetime, int]] = field(default_factory=list)

    def forget(self, now: datetime) -> None:
        """An hour is the longest that a window or period may be."""
        start = now - timedelta(hours=1)
        self.recommendations = [each for each in self.recommendations if each[0] >= start]
        self.changes = [each for each in self.changes if each[0] >= start]


@dataclass(frozen=True, slots=True)
class Said:
    """A condition's status, reason and message."""

    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Normal:
    """The size that may be taken now, and what AbleToScale and ScalingLimited say about it."""

    replicas: int
    able: Said
    limited: Said


def normalized(
    hpa: autoscaling_v2.HorizontalPodAutoscaler, current: int, wanted: int, memory: Memory, now: datetime
) -> Normal:
    behavior = hpa.spec.behavior or autoscaling_v2.HorizontalPodAutoscalerBehavior()
    up, down = behavior.scaleUp or Rules(), behavior.scaleDown or Rules()
    stable = _stabilized(current, wanted, up, down, memory, now)
    able = Said("True", "ReadyForNewScale", "recommended size matches current size")
    if stable > wanted:
        text = "recent recommendations were higher than current one, applying the highest recent recommendation"
        able = Said("True", "ScaleDownStabilized", text)
    elif stable < wanted:
        text = "recent recommendations were lower than current one, applying the lowest recent recommendation"
        able = Said("True", "ScaleUpStabilized", text)
    memory.recommendations.append((now, wanted))
    least = 1 if hpa.spec.minReplicas is None else hpa.spec.minReplicas
    replicas, limited = _limited(current, stable, least, hpa.spec.maxReplicas, up, down, memory, now)
    return Normal(replicas, able, limited)


def _stabilized(current: int, wanted: int, up: Rules, down: Rules, memory: Memory, now: datetime) -> int:
    def since(rules: Rules, default: int) -> list[int]:
        seconds = default if rules.stabilizationWindowSeconds is None else rules.stabilizationWindowSeconds
        start = now - timedelta(seconds=seconds)
        return [size for at, size in memory.recommendations if at > start]

    lowest = min([wanted, *since(up, 0)])
    highest = max([wanted, *since(down, DOWN_WINDOW_SECONDS)])
    return min(max(current, lowest), highest)


def _limited(
    current: int, wanted: int, least: int, most: int, up: Rules, down: Rules, memory: Memory, now: datetime
) -> tuple[int, Said]:
    if wanted > current:
        limit = max(current, _up_limit(current, up, memory, now))
        said = Said("True", "TooManyReplicas", "the desired replica count is more than the maximum replica count")
        if limit < most:
            text = "the desired replica count is increasing faster than the maximum scale rate"
            said = Said("True", "ScaleUpLimit", text)
        if wanted > min(limit, most):
            return min(limit, most), said
    elif wanted < current:
        limit = min(current, _down_limit(current, down, memory, now))
        said = Said("True", "TooFewReplicas", "the desired replica count is less than the minimum replica count")
        if limit > least:
            text = "the desired replica count is decreasing faster than the maximum scale rate"
            said = Said("True", "ScaleDownLimit", text)
        if wanted < max(limit, least):
            return max(limit, least), said
    return wanted, Said("False", "DesiredWithinRange", "the desired count is within the acceptable range")


def _start(current: int, policy: Policy, memory: Memory, now: datetime) -> int:
    """The size when the policy's period began."""
    start = now - timedelta(seconds=policy.periodSeconds)
    return current - sum(change for at, change in memory.changes if at > start)


def _up_limit(current: int, rules: Rules, memory: Memory, now: datetime) -> int:
    if rules.selectPolicy == "Disabled":
        return current
    limits = [_raised(_start(current, policy, memory, now), policy) for policy in rules.policies or UP_POLICIES]
    return min(limits) if rules.selectPolicy == "Min" else max(limits)


def _raised(start: int, policy: Policy) -> int:
    return start + policy.value if policy.type == "Pods" else math.ceil(start * (100 + policy.value) / 100)


def _down_limit(current: int, rules: Rules, memory: Memory, now: datetime) -> int:
    if rules.selectPolicy == "Disabled":
        return current
    limits = [_lowered(_start(current, policy, memory, now), policy) for policy in rules.policies or DOWN_POLICIES]
    return max(limits) if rules.selectPolicy == "Min" else min(limits)


def _lowered(start: int, policy: Policy) -> int:
    return start - policy.value if policy.type == "Pods" else math.floor(start * (100 - policy.value) / 100)
