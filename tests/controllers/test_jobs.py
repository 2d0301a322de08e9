"""Jobs: decisions as tables, and their life against the real API server in memory."""

from typing import Any

import pytest

from tests.controllers.cluster import Cluster, meta_now
from tests.controllers.test_desired import NOW, ago
from tiphys.api import batch_v1, core_v1, meta_v1
from tiphys.controllers.job import backoff, desired, indexes, policies, tracking
from tiphys.controllers.job.template import new_pod
from tiphys.machinery import conditions

FINALIZER = desired.FINALIZER


def job(name: str = "work", **spec: Any) -> batch_v1.Job:
    container = core_v1.Container(name="c", image="busybox:1")
    template = core_v1.PodTemplateSpec(
        spec=core_v1.PodSpec(containers=[container], restartPolicy="Never", terminationGracePeriodSeconds=0)
    )
    spec = {"completions": 1, "parallelism": 1, "backoffLimit": 6, **spec}
    return batch_v1.Job(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default"), spec=batch_v1.JobSpec(template=template, **spec)
    )


def job_pod(name: str, phase: str = "Running", index: int | None = None, **options: Any) -> core_v1.Pod:
    annotations = dict(options.pop("annotations", {}))
    if index is not None:
        annotations[indexes.INDEX] = str(index)
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            name=name,
            namespace="default",
            uid=name,
            annotations=annotations,
            finalizers=[FINALIZER],
            creationTimestamp=ago(1000),
            deletionTimestamp=options.pop("deletionTimestamp", None),
        ),
        spec=core_v1.PodSpec(containers=[core_v1.Container(name="c")], nodeName=options.pop("node", "n1")),
        status=core_v1.PodStatus(phase=phase, **options),
    )


def exited(code: int, seconds: float = 100.0) -> list[core_v1.ContainerStatus]:
    ended = core_v1.ContainerStateTerminated(exitCode=code, finishedAt=ago(seconds))
    return [core_v1.ContainerStatus(name="c", state=core_v1.ContainerState(terminated=ended))]


@pytest.mark.parametrize(
    ("members", "text"),
    [([], ""), ([3], "3"), ([0, 1], "0,1"), ([0, 1, 2], "0-2"), ([0, 1, 3, 5, 6, 7, 9], "0,1,3,5-7,9")],
)
def test_indexes_as_text(members: list[int], text: str) -> None:
    assert indexes.text(members) == text
    assert indexes.parse(text, 100) == frozenset(members)


def test_indexes_beyond_completions_are_not_read() -> None:
    assert indexes.parse("1,3-9,12", 5) == {1, 3, 4}
    assert indexes.parse("1,x,3", 5) == {1}


# Policies


def _on_exit(action: str, operator: str, *values: int, container: str | None = None) -> batch_v1.PodFailurePolicy:
    codes = batch_v1.PodFailurePolicyOnExitCodesRequirement(
        operator=operator, values=[*values], containerName=container
    )
    return batch_v1.PodFailurePolicy(rules=[batch_v1.PodFailurePolicyRule(action=action, onExitCodes=codes)])


def _on_condition(action: str) -> batch_v1.PodFailurePolicy:
    pattern = batch_v1.PodFailurePolicyOnPodConditionsPattern(type="DisruptionTarget", status="True")
    return batch_v1.PodFailurePolicy(rules=[batch_v1.PodFailurePolicyRule(action=action, onPodConditions=[pattern])])


DISRUPTED = [core_v1.PodCondition(type="DisruptionTarget", status="True")]


@pytest.mark.parametrize(
    ("policy", "status", "counts", "action", "message"),
    [
        (None, {"containerStatuses": exited(1)}, True, "", ""),
        (_on_exit("Ignore", "In", 3), {"containerStatuses": exited(3)}, False, "Ignore", ""),
        (_on_exit("Ignore", "In", 3), {"containerStatuses": exited(4)}, True, "", ""),
        (_on_exit("Count", "NotIn", 3), {"containerStatuses": exited(4)}, True, "Count", ""),
        (_on_exit("FailIndex", "NotIn", 3), {"containerStatuses": exited(0)}, True, "", ""),
        (_on_exit("FailJob", "In", 3, container="other"), {"containerStatuses": exited(3)}, True, "", ""),
        (
            _on_exit("FailJob", "In", 3),
            {"containerStatuses": exited(3)},
            True,
            "FailJob",
            "Container c for pod default/p failed with exit code 3 matching FailJob rule at index 0",
        ),
        (
            _on_condition("FailJob"),
            {"conditions": DISRUPTED},
            True,
            "FailJob",
            "Pod default/p has condition DisruptionTarget matching FailJob rule at index 0",
        ),
        (_on_condition("Ignore"), {"conditions": DISRUPTED}, False, "Ignore", ""),
    ],
    ids=[
        "no policy",
        "ignored code",
        "another code",
        "counted",
        "success never matches",
        "another container",
        "fails the Job",
        "condition fails the Job",
        "disruption ignored",
    ],
)
def test_pod_failure_policy(policy: Any, status: Any, counts: bool, action: str, message: str) -> None:
    judged = policies.judge(policy, job_pod("p", "Failed", **status))
    assert (judged.counts, judged.action, judged.message) == (counts, action, message)


@pytest.mark.parametrize(
    ("rule", "met"),
    [
        ({"succeededIndexes": "0,2"}, True),
        ({"succeededIndexes": "0,1"}, False),
        ({"succeededIndexes": "0-4", "succeededCount": 2}, True),
        ({"succeededIndexes": "0-4", "succeededCount": 3}, False),
        ({"succeededCount": 2}, True),
        ({"succeededCount": 3}, False),
    ],
)
def test_success_policy(rule: Any, met: bool) -> None:
    policy = batch_v1.SuccessPolicy(rules=[batch_v1.SuccessPolicyRule(**rule)])
    assert policies.success_rule(policy, {0, 2}, 5) == (0 if met else None)


# Back-off


@pytest.mark.parametrize(
    ("failures", "seconds", "left"),
    [(0, 0, 0), (1, 0, 10), (1, 4, 6), (2, 0, 20), (3, 50, 0), (7, 0, 600), (100, 0, 600)],
)
def test_backoff(failures: int, seconds: float, left: float) -> None:
    failed = [job_pod("p", "Failed", containerStatuses=exited(1, seconds))]
    assert backoff.seconds_left(failures, backoff.finished_at(failed[0]), NOW) == left


def test_a_success_forgives_earlier_failures() -> None:
    before = backoff.Record(4, NOW)
    succeeded = job_pod("s", "Succeeded", containerStatuses=exited(0, 50))
    early = job_pod("e", "Failed", containerStatuses=exited(1, 60))
    late = job_pod("l", "Failed", containerStatuses=exited(1, 40))
    after = backoff.following(before, [succeeded], [early, late])
    assert after == backoff.Record(1, backoff.finished_at(late))


# Plans


def _plan(wanted: batch_v1.Job, pods: list[core_v1.Pod]) -> desired.Plan:
    return desired.plan(desired.observe(wanted, pods, frozenset()), backoff.Record(), NOW)


RUNNING = [job_pod("a"), job_pod("b")]


@pytest.mark.parametrize(
    ("spec", "pods", "create", "delete"),
    [
        ({"completions": 5, "parallelism": 3}, [], 3, []),
        ({"completions": 5, "parallelism": 3}, RUNNING, 1, []),
        ({"completions": 2, "parallelism": 3}, [job_pod("a", "Succeeded")], 1, []),
        ({"completions": 5, "parallelism": 1}, [job_pod("a"), job_pod("p", "Pending", node="")], 0, ["p"]),
        ({"completions": None, "parallelism": 3}, [job_pod("s", "Succeeded"), job_pod("a")], 0, []),
        ({"completions": None, "parallelism": 3}, [job_pod("a")], 2, []),
        ({"completions": 5, "parallelism": 3, "suspend": True}, RUNNING, 0, ["a", "b"]),
        ({"completions": 3, "parallelism": 3}, [job_pod("t", deletionTimestamp=ago(1))], 3, []),
        (
            {"completions": 3, "parallelism": 3, "podReplacementPolicy": "Failed"},
            [job_pod("t", deletionTimestamp=ago(1))],
            2,
            [],
        ),
        (
            {"completions": 3, "parallelism": 2, "completionMode": "Indexed"},
            [job_pod("a", index=0), job_pod("z", "Pending", index=0), job_pod("x", index=7)],
            0,
            ["z", "x"],
        ),
    ],
    ids=[
        "from nothing",
        "fill up",
        "only what is left",
        "shrink",
        "work queue after a success",
        "work queue",
        "suspended",
        "replace what is going",
        "replace only what has gone",
        "twins and strangers go",
    ],
)
def test_plan(spec: Any, pods: list[core_v1.Pod], create: int, delete: list[str]) -> None:
    plan = _plan(job(**spec), pods)
    assert (plan.create, [pod.metadata.name for pod in plan.delete]) == (create, delete)


def test_indexes_are_filled_from_below() -> None:
    wanted = job(completions=5, parallelism=3, completionMode="Indexed")
    wanted.status.completedIndexes = "0"
    assert _plan(wanted, [job_pod("b", index=2)]).indexes == (1, 3)


def test_each_index_waits_for_itself() -> None:
    wanted = job(completions=2, parallelism=2, completionMode="Indexed", backoffLimitPerIndex=3)
    failed = job_pod("f", "Failed", index=0, containerStatuses=exited(1, 4), annotations={desired.FAILURE_COUNT: "1"})
    plan = _plan(wanted, [failed])
    assert (plan.indexes, plan.wait) == ((1,), 16.0)
    successor = new_pod(wanted, 0, failed)
    assert successor.metadata.annotations[desired.FAILURE_COUNT] == "2"
    assert successor.metadata.generateName == "work-0-" and successor.spec.hostname == "work-0"
    look = desired.observe(wanted, [failed], frozenset())
    # It keeps its finalizer, and with it the count, until its successor is there.
    assert tracking.counted(look, wanted.status, None, NOW).release == ()


@pytest.mark.parametrize(
    ("spec", "pods", "kind", "reason"),
    [
        ({"backoffLimit": 1}, [job_pod("a", "Failed")], None, None),
        ({"backoffLimit": 0}, [job_pod("a", "Failed")], "FailureTarget", "BackoffLimitExceeded"),
        ({"podFailurePolicy": _on_condition("FailJob")}, [job_pod("a", "Failed", conditions=DISRUPTED)],
         "FailureTarget", "PodFailurePolicy"),
        ({"backoffLimit": 0, "podFailurePolicy": _on_condition("Ignore")},
         [job_pod("a", "Failed", conditions=DISRUPTED)], None, None),
        ({"activeDeadlineSeconds": 10}, [job_pod("a")], "FailureTarget", "DeadlineExceeded"),
        ({"activeDeadlineSeconds": 10, "suspend": True}, [], None, None),
        ({"completionMode": "Indexed", "completions": 2, "backoffLimitPerIndex": 0},
         [job_pod("a", "Failed", index=0), job_pod("b", "Succeeded", index=1)], "FailureTarget", "FailedIndexes"),
        ({"completionMode": "Indexed", "completions": 9, "backoffLimitPerIndex": 0, "maxFailedIndexes": 0},
         [job_pod("a", "Failed", index=0)], "FailureTarget", "MaxFailedIndexesExceeded"),
        ({"completionMode": "Indexed", "completions": 9,
          "successPolicy": batch_v1.SuccessPolicy(rules=[batch_v1.SuccessPolicyRule(succeededIndexes="1")])},
         [job_pod("b", "Succeeded", index=1)], "SuccessCriteriaMet", "SuccessPolicy"),
    ],
    ids=["within the limit", "back-off limit", "fail job", "ignored", "deadline", "suspended is not active",
         "failed indexes", "too many failed indexes", "success policy"],
)  # fmt: skip
def test_verdict(spec: Any, pods: list[core_v1.Pod], kind: str | None, reason: str | None) -> None:
    wanted = job(**spec)
    wanted.status.startTime = ago(100)
    found = desired.verdict(desired.observe(wanted, pods, frozenset()), NOW)
    assert (found and (found.type, found.reason)) == (kind and (kind, reason))


def test_each_pod_is_counted_once_wherever_it_is_interrupted() -> None:
    wanted = job(completions=3, parallelism=3)
    pods = [job_pod("s", "Succeeded"), job_pod("f", "Failed"), job_pod("r")]
    look = desired.observe(wanted, pods, frozenset())
    assert (look.succeeded, look.failed, look.active) == (1, 1, 1)
    first = tracking.counted(look, wanted.status, None, NOW)
    assert first.status.uncountedTerminatedPods == batch_v1.UncountedTerminatedPods(succeeded=["s"], failed=["f"])
    # Interrupted before the finalizers went: the same again, and no more.
    wanted.status = first.status
    again = desired.observe(wanted, pods, frozenset())
    assert (again.succeeded, again.failed, again.new_succeeded, again.new_failed) == (1, 1, [], [])
    assert tracking.counted(again, wanted.status, None, NOW).status == first.status
    # Interrupted after one had gone, whether or not the cache shows it.
    after = tracking.counted(desired.observe(wanted, pods, {"s"}), wanted.status, None, NOW)
    assert (after.status.succeeded, after.status.failed) == (1, None)
    assert tracking.settled(after.status, {"r"}).failed == 1


# Against the server


@pytest.fixture
async def cluster():
    async with Cluster() as found:
        yield found


async def finish(cluster: Cluster, pod: core_v1.Pod, phase: str = "Succeeded", code: int = 0) -> None:
    ended = {"terminated": {"exitCode": code, "finishedAt": meta_now(cluster.clock)}}
    body = {
        "status": {
            "phase": phase,
            "containerStatuses": [
                {"name": "c", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": ended}
            ],
        }
    }
    calls = cluster.client.of(core_v1.Pod)
    await calls.patch(pod.metadata.name, pod.metadata.namespace, body, "merge", subresource="status")
    key = f"{pod.metadata.namespace}/{pod.metadata.name}"
    shown = cluster.watch.of(core_v1.Pod)
    await cluster.until(lambda: (p := shown.get(key)) is None or p.status.phase == phase, core_v1.Pod)


def job_conditions(found: batch_v1.Job) -> dict[str, tuple[str, str]]:
    return {c.type: (c.status, c.reason or "") for c in found.status.conditions or ()}


async def until_job(cluster: Cluster, condition: Any, name: str = "work") -> batch_v1.Job:
    def look() -> batch_v1.Job | None:
        found = cluster.watch.of(batch_v1.Job).get(f"default/{name}")
        return found if found is not None and condition(found) else None

    result: batch_v1.Job = await cluster.until(look, batch_v1.Job)
    return result


async def running(cluster: Cluster, count: int) -> list[core_v1.Pod]:
    def look() -> list[core_v1.Pod] | None:
        found = [p for p in cluster.active_pods() if p.status.phase in ("Pending", "Running")]
        return found if len(found) == count else None

    found: list[core_v1.Pod] = await cluster.until(look, core_v1.Pod)
    return found


async def test_job_runs_to_completion(cluster: Cluster) -> None:
    await cluster.create(job(completions=3, parallelism=2))
    for left in (2, 2, 1):
        pods = await running(cluster, left)
        assert all(FINALIZER in pod.metadata.finalizers for pod in pods)
        await finish(cluster, pods[0])
    done = await until_job(cluster, desired.is_finished)
    assert job_conditions(done) == {
        "SuccessCriteriaMet": ("True", "CompletionsReached"),
        "Complete": ("True", "CompletionsReached"),
    }
    assert done.status.succeeded == 3 and done.status.active is None and done.status.failed is None
    assert (done.status.ready, done.status.terminating) == (0, 0)
    assert done.status.startTime and done.status.completionTime
    assert done.status.uncountedTerminatedPods == batch_v1.UncountedTerminatedPods()
    await cluster.until(lambda: not any(p.metadata.finalizers for p in cluster.all(core_v1.Pod)), core_v1.Pod)
    await cluster.until(lambda: any(e.reason == "Completed" for e in cluster.all(core_v1.Event)), core_v1.Event)


async def test_failed_pods_are_replaced_after_a_while_and_not_for_ever(cluster: Cluster) -> None:
    await cluster.create(job(backoffLimit=1))
    (pod,) = await running(cluster, 1)
    await finish(cluster, pod, "Failed", 1)
    await until_job(cluster, lambda j: j.status.failed == 1)
    assert cluster.active_pods() == [] or cluster.active_pods()[0].metadata.uid == pod.metadata.uid
    cluster.clock.advance(10)
    (pod,) = await running(cluster, 1)
    await finish(cluster, pod, "Failed", 1)
    done = await until_job(cluster, desired.is_finished)
    assert job_conditions(done) == {
        "FailureTarget": ("True", "BackoffLimitExceeded"),
        "Failed": ("True", "BackoffLimitExceeded"),
    }
    assert done.status.failed == 2 and done.status.completionTime is None


async def test_deadline_stops_what_runs(cluster: Cluster) -> None:
    await cluster.create(job(activeDeadlineSeconds=30, completions=2, parallelism=2))
    await running(cluster, 2)
    await until_job(cluster, lambda j: j.status.active == 2)
    cluster.clock.advance(31)
    done = await until_job(cluster, desired.is_finished)
    assert job_conditions(done)["Failed"] == ("True", "DeadlineExceeded")
    await cluster.until(lambda: not cluster.active_pods(), core_v1.Pod)


async def test_suspended_job_rests_and_starts_again(cluster: Cluster) -> None:
    await cluster.create(job(suspend=True))
    rests = await until_job(cluster, lambda j: j.status.conditions)
    assert job_conditions(rests) == {"Suspended": ("True", "JobSuspended")} and rests.status.startTime is None
    assert cluster.all(core_v1.Pod) == []
    await cluster.change(batch_v1.Job, "work", lambda j: setattr(j.spec, "suspend", False))
    await running(cluster, 1)
    goes = await until_job(cluster, lambda j: j.status.active == 1)
    assert job_conditions(goes) == {"Suspended": ("False", "JobResumed")} and goes.status.startTime


async def test_indexed_job(cluster: Cluster) -> None:
    await cluster.create(job(completions=3, parallelism=3, completionMode="Indexed"))
    pods = await running(cluster, 3)
    by_index = {indexes.index_of(pod): pod for pod in pods}
    assert set(by_index) == {0, 1, 2}
    assert by_index[1].metadata.name.startswith("work-1-") and by_index[1].spec.hostname == "work-1"
    assert by_index[1].metadata.labels[indexes.INDEX] == "1"
    (variable,) = by_index[1].spec.containers[0].env or []
    assert variable.name == "JOB_COMPLETION_INDEX"
    await finish(cluster, by_index[0])
    await finish(cluster, by_index[2])
    await until_job(cluster, lambda j: j.status.completedIndexes == "0,2" and j.status.succeeded == 2)
    await finish(cluster, by_index[1])
    done = await until_job(cluster, desired.is_finished)
    assert done.status.completedIndexes == "0-2"


async def test_success_policy_ends_a_job_early(cluster: Cluster) -> None:
    policy = batch_v1.SuccessPolicy(rules=[batch_v1.SuccessPolicyRule(succeededIndexes="0")])
    await cluster.create(job(completions=2, parallelism=2, completionMode="Indexed", successPolicy=policy))
    pods = {indexes.index_of(pod): pod for pod in await running(cluster, 2)}
    await finish(cluster, pods[0])
    done = await until_job(cluster, desired.is_finished)
    assert job_conditions(done) == {
        "SuccessCriteriaMet": ("True", "SuccessPolicy"),
        "Complete": ("True", "SuccessPolicy"),
    }
    await cluster.until(lambda: not cluster.active_pods() or len(cluster.active_pods()) == 1, core_v1.Pod)
    assert done.status.failed is None


async def test_a_job_of_another_controller_is_left_alone(cluster: Cluster) -> None:
    await cluster.create(job("theirs", managedBy="example.com/other"))
    await cluster.create(job("ours"))
    await until_job(cluster, lambda j: j.status.active == 1, "ours")
    theirs = cluster.watch.of(batch_v1.Job).get("default/theirs")
    assert theirs is not None and theirs.status == batch_v1.JobStatus()


async def test_pods_of_a_deleted_job_are_let_go(cluster: Cluster) -> None:
    await cluster.create(job(completions=2, parallelism=2))
    await running(cluster, 2)
    await cluster.client.of(batch_v1.Job).delete("work", "default", propagation="Background")
    await cluster.until(lambda: not cluster.all(core_v1.Pod), core_v1.Pod)


async def test_finished_job_goes_after_its_time(cluster: Cluster) -> None:
    await cluster.create(job(ttlSecondsAfterFinished=60))
    (pod,) = await running(cluster, 1)
    await finish(cluster, pod)
    await until_job(cluster, desired.is_finished)
    cluster.clock.advance(59)
    assert cluster.all(batch_v1.Job)
    cluster.clock.advance(3)
    await cluster.until(lambda: not cluster.all(batch_v1.Job), batch_v1.Job)
    await cluster.until(lambda: not cluster.all(core_v1.Pod), core_v1.Pod)


async def test_job_adopts_with_its_finalizer(cluster: Cluster) -> None:
    made = await cluster.create(job())
    (pod,) = await running(cluster, 1)
    calls = cluster.client.of(core_v1.Pod)
    patch = {"metadata": {"ownerReferences": None, "finalizers": None}}
    await calls.patch(pod.metadata.name, "default", patch, "merge")
    await cluster.until(
        lambda: any(
            p.metadata.uid == pod.metadata.uid
            and [o.uid for o in p.metadata.ownerReferences] == [made.metadata.uid]
            and FINALIZER in p.metadata.finalizers
            for p in cluster.all(core_v1.Pod)
        ),
        core_v1.Pod,
    )


def test_conditions_are_said_in_order() -> None:
    said = [desired.condition("FailureTarget", "X", "y", NOW)]
    assert conditions.set_condition(said, desired.condition("Failed", "X", "y", NOW), NOW)[-1].type == "Failed"
