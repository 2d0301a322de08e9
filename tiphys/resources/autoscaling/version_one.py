"""HorizontalPodAutoscaler between v1 and v2: v1 knows of CPU alone, the rest travels in annotations.

The annotations are Kubernetes' own (``autoscaling.alpha.kubernetes.io/…``): metrics
in v1's older spelling, the behavior with Go's names of fields. They exist in v1
objects only; what is stored has none of them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from tiphys.api import autoscaling_v1, autoscaling_v2
from tiphys.machinery import codec

PREFIX: Final = "autoscaling.alpha.kubernetes.io/"
METRICS, CURRENT, CONDITIONS, BEHAVIOR = (
    f"{PREFIX}{name}" for name in ("metrics", "current-metrics", "conditions", "behavior")
)
#: Where v1 has a field: path in v2's source (or status).
Paths = Mapping[str, tuple[str, ...]]
_SPEC: Final[Mapping[str, Paths]] = {
    "resource": {
        "name": ("name",),
        "targetAverageUtilization": ("target", "averageUtilization"),
        "targetAverageValue": ("target", "averageValue"),
    },
    "containerResource": {
        "name": ("name",),
        "targetAverageUtilization": ("target", "averageUtilization"),
        "targetAverageValue": ("target", "averageValue"),
        "container": ("container",),
    },
    "pods": {
        "metricName": ("metric", "name"),
        "targetAverageValue": ("target", "averageValue"),
        "selector": ("metric", "selector"),
    },
    "object": {
        "target": ("describedObject",),
        "metricName": ("metric", "name"),
        "targetValue": ("target", "value"),
        "selector": ("metric", "selector"),
        "averageValue": ("target", "averageValue"),
    },
    "external": {
        "metricName": ("metric", "name"),
        "metricSelector": ("metric", "selector"),
        "targetValue": ("target", "value"),
        "targetAverageValue": ("target", "averageValue"),
    },
}
_STATUS: Final[Mapping[str, Paths]] = {
    "resource": {
        "name": ("name",),
        "currentAverageUtilization": ("current", "averageUtilization"),
        "currentAverageValue": ("current", "averageValue"),
    },
    "containerResource": {
        "name": ("name",),
        "currentAverageUtilization": ("current", "averageUtilization"),
        "currentAverageValue": ("current", "averageValue"),
        "container": ("container",),
    },
    "pods": {
        "metricName": ("metric", "name"),
        "currentAverageValue": ("current", "averageValue"),
        "selector": ("metric", "selector"),
    },
    "object": {
        "target": ("describedObject",),
        "metricName": ("metric", "name"),
        "currentValue": ("current", "value"),
        "selector": ("metric", "selector"),
        "averageValue": ("current", "averageValue"),
    },
    "external": {
        "metricName": ("metric", "name"),
        "metricSelector": ("metric", "selector"),
        "currentValue": ("current", "value"),
        "currentAverageValue": ("current", "averageValue"),
    },
}


def utilization(metric: autoscaling_v2.MetricSpec) -> int | None:
    """The target of a metric that v1 can say; None for others."""
    if metric.type != "Resource" or metric.resource is None or metric.resource.name != "cpu":
        return None
    return metric.resource.target.averageUtilization


def cpu(percent: int) -> autoscaling_v2.MetricSpec:
    """Utilization of CPU as a metric of v2."""
    target = autoscaling_v2.MetricTarget(type="Utilization", averageUtilization=percent)
    return autoscaling_v2.MetricSpec(
        type="Resource", resource=autoscaling_v2.ResourceMetricSource(name="cpu", target=target)
    )


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        document = document.get(name) if document else None
    return document


def _old(document: dict[str, Any], paths: Mapping[str, Paths]) -> dict[str, Any]:
    """A metric in v1's spelling."""
    found: dict[str, Any] = {"type": document["type"]}
    for source, names in paths.items():
        given = document.get(source)
        if given is not None:
            values = {name: _at(given, path) for name, path in names.items()}
            found[source] = {name: value for name, value in values.items() if value is not None}
    return found


def _new(document: dict[str, Any], paths: Mapping[str, Paths]) -> dict[str, Any]:
    """A metric in v2's spelling; raises what wrong documents raise."""
    found: dict[str, Any] = {"type": document["type"]}
    for source, names in paths.items():
        given = document.get(source)
        if given is None:
            continue
        made = found[source] = {}
        for name, path in names.items():
            if name in given:
                place = made
                for part in path[:-1]:
                    place = place.setdefault(part, {})
                place[path[-1]] = given[name]
        if paths is _SPEC:
            target = made.setdefault("target", {})
            target["type"] = next((kind for field, kind in _TARGETS.items() if field in target), "AverageValue")
    return found


_TARGETS: Final = {"averageUtilization": "Utilization", "value": "Value", "averageValue": "AverageValue"}


def _capital(value: Any) -> Any:
    """Names of fields as Go has them."""
    if isinstance(value, dict):
        return {name[0].upper() + name[1:]: _capital(item) for name, item in value.items()}
    return [_capital(item) for item in value] if isinstance(value, list) else value


def _small(value: Any) -> Any:
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: _small(item) for name, item in value.items() if item is not None}
    return [_small(item) for item in value] if isinstance(value, list) else value


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _taken(annotations: dict[str, str], name: str, read: Callable[[Any], Any]) -> Any:
    """What an annotation says; None if it is missing or cannot be read, as if nobody had written it."""
    text = annotations.pop(name, "")
    if not text:
        return None
    try:
        return read(msgspec.json.decode(text))
    except (msgspec.MsgspecError, codec.DecodeError, KeyError, TypeError, AttributeError):
        return None


def to_v2(old: autoscaling_v1.HorizontalPodAutoscaler) -> autoscaling_v2.HorizontalPodAutoscaler:
    annotations = dict(old.metadata.annotations)
    metrics = _taken(
        annotations, METRICS, lambda found: [codec.convert(autoscaling_v2.MetricSpec, _new(m, _SPEC)) for m in found]
    )
    current = _taken(
        annotations,
        CURRENT,
        lambda found: [codec.convert(autoscaling_v2.MetricStatus, _new(m, _STATUS)) for m in found],
    )
    said = _taken(
        annotations,
        CONDITIONS,
        lambda found: [codec.convert(autoscaling_v2.HorizontalPodAutoscalerCondition, each) for each in found],
    )
    behavior = _taken(
        annotations,
        BEHAVIOR,
        lambda found: codec.convert(autoscaling_v2.HorizontalPodAutoscalerBehavior, _small(found)),
    )
    spec, status = old.spec, old.status
    if spec.targetCPUUtilizationPercentage is not None:
        metrics = [*(metrics or ()), cpu(spec.targetCPUUtilizationPercentage)]
    if current is None and status.currentCPUUtilizationPercentage is not None:
        value = autoscaling_v2.MetricValueStatus(averageUtilization=status.currentCPUUtilizationPercentage)
        resource = autoscaling_v2.ResourceMetricStatus(name="cpu", current=value)
        current = [autoscaling_v2.MetricStatus(type="Resource", resource=resource)]
    target = spec.scaleTargetRef
    return autoscaling_v2.HorizontalPodAutoscaler(
        metadata=msgspec.structs.replace(old.metadata, annotations=annotations),
        spec=autoscaling_v2.HorizontalPodAutoscalerSpec(
            maxReplicas=spec.maxReplicas,
            minReplicas=spec.minReplicas,
            scaleTargetRef=autoscaling_v2.CrossVersionObjectReference(
                kind=target.kind, name=target.name, apiVersion=target.apiVersion
            ),
            metrics=metrics,
            behavior=behavior,
        ),
        status=autoscaling_v2.HorizontalPodAutoscalerStatus(
            currentReplicas=status.currentReplicas,
            desiredReplicas=status.desiredReplicas,
            lastScaleTime=status.lastScaleTime,
            observedGeneration=status.observedGeneration,
            currentMetrics=current,
            conditions=said,
        ),
    )


def from_v2(new: autoscaling_v2.HorizontalPodAutoscaler) -> autoscaling_v1.HorizontalPodAutoscaler:
    spec, status = new.spec, new.status
    said = [metric for metric in spec.metrics or () if utilization(metric) is not None]
    others = [metric for metric in spec.metrics or () if utilization(metric) is None]
    annotations = dict(new.metadata.annotations)
    if others:
        annotations[METRICS] = _text([_old(codec.to_builtins(metric), _SPEC) for metric in others])
    if status.currentMetrics:
        annotations[CURRENT] = _text([_old(codec.to_builtins(metric), _STATUS) for metric in status.currentMetrics])
    if status.conditions:
        annotations[CONDITIONS] = _text([codec.to_builtins(condition) for condition in status.conditions])
    if spec.behavior is not None:
        annotations[BEHAVIOR] = _text(_capital(codec.to_builtins(spec.behavior)))
    target = spec.scaleTargetRef
    return autoscaling_v1.HorizontalPodAutoscaler(
        metadata=msgspec.structs.replace(new.metadata, annotations=annotations),
        spec=autoscaling_v1.HorizontalPodAutoscalerSpec(
            maxReplicas=spec.maxReplicas,
            minReplicas=spec.minReplicas,
            scaleTargetRef=autoscaling_v1.CrossVersionObjectReference(
                kind=target.kind, name=target.name, apiVersion=target.apiVersion
            ),
            targetCPUUtilizationPercentage=utilization(said[-1]) if said else None,
        ),
        status=autoscaling_v1.HorizontalPodAutoscalerStatus(
            currentReplicas=status.currentReplicas or 0,
            desiredReplicas=status.desiredReplicas,
            lastScaleTime=status.lastScaleTime,
            observedGeneration=status.observedGeneration,
            currentCPUUtilizationPercentage=_current_cpu(status.currentMetrics or ()),
        ),
    )


def _current_cpu(metrics: Any) -> int | None:
    for metric in metrics:
        if metric.type == "Resource" and metric.resource is not None and metric.resource.name == "cpu":
            found: int | None = metric.resource.current.averageUtilization
            return found
    return None
