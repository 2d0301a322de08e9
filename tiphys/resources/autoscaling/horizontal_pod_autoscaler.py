"""HorizontalPodAutoscaler: v2 is stored, v1 is a view that knows of CPU only.

What v1 cannot say travels in annotations, so that a client of v1 loses nothing.
"""

from dataclasses import replace
from datetime import datetime

import msgspec

from tiphys.api import autoscaling_v1, autoscaling_v2
from tiphys.machinery import codec, fields
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

DEFAULT_UTILIZATION = 80
REMAINDER = "autoscaling.alpha.kubernetes.io/v2-remainder"


def default(autoscaler: autoscaling_v2.HorizontalPodAutoscaler) -> None:
    spec = autoscaler.spec
    if spec.minReplicas is None:
        spec.minReplicas = 1
    if not spec.metrics:
        spec.metrics = [_cpu(DEFAULT_UTILIZATION)]


def _cpu(utilization: int) -> autoscaling_v2.MetricSpec:
    target = autoscaling_v2.MetricTarget(type="Utilization", averageUtilization=utilization)
    return autoscaling_v2.MetricSpec(
        type="Resource", resource=autoscaling_v2.ResourceMetricSource(name="cpu", target=target)
    )


def _utilization(metric: autoscaling_v2.MetricSpec) -> int | None:
    if metric.resource is None or metric.resource.name != "cpu":
        return None
    return metric.resource.target.averageUtilization


def validate(autoscaler: autoscaling_v2.HorizontalPodAutoscaler) -> Errors:
    errs: Errors = []
    spec = autoscaler.spec
    least = spec.minReplicas
    if least is not None and least < 1:
        errs.append(fields.invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if spec.maxReplicas < 1:
        errs.append(fields.invalid("spec.maxReplicas", spec.maxReplicas, "must be greater than 0"))
    if least is not None and spec.maxReplicas < least:
        detail = "must be greater than or equal to `minReplicas`"
        errs.append(fields.invalid("spec.maxReplicas", spec.maxReplicas, detail))
    for name in ("kind", "name"):
        checks.required_form(
            errs, f"spec.scaleTargetRef.{name}", getattr(spec.scaleTargetRef, name), checks.path_segment
        )
    for index, metric in enumerate(spec.metrics or ()):
        if not metric.type:
            errs.append(fields.required(f"spec.metrics[{index}].type", "must specify a metric source type"))
    return errs


def to_v2(autoscaler: autoscaling_v1.HorizontalPodAutoscaler) -> autoscaling_v2.HorizontalPodAutoscaler:
    annotations = dict(autoscaler.metadata.annotations)
    rest = annotations.pop(REMAINDER, "")
    spec = autoscaler.spec
    found = autoscaling_v2.HorizontalPodAutoscaler(
        metadata=msgspec.structs.replace(autoscaler.metadata, annotations=annotations),
        spec=codec.decode(autoscaling_v2.HorizontalPodAutoscalerSpec, rest.encode())
        if rest
        else autoscaling_v2.HorizontalPodAutoscalerSpec(),
        status=autoscaling_v2.HorizontalPodAutoscalerStatus(
            currentReplicas=autoscaler.status.currentReplicas,
            desiredReplicas=autoscaler.status.desiredReplicas,
            lastScaleTime=autoscaler.status.lastScaleTime,
            observedGeneration=autoscaler.status.observedGeneration,
        ),
    )
    found.spec.maxReplicas, found.spec.minReplicas = spec.maxReplicas, spec.minReplicas
    target = spec.scaleTargetRef
    found.spec.scaleTargetRef = autoscaling_v2.CrossVersionObjectReference(
        kind=target.kind, name=target.name, apiVersion=target.apiVersion
    )
    if spec.targetCPUUtilizationPercentage is not None:
        found.spec.metrics = [_cpu(spec.targetCPUUtilizationPercentage), *(found.spec.metrics or ())]
    return found


def from_v2(autoscaler: autoscaling_v2.HorizontalPodAutoscaler) -> autoscaling_v1.HorizontalPodAutoscaler:
    spec = autoscaler.spec
    metrics = list(spec.metrics or ())
    first = next((metric for metric in metrics if _utilization(metric) is not None), None)
    others = [metric for metric in metrics if metric is not first]
    annotations = dict(autoscaler.metadata.annotations)
    if others or spec.behavior is not None:
        rest = autoscaling_v2.HorizontalPodAutoscalerSpec(metrics=others or None, behavior=spec.behavior)
        annotations[REMAINDER] = codec.encode(rest).decode()
    target = spec.scaleTargetRef
    return autoscaling_v1.HorizontalPodAutoscaler(
        metadata=msgspec.structs.replace(autoscaler.metadata, annotations=annotations),
        spec=autoscaling_v1.HorizontalPodAutoscalerSpec(
            maxReplicas=spec.maxReplicas,
            minReplicas=spec.minReplicas,
            scaleTargetRef=autoscaling_v1.CrossVersionObjectReference(
                kind=target.kind, name=target.name, apiVersion=target.apiVersion
            ),
            targetCPUUtilizationPercentage=_utilization(first) if first is not None else None,
        ),
        status=autoscaling_v1.HorizontalPodAutoscalerStatus(
            currentReplicas=autoscaler.status.currentReplicas or 0,
            desiredReplicas=autoscaler.status.desiredReplicas,
            lastScaleTime=autoscaler.status.lastScaleTime,
            observedGeneration=autoscaler.status.observedGeneration,
        ),
    )


def _reference(autoscaler: autoscaling_v2.HorizontalPodAutoscaler, now: datetime) -> str:
    return f"{autoscaler.spec.scaleTargetRef.kind}/{autoscaler.spec.scaleTargetRef.name}"


def _targets(autoscaler: autoscaling_v2.HorizontalPodAutoscaler, now: datetime) -> str:
    shown = []
    for metric in autoscaler.spec.metrics or ():
        wanted = _utilization(metric)
        shown.append(f"cpu: <unknown>/{wanted}%" if wanted is not None else f"<unknown>/{metric.type}")
    return ", ".join(shown) or "<none>"


def _least(autoscaler: autoscaling_v2.HorizontalPodAutoscaler, now: datetime) -> str:
    least = autoscaler.spec.minReplicas
    return str(least) if least is not None else "<unset>"


COLUMNS = (
    NAME,
    Column("Reference", _reference, description="What it scales."),
    Column("Targets", _targets, description="What it aims at."),
    Column("MinPods", _least, description="Never fewer Pods."),
    Column("MaxPods", lambda each, now: each.spec.maxReplicas, type="integer", description="Never more Pods."),
    Column("Replicas", lambda each, now: each.status.currentReplicas or 0, type="integer", description="Pods now."),
    AGE,
)


def _column(column: Column) -> Column:
    """The same cell, of an autoscaler in the form of v1."""
    return replace(column, cell=lambda autoscaler, now: column.cell(to_v2(autoscaler), now))


def _row(
    version: str, cls: type[autoscaling_v1.HorizontalPodAutoscaler | autoscaling_v2.HorizontalPodAutoscaler]
) -> Resource:
    stored = cls is autoscaling_v2.HorizontalPodAutoscaler
    return Resource(
        group="autoscaling",
        version=version,
        kind="HorizontalPodAutoscaler",
        plural="horizontalpodautoscalers",
        cls=cls,
        strategy=FunctionStrategy(
            default if stored else default_v1, validate if stored else validate_v1, counts_generation=False
        ),
        short_names=("hpa",),
        categories=("all",),
        subresources=(subresources.status(FunctionStatusStrategy(default if stored else default_v1)),),
        columns=COLUMNS if stored else tuple(map(_column, COLUMNS)),
        storage=("autoscaling", "horizontalpodautoscalers"),
        to_storage=None if stored else to_v2,
        from_storage=None if stored else from_v2,
    )


def default_v1(autoscaler: autoscaling_v1.HorizontalPodAutoscaler) -> None:
    if autoscaler.spec.minReplicas is None:
        autoscaler.spec.minReplicas = 1
    # Other metrics, if there are any, are in the annotation.
    if autoscaler.spec.targetCPUUtilizationPercentage is None and not autoscaler.metadata.annotations.get(REMAINDER):
        autoscaler.spec.targetCPUUtilizationPercentage = DEFAULT_UTILIZATION


def validate_v1(autoscaler: autoscaling_v1.HorizontalPodAutoscaler) -> Errors:
    return validate(to_v2(autoscaler))


ROWS = (
    _row("v2", autoscaling_v2.HorizontalPodAutoscaler),
    _row("v1", autoscaling_v1.HorizontalPodAutoscaler),
)
