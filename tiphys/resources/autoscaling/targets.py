"""The TARGETS cell of a HorizontalPodAutoscaler: what is, and what is aimed at."""

from typing import Any, Final

from tiphys.api import autoscaling_v2

SHOWN_MAX: Final = 2
UNKNOWN: Final = "<unknown>"


def text(autoscaler: autoscaling_v2.HorizontalPodAutoscaler) -> str:
    wanted = autoscaler.spec.metrics or []
    current = autoscaler.status.currentMetrics or []
    if not wanted:
        return "<none>"
    cells = [_one(metric, current[index] if index < len(current) else None) for index, metric in enumerate(wanted)]
    shown = ", ".join(cells[:SHOWN_MAX])
    return f"{shown} + {len(cells) - SHOWN_MAX} more..." if len(cells) > SHOWN_MAX else shown


def _one(metric: autoscaling_v2.MetricSpec, status: autoscaling_v2.MetricStatus | None) -> str:
    name = {"ContainerResource": "containerResource"}.get(metric.type, metric.type.lower())
    source: Any = getattr(metric, name, None)
    if source is None:
        return "<unknown type>"
    reported: Any = getattr(status, name, None)
    current = reported.current if reported is not None else autoscaling_v2.MetricValueStatus()
    target = source.target
    if name in ("resource", "containerResource"):
        if target.averageValue is not None:
            return f"{source.name}: {current.averageValue or UNKNOWN}/{target.averageValue}"
        aim = f"{target.averageUtilization}%" if target.averageUtilization is not None else "<auto>"
        used = f"{current.averageUtilization}%" if current.averageUtilization is not None else UNKNOWN
        return f"{source.name}: {used}/{aim}"
    if name == "pods":
        return f"{current.averageValue or UNKNOWN}/{target.averageValue}"
    if target.averageValue is not None:
        return f"{current.averageValue or UNKNOWN}/{target.averageValue} (avg)"
    return f"{current.value or UNKNOWN}/{target.value}"
