"""What is wrong with the metrics and the behavior of a HorizontalPodAutoscaler.

Source: Kubernetes, package apis/autoscaling/validation, by behaviour and messages.
"""

from typing import Any, Final

from tiphys.api import autoscaling_v2
from tiphys.machinery import fields, quantity
from tiphys.resources import checks
from tiphys.resources.checks import Errors

TYPES: Final = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
TARGETS: Final = ("Utilization", "Value", "AverageValue")
WINDOW_SECONDS_MAX: Final = 3600
PERIOD_SECONDS_MAX: Final = 1800
NEITHER: Final = "must set either a target value for metric or a per-pod target"
BOTH: Final = "may not set both a target value for metric and a per-pod target"
NEITHER_RESOURCE: Final = "must set either a target raw value or a target utilization"
BOTH_RESOURCE: Final = "may not set both a target raw value and a target utilization"
NOT_NEGATIVE: Final = "must be greater than or equal to zero"


def validate(errs: Errors, path: str, metric: autoscaling_v2.MetricSpec) -> None:
    if not metric.type:
        errs.append(fields.required(f"{path}.type", "must specify a metric source type"))
    if metric.type not in TYPES:
        errs.append(fields.not_supported(f"{path}.type", metric.type, TYPES))
    present = [
        name for name in ("object", "external", "pods", "resource", "containerResource") if getattr(metric, name)
    ]
    for name in present:
        _SOURCES[name](errs, f"{path}.{name}", getattr(metric, name))
    expected = TYPES.get(metric.type, "")
    if expected and expected not in present:
        errs.append(fields.required(f"{path}.{expected}", "must populate information for the given metric source"))
    if len(present) != 1:
        for name in present:
            if name != expected:
                errs.append(fields.forbidden(f"{path}.{name}", "must populate the given metric source only"))


def reference(errs: Errors, path: str, given: autoscaling_v2.CrossVersionObjectReference) -> None:
    for name in ("kind", "name"):
        checks.required_form(errs, f"{path}.{name}", getattr(given, name), checks.path_segment)


def _identifier(errs: Errors, path: str, metric: autoscaling_v2.MetricIdentifier) -> None:
    checks.required_form(errs, f"{path}.name", metric.name, checks.path_segment, "must specify a metric name")


def _target(errs: Errors, path: str, target: autoscaling_v2.MetricTarget) -> None:
    if not target.type:
        errs.append(fields.required(f"{path}.type", "must specify a metric target type"))
    if target.type not in TARGETS:
        detail = "must be either Utilization, Value, or AverageValue"
        errs.append(fields.invalid(f"{path}.type", target.type, detail))
    for name in ("value", "averageValue"):
        amount = getattr(target, name)
        if amount is not None and quantity.parse(amount) <= 0:
            errs.append(fields.invalid(f"{path}.{name}", amount, "must be positive"))
    if target.averageUtilization is not None and target.averageUtilization < 1:
        errs.append(fields.invalid(f"{path}.averageUtilization", target.averageUtilization, "must be greater than 0"))


def _object(errs: Errors, path: str, source: autoscaling_v2.ObjectMetricSource) -> None:
    reference(errs, f"{path}.describedObject", source.describedObject)
    _identifier(errs, f"{path}.metric", source.metric)
    _target(errs, f"{path}.target", source.target)
    if source.target.value is None and source.target.averageValue is None:
        errs.append(fields.required(f"{path}.target.averageValue", NEITHER))


def _external(errs: Errors, path: str, source: autoscaling_v2.ExternalMetricSource) -> None:
    _identifier(errs, f"{path}.metric", source.metric)
    _target(errs, f"{path}.target", source.target)
    if source.target.value is None and source.target.averageValue is None:
        errs.append(fields.required(f"{path}.target.averageValue", NEITHER))
    elif source.target.value is not None and source.target.averageValue is not None:
        errs.append(fields.forbidden(f"{path}.target.value", BOTH))


def _pods(errs: Errors, path: str, source: autoscaling_v2.PodsMetricSource) -> None:
    _identifier(errs, f"{path}.metric", source.metric)
    _target(errs, f"{path}.target", source.target)
    amount = source.target.averageValue
    if amount is None or quantity.parse(amount) <= 0:
        errs.append(fields.required(f"{path}.target.averageValue", "must specify a positive target averageValue"))


def _resource(errs: Errors, path: str, source: Any) -> None:
    if not source.name:
        errs.append(fields.required(f"{path}.name", "must specify a resource name"))
    if isinstance(source, autoscaling_v2.ContainerResourceMetricSource) and not source.container:
        errs.append(fields.required(f"{path}.container", "must specify a container"))
    target = source.target
    _target(errs, f"{path}.target", target)
    if target.averageUtilization is None and target.averageValue is None:
        errs.append(fields.required(f"{path}.target.averageUtilization", NEITHER_RESOURCE))
    elif target.averageUtilization is not None and target.averageValue is not None:
        errs.append(fields.forbidden(f"{path}.target.averageValue", BOTH_RESOURCE))


_SOURCES: Final[dict[str, Any]] = {
    "object": _object,
    "external": _external,
    "pods": _pods,
    "resource": _resource,
    "containerResource": _resource,
}


def validate_behavior(errs: Errors, behavior: autoscaling_v2.HorizontalPodAutoscalerBehavior | None) -> None:
    for name in ("scaleUp", "scaleDown"):
        rules = getattr(behavior, name) if behavior is not None else None
        if rules is not None:
            _rules(errs, f"spec.behavior.{name}", rules)


def _rules(errs: Errors, path: str, rules: autoscaling_v2.HPAScalingRules) -> None:
    window = rules.stabilizationWindowSeconds
    if window is not None and window < 0:
        errs.append(fields.invalid(f"{path}.stabilizationWindowSeconds", window, NOT_NEGATIVE))
    if window is not None and window > WINDOW_SECONDS_MAX:
        detail = f"must be less than or equal to {WINDOW_SECONDS_MAX}"
        errs.append(fields.invalid(f"{path}.stabilizationWindowSeconds", window, detail))
    if rules.selectPolicy is not None:
        checks.one_of(errs, f"{path}.selectPolicy", rules.selectPolicy, ("Disabled", "Max", "Min"))
    if not rules.policies:
        errs.append(fields.required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(rules.policies or ()):
        _policy(errs, f"{path}.policies[{index}]", policy)
    if rules.tolerance is not None and quantity.parse(rules.tolerance) < 0:
        errs.append(fields.invalid(f"{path}.tolerance", rules.tolerance, NOT_NEGATIVE))


def _policy(errs: Errors, path: str, policy: autoscaling_v2.HPAScalingPolicy) -> None:
    checks.one_of(errs, f"{path}.type", policy.type, ("Percent", "Pods"))
    if policy.value <= 0:
        errs.append(fields.invalid(f"{path}.value", policy.value, "must be greater than zero"))
    if policy.periodSeconds <= 0:
        errs.append(fields.invalid(f"{path}.periodSeconds", policy.periodSeconds, "must be greater than zero"))
    if policy.periodSeconds > PERIOD_SECONDS_MAX:
        detail = f"must be less than or equal to {PERIOD_SECONDS_MAX}"
        errs.append(fields.invalid(f"{path}.periodSeconds", policy.periodSeconds, detail))
