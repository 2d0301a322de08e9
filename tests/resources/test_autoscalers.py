"""Rules of HorizontalPodAutoscaler, and that v1 and v2 say the same."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.resources.filling import fill
from tests.resources.judging import builtins, cells, faults_of, made
from tiphys.api import autoscaling_v2
from tiphys.machinery import codec
from tiphys.resources.autoscaling.version_one import from_v2, to_v2

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
HPA = "horizontalpodautoscalers.v2.autoscaling"
MEMORY = {
    "type": "Resource",
    "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "10Mi"}},
}


def autoscaler(**spec: Any) -> dict[str, Any]:
    return {"spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web"}, **spec}}


def test_a_behavior_is_completed() -> None:
    found = builtins(made(HPA, autoscaler(behavior={"scaleDown": {"stabilizationWindowSeconds": 60}})))["spec"]
    assert found["behavior"] == {
        "scaleDown": {
            "policies": [{"type": "Percent", "periodSeconds": 15, "value": 100}],
            "selectPolicy": "Max",
            "stabilizationWindowSeconds": 60,
        },
        "scaleUp": {
            "policies": [
                {"type": "Pods", "periodSeconds": 15, "value": 4},
                {"type": "Percent", "periodSeconds": 15, "value": 100},
            ],
            "selectPolicy": "Max",
            "stabilizationWindowSeconds": 0,
        },
    }


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"minReplicas": 4}, ["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"]),
        ({"metrics": [MEMORY]}, []),
        (
            {"metrics": [{"type": "Resource"}]},
            ["spec.metrics[0].resource: Required value: must populate information for the given metric source"],
        ),
        (
            {"metrics": [{**MEMORY, "pods": {"metric": {"name": "m"}, "target": {"type": "Value", "value": "1"}}}]},
            [
                "spec.metrics[0].pods.target.averageValue: Required value: must specify a positive target averageValue",
                "spec.metrics[0].pods: Forbidden: must populate the given metric source only",
            ],
        ),
        (
            {"metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Half"}}}]},
            [
                'spec.metrics[0].resource.target.type: Invalid value: "Half": must be either Utilization, Value, or '
                "AverageValue",
                "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw "
                "value or a target utilization",
            ],
        ),
        (
            {"metrics": [{"type": "Moon"}]},
            [
                'spec.metrics[0].type: Unsupported value: "Moon": supported values: "ContainerResource", "External", '
                '"Object", "Pods", "Resource"'
            ],
        ),
        (
            {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 4000, "policies": [{"type": "Pods"}]}}},
            [
                "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 4000: must be less than or equal to "
                "3600",
                "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
                "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 0: must be greater than zero",
            ],
        ),
    ],
)
def test_what_is_wrong(spec: dict[str, Any], expected: list[str]) -> None:
    assert faults_of(HPA, autoscaler(**spec)) == expected


def test_version_one_says_the_rest_in_kubernetes_annotations() -> None:
    found = from_v2(made(HPA, autoscaler(metrics=[MEMORY], behavior={"scaleDown": {"selectPolicy": "Min"}})))
    annotations = found.metadata.annotations
    assert found.spec.targetCPUUtilizationPercentage is None
    assert json.loads(annotations["autoscaling.alpha.kubernetes.io/metrics"]) == [
        {"type": "Resource", "resource": {"name": "memory", "targetAverageValue": "10Mi"}}
    ]
    assert json.loads(annotations["autoscaling.alpha.kubernetes.io/behavior"])["ScaleDown"] == {
        "SelectPolicy": "Min",
        "Policies": [{"Type": "Percent", "Value": 100, "PeriodSeconds": 15}],
    }


@pytest.mark.parametrize(
    "source", ["containerResource:ContainerResource", "external:External", "object:Object", "pods:Pods"]
)
def test_nothing_is_lost_on_the_way_to_version_one_and_back(source: str) -> None:
    field, _, kind = source.partition(":")
    whole = fill(autoscaling_v2.HorizontalPodAutoscaler)
    for metric in (*whole.spec.metrics, *whole.status.currentMetrics):
        metric.type = kind
        for name in ("containerResource", "external", "object", "pods", "resource"):
            if name != field:
                setattr(metric, name, None)
    target = getattr(whole.spec.metrics[0], field).target
    target.type, target.averageUtilization, target.value = "AverageValue", None, None
    current = getattr(whole.status.currentMetrics[0], field).current
    current.averageUtilization, current.value = None, None
    assert codec.encode(to_v2(from_v2(codec.copy(whole)))) == codec.encode(whole)


def test_an_annotation_that_cannot_be_read_counts_as_none() -> None:
    one = from_v2(made(HPA, autoscaler(metrics=[MEMORY])))
    for text in ("[", "[1]", '[{"type":1}]', "null"):
        one.metadata.annotations["autoscaling.alpha.kubernetes.io/metrics"] = text
        assert not to_v2(one).spec.metrics


def test_targets() -> None:
    found = made(HPA, autoscaler(metrics=[MEMORY, MEMORY, MEMORY]))
    assert cells(HPA, found, NOW)["Targets"] == "memory: <unknown>/10Mi, memory: <unknown>/10Mi + 1 more..."
    value = autoscaling_v2.MetricValueStatus(averageUtilization=35)
    resource = autoscaling_v2.ResourceMetricStatus(name="cpu", current=value)
    found = made(HPA, autoscaler())
    found.status.currentMetrics = [autoscaling_v2.MetricStatus(type="Resource", resource=resource)]
    assert cells(HPA, found, NOW)["Targets"] == "cpu: 35%/80%"
