"""HorizontalPodAutoscaler: v2 is stored, v1 is a view that knows of CPU only (``version_one``)."""

from dataclasses import replace
from datetime import datetime

from tiphys.api import autoscaling_v1, autoscaling_v2
from tiphys.machinery import fields
from tiphys.resources import checks, subresources
from tiphys.resources.autoscaling import metrics, targets
from tiphys.resources.autoscaling.version_one import METRICS, cpu, from_v2, to_v2
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

DEFAULT_UTILIZATION = 80
#: Up to four Pods or twice as many, down to nothing, every 15 seconds.
UP = (("Pods", 4, 15), ("Percent", 100, 15))
DOWN = (("Percent", 100, 15),)


def default(autoscaler: autoscaling_v2.HorizontalPodAutoscaler) -> None:
    spec = autoscaler.spec
    if spec.minReplicas is None:
        spec.minReplicas = 1
    if not spec.metrics:
        spec.metrics = [cpu(DEFAULT_UTILIZATION)]
    if spec.behavior is not None:
        spec.behavior.scaleUp = _rules(spec.behavior.scaleUp, UP, window=0)
        spec.behavior.scaleDown = _rules(spec.behavior.scaleDown, DOWN, window=None)


def _rules(
    given: autoscaling_v2.HPAScalingRules | None, policies: tuple[tuple[str, int, int], ...], window: int | None
) -> autoscaling_v2.HPAScalingRules:
    """Rules with what was left out; a behavior that says something of one direction has both."""
    rules = given or autoscaling_v2.HPAScalingRules()
    if rules.stabilizationWindowSeconds is None:
        rules.stabilizationWindowSeconds = window
    rules.selectPolicy = rules.selectPolicy or "Max"
    if not rules.policies:
        rules.policies = [
            autoscaling_v2.HPAScalingPolicy(type=kind, value=value, periodSeconds=period)
            for kind, value, period in policies
        ]
    return rules


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
    metrics.reference(errs, "spec.scaleTargetRef", spec.scaleTargetRef)
    for index, metric in enumerate(spec.metrics or ()):
        metrics.validate(errs, f"spec.metrics[{index}]", metric)
    metrics.validate_behavior(errs, spec.behavior)
    return errs


def validate_status(autoscaler: autoscaling_v2.HorizontalPodAutoscaler) -> Errors:
    errs: Errors = []
    for name in ("currentReplicas", "desiredReplicas"):
        checks.not_negative(errs, f"status.{name}", getattr(autoscaler.status, name))
    return errs


def _reference(autoscaler: autoscaling_v2.HorizontalPodAutoscaler, now: datetime) -> str:
    return f"{autoscaler.spec.scaleTargetRef.kind}/{autoscaler.spec.scaleTargetRef.name}"


def _least(autoscaler: autoscaling_v2.HorizontalPodAutoscaler, now: datetime) -> str:
    least = autoscaler.spec.minReplicas
    return str(least) if least is not None else "<unset>"


COLUMNS = (
    NAME,
    Column("Reference", _reference, description="What it scales."),
    Column("Targets", lambda each, now: targets.text(each), description="What it aims at."),
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
        subresources=(
            subresources.status(
                FunctionStatusStrategy(default, validate_status)
                if stored
                else FunctionStatusStrategy(default_v1, lambda each: validate_status(to_v2(each)))
            ),
        ),
        columns=COLUMNS if stored else tuple(map(_column, COLUMNS)),
        storage=("autoscaling", "horizontalpodautoscalers"),
        to_storage=None if stored else to_v2,
        from_storage=None if stored else from_v2,
    )


def default_v1(autoscaler: autoscaling_v1.HorizontalPodAutoscaler) -> None:
    if autoscaler.spec.minReplicas is None:
        autoscaler.spec.minReplicas = 1
    # Other metrics, if there are any, are in the annotation.
    if autoscaler.spec.targetCPUUtilizationPercentage is None and not autoscaler.metadata.annotations.get(METRICS):
        autoscaler.spec.targetCPUUtilizationPercentage = DEFAULT_UTILIZATION


def validate_v1(autoscaler: autoscaling_v1.HorizontalPodAutoscaler) -> Errors:
    return validate(to_v2(autoscaler))


ROWS = (
    _row("v2", autoscaling_v2.HorizontalPodAutoscaler),
    _row("v1", autoscaling_v1.HorizontalPodAutoscaler),
)
