"""Controllers over real containers. Source: test/e2e/apps and test/e2e/node of the conformance list.

What controllers decide is shown in virtual time by tests/controllers; here their Pods run, fail and are replaced.
"""

import json
import time
from typing import Any

import pytest

from tests.acceptance.conformance_node.pods import (
    Object,
    all_pods,
    condition,
    container,
    create,
    execute,
    get,
    mounts,
    pod,
    until,
)
from tests.acceptance.outside import Kubectl

SLEEP = "trap 'exit 0' TERM; sleep 1000 & wait"


def workload(kind: str, name: str, script: str = SLEEP, template: Object | None = None, **spec: Any) -> Object:
    labels = {"app": name}
    inner = pod(name, container(script), **(template or {}))["spec"]
    return {
        "apiVersion": "batch/v1" if kind == "Job" else "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            **({} if kind == "Job" else {"selector": {"matchLabels": labels}}),
            "template": {"metadata": {"labels": labels}, "spec": inner},
            **spec,
        },
    }


def job(name: str, script: str, restart: str = "Never", **spec: Any) -> Object:
    return workload("Job", name, script, {"restartPolicy": restart, **spec.pop("template", {})}, **spec)


def job_is(name: str, kind: str, reason: str, **status: Any) -> Any:
    def check(found: Object) -> bool:
        told = condition(found, kind)
        given = {key: found["status"].get(key) for key in status}
        return (told.get("status"), told.get("reason"), given) == ("True", reason, status)

    return check


FAIL_ODD = "test $((JOB_COMPLETION_INDEX % 2)) -eq 0"
INDEXED: Object = {"completionMode": "Indexed"}
ON_42 = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}
INDEX_ON_42 = {"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}}]}

#: Jobs, and how each must end. apps/job.go
JOBS: list[tuple[Object, Any]] = [
    (
        job("local-restarts", "test -f /v/seen || { touch /v/seen; exit 1; }", "OnFailure", completions=2, parallelism=2,
            template={"volumes": [{"name": "v", "emptyDir": {}}]}),
        job_is("local-restarts", "Complete", "CompletionsReached", succeeded=2),
    ),
    (
        job("indexed", 'echo "$JOB_COMPLETION_INDEX $HOSTNAME"', completions=3, parallelism=3, **INDEXED),
        job_is("indexed", "Complete", "CompletionsReached", succeeded=3, completedIndexes="0-2"),
    ),
    (
        job("exit-code-fails", "exit 42", backoffLimit=6, podFailurePolicy=ON_42),
        job_is("exit-code-fails", "Failed", "PodFailurePolicy", failed=1),
    ),
    (
        job("per-index", FAIL_ODD, completions=4, parallelism=4, backoffLimitPerIndex=0, **INDEXED),
        job_is("per-index", "Failed", "FailedIndexes", failedIndexes="1,3", completedIndexes="0,2"),
    ),
    (
        job("too-many-indexes", "exit 1", completions=4, parallelism=1, backoffLimitPerIndex=0, maxFailedIndexes=1,
            **INDEXED),
        job_is("too-many-indexes", "Failed", "MaxFailedIndexesExceeded", failedIndexes="0,1"),
    ),
    (
        job("index-policy", "test $JOB_COMPLETION_INDEX -ne 0 || exit 42", completions=2, parallelism=2,
            backoffLimitPerIndex=1, podFailurePolicy=INDEX_ON_42, **INDEXED),
        job_is("index-policy", "Failed", "FailedIndexes", failedIndexes="0", completedIndexes="1"),
    ),
    (
        job("success-indexes", "test $JOB_COMPLETION_INDEX -eq 0 || sleep 1000", completions=2, parallelism=2,
            successPolicy={"rules": [{"succeededIndexes": "0"}]}, **INDEXED),
        job_is("success-indexes", "Complete", "SuccessPolicy", succeeded=1, completedIndexes="0"),
    ),
    (
        job("success-count", "test $JOB_COMPLETION_INDEX -eq 0 || sleep 1000", completions=3, parallelism=3,
            successPolicy={"rules": [{"succeededCount": 1}]}, **INDEXED),
        job_is("success-count", "Complete", "SuccessPolicy", succeeded=1, completedIndexes="0"),
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def apps(space: Kubectl) -> Kubectl:
    JOBS[0][0]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = mounts("v:/v")
    create(space, [each for each, _ in JOBS])
    return space


@pytest.mark.parametrize("row", [pytest.param(row, id=row[0]["metadata"]["name"]) for row in JOBS])
def test_how_jobs_end(apps: Kubectl, row: tuple[Object, Any]) -> None:
    name = row[0]["metadata"]["name"]
    found: Object = {}

    def look() -> bool:
        nonlocal found
        found = get(apps, f"job {name}")
        return bool(row[1](found))

    try:
        until(look, 25.0)
    except AssertionError as error:
        raise AssertionError(json.dumps(found["status"], indent=1)) from error


def test_indexes_are_seen_by_their_pods(apps: Kubectl) -> None:
    until(lambda: len([p for p in all_pods(apps) if p.startswith("indexed-")]) == 3)
    until(lambda: condition(get(apps, "job indexed"), "Complete"))
    texts = apps("logs -l job-name=indexed --tail=-1").split("\n")
    assert sorted(filter(None, texts)) == [f"{i} indexed-{i}" for i in range(3)]


def test_a_disruption_is_not_a_failure(apps: Kubectl) -> None:
    ignore = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    create(apps, [job("disrupted", "test -f /tmp/go || sleep 1000", backoffLimit=0, podFailurePolicy=ignore)])
    [first] = until(lambda: running(apps, "disrupted"))
    review = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": first, "namespace": apps.namespace}}
    path = f"/api/v1/namespaces/{apps.namespace}/pods/{first}/eviction"
    apps(f"create --raw {path} -f -", stdin=json.dumps(review))
    until(lambda: [n for n in running(apps, "disrupted") if n != first])
    assert not get(apps, "job disrupted")["status"].get("failed")
    apps("delete job disrupted --wait=false")


def running(kubectl: Kubectl, app: str) -> list[str]:
    return [
        n
        for n, p in all_pods(kubectl).items()
        if p["metadata"]["labels"].get("app") == app
        and p["status"].get("phase") == "Running"
        and condition(p, "Ready").get("status") == "True"
    ]


def test_a_stateful_set_waits_for_its_unhealthy_pod(apps: Kubectl) -> None:
    probe = {"exec": {"command": ["test", "-f", "/tmp/healthy"]}, "periodSeconds": 1, "failureThreshold": 1}
    made = workload("StatefulSet", "ordered", f"touch /tmp/healthy; {SLEEP}", replicas=1, serviceName="ordered")
    made["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = probe
    create(apps, [made])
    until(lambda: running(apps, "ordered") == ["ordered-0"])
    execute(apps, "ordered-0", "rm /tmp/healthy")
    until(lambda: not running(apps, "ordered"))
    apps("scale statefulset ordered --replicas=3")
    time.sleep(1.0)
    assert [n for n in all_pods(apps) if n.startswith("ordered-")] == ["ordered-0"]
    execute(apps, "ordered-0", "touch /tmp/healthy")
    until(lambda: running(apps, "ordered") == ["ordered-0", "ordered-1", "ordered-2"])
    apps("scale statefulset ordered --replicas=0")
    until(lambda: not [n for n in all_pods(apps) if n.startswith("ordered-")])


def test_a_burst_does_not_wait(apps: Kubectl) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    made = workload("StatefulSet", "burst", replicas=3, serviceName="burst", podManagementPolicy="Parallel")
    made["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = probe
    create(apps, [made])
    until(lambda: len([n for n in all_pods(apps) if n.startswith("burst-")]) == 3)
    apps("scale statefulset burst --replicas=0")
    until(lambda: not [n for n in all_pods(apps) if n.startswith("burst-")])


def test_a_stateful_set_makes_a_refused_pod_anew(apps: Kubectl) -> None:
    node = get(apps, "node -A")["items"][0]["metadata"]["name"]
    ports = [{"containerPort": 21017, "hostPort": 21017}]
    blocker = pod("blocker", container(SLEEP, ports=ports), nodeName=node)
    made = workload("StatefulSet", "refused", replicas=1, serviceName="refused", template={"nodeName": node})
    made["spec"]["template"]["spec"]["containers"][0]["ports"] = ports
    create(apps, [blocker])
    until(lambda: get(apps, "pod blocker")["status"].get("phase") == "Running")
    create(apps, [made])
    first = until(lambda: all_pods(apps).get("refused-0"))["metadata"]["uid"]
    until(lambda: all_pods(apps).get("refused-0", {"metadata": {"uid": first}})["metadata"]["uid"] != first)
    apps("delete pod blocker --now")
    until(lambda: running(apps, "refused") == ["refused-0"])
    apps("delete statefulset refused")


def test_a_daemon_that_failed_is_made_anew(apps: Kubectl) -> None:
    create(apps, [workload("DaemonSet", "daemon")])
    [first] = until(lambda: running(apps, "daemon"))
    apps(f'patch pod {first} --subresource status --type merge -p \'{{"status":{{"phase":"Failed"}}}}\'')
    until(lambda: [n for n in running(apps, "daemon") if n != first])
    revisions = get(apps, "controllerrevisions -l app=daemon")["items"]
    assert [r["revision"] for r in revisions] == [1]
    apps("delete daemonset daemon")
