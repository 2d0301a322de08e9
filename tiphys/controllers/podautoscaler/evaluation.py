"""One metric of an autoscaler's spec: what is measured, and the size that follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tiphys.api import autoscaling_v2, core_v1
from tiphys.controllers import pods as podfacts
from tiphys.controllers.podautoscaler import replicas
from tiphys.controllers.podautoscaler.metrics import MetricsClient
from tiphys.controllers.podautoscaler.replicas import NoMetric, Size
from tiphys.machinery import quantity, selectors
from tiphys.resources import table

REASONS = {
    "Resource": "FailedGetResourceMetric",
    "ContainerResource": "FailedGetContainerResourceMetric",
    "Pods": "FailedGetPodsMetric",
    "Object": "FailedGetObjectMetric",
    "External": "FailedGetExternalMetric",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What is sized: ``current`` replicas, whose Pods match ``selector``."""

    hpa: autoscaling_v2.HorizontalPodAutoscaler
    current: int
    selector: str
    pods: Sequence[core_v1.Pod]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """``name`` as events and conditions call the metric."""

    replicas: int
    name: str
    status: autoscaling_v2.MetricStatus


async def evaluate(metrics: MetricsClient, target: Target, spec: autoscaling_v2.MetricSpec, now: datetime) -> Evaluated:
    """Raises NoMetric."""
    source: Any = {
        "Resource": spec.resource,
        "ContainerResource": spec.containerResource,
        "Pods": spec.pods,
        "Object": spec.object,
        "External": spec.external,
    }.get(spec.type)
    if source is None:
        raise NoMetric(f'unknown metric source type "{spec.type}"')
    if spec.type in ("Resource", "ContainerResource"):
        return await _resource(metrics, target, spec.type, source, now)
    if spec.type == "Pods":
        return await _pods(metrics, target, source, now)
    return await _single(metrics, target, spec.type, source)


async def _resource(metrics: MetricsClient, target: Target, kind: str, source: Any, now: datetime) -> Evaluated:
    name, wanted = source.name, source.target
    container = source.container if kind == "ContainerResource" else ""
    namespace = target.hpa.metadata.namespace
    what = "utilization" if wanted.averageUtilization is not None else "usage"
    try:
        samples = await metrics.resource(name, namespace, target.selector, container)
    except NoMetric as error:
        raise NoMetric(f"failed to get {name} {what}: unable to get metrics for resource {name}: {error}") from error
    groups = replicas.group(target.pods, samples, is_cpu=name == "cpu", now=now)
    tolerance = replicas.tolerances(target.hpa)
    label = f"{name} container resource" if container else f"{name} resource"
    if wanted.averageUtilization is not None:
        try:
            requests = replicas.pod_requests(target.pods, container, name)
            size = replicas.sized(target.current, samples, groups, wanted.averageUtilization, requests, tolerance)
        except NoMetric as error:
            raise NoMetric(f"failed to get {name} utilization: {error}") from error
        label += " utilization (percentage of request)"
    elif wanted.averageValue is not None:
        amount = quantity.milli(wanted.averageValue)
        size = replicas.sized(target.current, samples, groups, amount, None, tolerance)
    else:
        raise NoMetric(
            "invalid resource metric source: neither an average utilization nor an average value target was set"
        )
    current = autoscaling_v2.MetricValueStatus(averageUtilization=size.utilization, averageValue=_amount(size.average))
    if container:
        status = autoscaling_v2.MetricStatus(
            type=kind,
            containerResource=autoscaling_v2.ContainerResourceMetricStatus(
                name=name, container=container, current=current
            ),
        )
    else:
        resource = autoscaling_v2.ResourceMetricStatus(name=name, current=current)
        status = autoscaling_v2.MetricStatus(type=kind, resource=resource)
    return Evaluated(size.replicas, label, status)


async def _pods(metrics: MetricsClient, target: Target, source: Any, now: datetime) -> Evaluated:
    name = source.metric.name
    of_metric = str(selectors.from_label_selector(source.metric.selector)) if source.metric.selector else ""
    samples = await metrics.pods(name, target.hpa.metadata.namespace, target.selector, of_metric)
    groups = replicas.group(target.pods, samples, is_cpu=False, now=now)
    amount = quantity.milli(source.target.averageValue or "0")
    if amount <= 0:
        raise NoMetric("invalid pods metric source: no average value target was set")
    size: Size = replicas.sized(target.current, samples, groups, amount, None, replicas.tolerances(target.hpa))
    status = autoscaling_v2.MetricStatus(
        type="Pods",
        pods=autoscaling_v2.PodsMetricStatus(
            metric=source.metric, current=autoscaling_v2.MetricValueStatus(averageValue=_amount(size.average))
        ),
    )
    return Evaluated(size.replicas, f"pods metric {name}", status)


async def _single(metrics: MetricsClient, target: Target, kind: str, source: Any) -> Evaluated:
    """Object and external metrics: one amount for all replicas."""
    name, namespace = source.metric.name, target.hpa.metadata.namespace
    of_metric = str(selectors.from_label_selector(source.metric.selector)) if source.metric.selector else ""
    if kind == "Object":
        described = source.describedObject
        value = await metrics.object(_plural(described.kind), namespace, described.name, name, of_metric)
    else:
        value = await metrics.external(namespace, name, of_metric)
    tolerance = replicas.tolerances(target.hpa)
    if source.target.value is not None:
        ready = sum(map(podfacts.is_ready, target.pods))
        size = replicas.by_total(target.current, ready, value, _positive(source.target.value), tolerance)
        current = autoscaling_v2.MetricValueStatus(value=_amount(value))
    elif source.target.averageValue is not None:
        size = replicas.by_average(target.current, value, _positive(source.target.averageValue), tolerance)
        each = -(-value // target.current) if target.current else value
        current = autoscaling_v2.MetricValueStatus(averageValue=_amount(each))
    else:
        raise NoMetric(
            f"invalid {kind.lower()} metric source: neither a value target nor an average value target was set"
        )
    if kind == "Object":
        status = autoscaling_v2.MetricStatus(
            type=kind,
            object=autoscaling_v2.ObjectMetricStatus(
                describedObject=source.describedObject, metric=source.metric, current=current
            ),
        )
        return Evaluated(size, f"{source.describedObject.kind} metric {name}", status)
    external = autoscaling_v2.ExternalMetricStatus(metric=source.metric, current=current)
    shown = f"external metric {name}({source.metric.selector})"
    return Evaluated(size, shown, autoscaling_v2.MetricStatus(type=kind, external=external))


def _positive(amount: str) -> int:
    found = quantity.milli(amount)
    if found <= 0:
        raise NoMetric("the target of a metric must be greater than zero")
    return found


def _plural(kind: str) -> str:
    return next((row.plural for row in table.RESOURCES if row.kind == kind), f"{kind.lower()}s")


def _amount(milli: int) -> Any:
    return quantity.canonical(f"{milli}m")
