"""Rules of the kinds that hold a Pod template."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.resources.judging import UID, builtins, cells, changed, faults_of, made

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "img:1"}]}}


def workload(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE, **spec},
    }


def test_defaults_of_a_deployment() -> None:
    obj = made("deployments", workload())
    spec = builtins(obj)["spec"]
    assert spec.pop("template")["spec"]["schedulerName"] == "default-scheduler"
    assert spec == {
        "progressDeadlineSeconds": 600,
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
    }
    assert obj.metadata.generation == 1
    # Templates leave to the Pods what only Pods default.
    assert obj.spec.template.spec.enableServiceLinks is None


MISMATCH = 'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (workload(), []),
        (workload(replicas=-1), ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
        (workload(selector={}), ["spec.selector: Required value", MISMATCH]),
        (workload(selector={"matchLabels": {"app": "other"}}), [MISMATCH]),
        (
            workload(strategy={"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
            ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
        ),
        (
            workload(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}),
            ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
        ),
        (
            workload(progressDeadlineSeconds=5, minReadySeconds=5),
            ["spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"],
        ),
        (
            workload(template={**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}),
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
        ),
        (
            workload(template={**TEMPLATE, "spec": {"containers": []}}),
            ["spec.template.spec.containers: Required value"],
        ),
    ],
)
def test_faults_of_a_deployment(spec: dict[str, Any], expected: list[str]) -> None:
    assert faults_of("deployments", spec) == expected


def test_generation_of_a_deployment_counts_spec_and_annotations() -> None:
    old = made("deployments", workload())
    for change, generation in (
        (lambda new: setattr(new.spec, "replicas", 5), 2),
        (lambda new: new.metadata.annotations.update(a="b"), 2),
        (lambda new: new.metadata.labels.update(a="b"), 1),
        (lambda new: setattr(new.status, "replicas", 9), 1),
    ):
        new, errors = changed("deployments", old, change)
        assert (new.metadata.generation, errors) == (generation, [])
        assert new.status == old.status


def test_selectors_do_not_change() -> None:
    old = made("deployments", workload())

    def change(new: Any) -> None:
        new.spec.selector.matchLabels = {"app": "web", "tier": "x"}
        new.spec.template.metadata.labels = {"app": "web", "tier": "x"}

    for kind in ("deployments", "replicasets", "daemonsets"):
        old = made(kind, workload())
        _, errors = changed(kind, old, change)
        assert errors == ['spec.selector: Invalid value: {"matchLabels":{"app":"web","tier":"x"}}: field is immutable']


def test_status_of_a_deployment() -> None:
    old = made("deployments", workload())

    def change(new: Any) -> None:
        new.spec.replicas = 7
        new.status.replicas, new.status.readyReplicas, new.status.availableReplicas = 1, 2, 3

    new, errors = changed("deployments", old, change, "status")
    assert new.spec == old.spec
    assert errors == [
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
    ]


def test_columns_of_workloads() -> None:
    deployment = made("deployments", workload(replicas=3))
    deployment.status.readyReplicas = deployment.status.updatedReplicas = 2
    assert cells("deployments", deployment, NOW) == {
        "Name": "web",
        "Ready": "2/3",
        "Up-to-date": 2,
        "Available": 0,
        "Age": "<unknown>",
        "Containers": "c",
        "Images": "img:1",
        "Selector": "app=web",
    }
    shown = cells("replicasets", made("replicasets", workload(replicas=3)), NOW)
    assert (shown["Desired"], shown["Current"], shown["Ready"]) == (3, 0, 0)


def test_a_job_finds_its_pods_by_its_uid() -> None:
    template = {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
    job = made("jobs", {"metadata": {"name": "pi"}, "spec": {"template": template}})
    assert builtins(job.spec.selector) == {"matchLabels": {"batch.kubernetes.io/controller-uid": UID}}
    assert job.spec.template.metadata.labels == {
        "batch.kubernetes.io/controller-uid": UID,
        "batch.kubernetes.io/job-name": "pi",
        "controller-uid": UID,
        "job-name": "pi",
    }
    assert (job.spec.completions, job.spec.parallelism, job.spec.backoffLimit) == (1, 1, 6)
    assert faults_of("jobs", {"metadata": {"name": "pi"}, "spec": {"template": template}}) == []
    assert faults_of("jobs", {"metadata": {"name": "pi"}, "spec": {"template": TEMPLATE}}) == [
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'
    ]


def test_a_stateful_set_changes_in_few_fields() -> None:
    old = made("statefulsets", workload(serviceName="web"))
    _, errors = changed("statefulsets", old, lambda new: setattr(new.spec, "replicas", 3))
    assert errors == []
    _, errors = changed("statefulsets", old, lambda new: setattr(new.spec, "serviceName", "other"))
    assert errors[0].startswith("spec: Forbidden: updates to statefulset spec for fields other than 'replicas'")
