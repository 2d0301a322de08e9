"""From samples of Pods to a number of replicas. Pure; amounts are in thousandths.

Pods that are not ready or have no sample must not hasten a decision: they count
as idle when growing, and as fully used when shrinking.
Source: Kubernetes docs, "Horizontal Pod Autoscaling", "Algorithm details".
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiphys.api import autoscaling_v2, core_v1
from tiphys.controllers import pods as podfacts
from tiphys.machinery import quantity, times

TOLERANCE = 0.1
#: A Pod's first minutes say little about the CPU that it needs.
INITIALIZATION = timedelta(minutes=5)
INITIAL_READINESS = timedelta(seconds=30)

NO_SAMPLES = "did not receive metrics for targeted pods (pods might be unready)"


class NoMetric(Exception):
    """The size cannot be computed; the text says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One Pod's ``value``, measured over ``window`` seconds until ``at``."""

    value: int
    at: datetime
    window: float = 60.0


@dataclass(frozen=True, slots=True)
class Groups:
    """``ready`` counts; the others name Pods."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


@dataclass(frozen=True, slots=True)
class Size:
    """``utilization`` in percent is None where the target is an amount; ``average`` in thousandths."""

    replicas: int
    average: int
    utilization: int | None = None


def group(pods: Sequence[core_v1.Pod], samples: Mapping[str, Sample], *, is_cpu: bool, now: datetime) -> Groups:
    ready = 0
    unready: set[str] = set()
    missing: set[str] = set()
    ignored: set[str] = set()
    for pod in pods:
        name = pod.metadata.name
        if pod.metadata.deletionTimestamp is not None or pod.status.phase == "Failed":
            ignored.add(name)
        elif pod.status.phase == "Pending":
            unready.add(name)
        elif name not in samples:
            missing.add(name)
        elif is_cpu and _is_starting(pod, samples[name], now):
            unready.add(name)
        else:
            ready += 1
    return Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def _is_starting(pod: core_v1.Pod, sample: Sample, now: datetime) -> bool:
    condition = podfacts.find_condition(pod, "Ready")
    if condition is None or pod.status.startTime is None or condition.lastTransitionTime is None:
        return True
    start, changed = times.parse(pod.status.startTime), times.parse(condition.lastTransitionTime)
    if start + INITIALIZATION > now:
        return condition.status == "False" or sample.at < changed + timedelta(seconds=sample.window)
    # It has never been ready.
    return condition.status == "False" and start + INITIAL_READINESS > changed


def sized(
    current: int,
    samples: Mapping[str, Sample],
    groups: Groups,
    target: int,
    requests: Mapping[str, int] | None,
    tolerance: tuple[float, float] = (TOLERANCE, TOLERANCE),
) -> Size:
    """``target`` is a utilization in percent of ``requests``, or an amount where there are none.

    ``tolerance`` is for shrinking and for growing. Raises NoMetric.
    """
    known = {n: s.value for n, s in samples.items() if n not in groups.ignored and n not in groups.unready}
    if not known:
        raise NoMetric(NO_SAMPLES)
    ratio = _ratio(known, target, requests)
    average = sum(known.values()) // len(known)
    utilization = _utilization(known, requests) if requests is not None else None
    grow_unready = bool(groups.unready) and ratio > 1
    if not grow_unready and not groups.missing:
        if _is_close(ratio, tolerance):
            return Size(current, average, utilization)
        return Size(math.ceil(ratio * groups.ready), average, utilization)
    if ratio < 1:
        full = max(100, target) if requests is not None else target
        for name in groups.missing:
            known[name] = requests.get(name, 0) * full // 100 if requests is not None else full
    elif ratio > 1:
        known |= dict.fromkeys(groups.missing, 0)
    if grow_unready:
        known |= dict.fromkeys(groups.unready, 0)
    again = _ratio(known, target, requests)
    if _is_close(again, tolerance) or (ratio < 1 < again) or (again < 1 < ratio):
        return Size(current, average, utilization)
    wanted = math.ceil(again * len(known))
    if (again < 1 and wanted > current) or (again > 1 and wanted < current):
        wanted = current
    return Size(wanted, average, utilization)


def _ratio(known: Mapping[str, int], target: int, requests: Mapping[str, int] | None) -> float:
    if requests is None:
        return sum(known.values()) / len(known) / target
    return _utilization(known, requests) / target


def _utilization(known: Mapping[str, int], requests: Mapping[str, int]) -> int:
    asked = sum(requests.get(name, 0) for name in known)
    if not asked:
        raise NoMetric("no metrics returned matched known pods")
    return sum(known.values()) * 100 // asked


def _is_close(ratio: float, tolerance: tuple[float, float]) -> bool:
    return 1 - tolerance[0] <= ratio <= 1 + tolerance[1]


def by_total(current: int, ready: int, value: int, target: int, tolerance: tuple[float, float]) -> int:
    """For one amount that all replicas share: object and external metrics with a target value."""
    ratio = value / target
    if current == 0:
        return math.ceil(ratio)
    return current if _is_close(ratio, tolerance) else math.ceil(ratio * ready)


def by_average(current: int, value: int, target: int, tolerance: tuple[float, float]) -> int:
    """For one amount that is divided by the replicas."""
    ratio = value / (target * current) if current else math.inf
    return current if _is_close(ratio, tolerance) else math.ceil(value / target)


def pod_requests(pods: Sequence[core_v1.Pod], container: str, resource: str) -> dict[str, int]:
    """Per Pod, what its containers (or the one named) request, in thousandths. Raises NoMetric."""
    found: dict[str, int] = {}
    for pod in pods:
        sidecars = [each for each in pod.spec.initContainers or () if each.restartPolicy == "Always"]
        total = 0
        for each in (*pod.spec.containers, *sidecars):
            if container and each.name != container:
                continue
            asked = ((each.resources.requests if each.resources else None) or {}).get(resource)
            if asked is None:
                raise NoMetric(f"missing request for {resource} in container {each.name} of Pod {pod.metadata.name}")
            total += quantity.milli(asked)
        found[pod.metadata.name] = total
    return found


def tolerances(hpa: autoscaling_v2.HorizontalPodAutoscaler) -> tuple[float, float]:
    behavior = hpa.spec.behavior or autoscaling_v2.HorizontalPodAutoscalerBehavior()
    return _tolerance(behavior.scaleDown), _tolerance(behavior.scaleUp)


def _tolerance(rules: autoscaling_v2.HPAScalingRules | None) -> float:
    return float(quantity.parse(rules.tolerance)) if rules is not None and rules.tolerance is not None else TOLERANCE
