"""In-place resize: what the worker asks for, what the status tells, and what a new kubelet knows."""

from typing import Any

import msgspec
import pytest

from tests.kubelet.test_worker import Driver, emitted, kinds, reported
from tiphys.api import core_v1, meta_v1
from tiphys.kubelet import protocol as w
from tiphys.kubelet import resize, statuspatch
from tiphys.kubelet.resize import Refusal
from tiphys.kubelet.worker import PodWorker
from tiphys.machinery import codec


def sized(cpu: str, memory: str = "32Mi", **fields: Any) -> dict[str, Any]:
    return {
        "name": "main",
        "image": "example.test/box:1",
        "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}},
        **fields,
    }


def running(**fields: Any) -> Driver:
    d = Driver(containers=[sized("100m", **fields)])
    d.pod.metadata.generation = 1
    d.begin()
    d.run("main")
    return d


def ask(d: Driver, cpu: str, memory: str = "32Mi", **fields: Any) -> list[w.Instruction]:
    spec = msgspec.structs.replace(
        d.pod.spec, containers=[codec.convert(core_v1.Container, sized(cpu, memory, **fields))]
    )
    d.pod = msgspec.structs.replace(
        d.pod,
        spec=spec,
        metadata=msgspec.structs.replace(d.pod.metadata, generation=(d.pod.metadata.generation or 0) + 1),
    )
    return d.post(w.Updated(d.pod))


def passing(status: core_v1.PodStatus) -> list[tuple[str, str | None]]:
    owned = (resize.PENDING, resize.IN_PROGRESS)
    return [(c.type, c.reason) for c in status.conditions or () if c.type in owned]


def cpu_of(status: core_v1.PodStatus) -> tuple[str, str]:
    found = (status.containerStatuses or [])[0]
    assert found.resources is not None
    return (found.resources.requests or {})["cpu"], (found.allocatedResources or {})["cpu"]


def test_a_granted_resize_goes_to_the_runtime_and_then_into_the_status() -> None:
    d = running()
    assert kinds(ask(d, "200m")) == []
    assert d.worker.wants_resize
    granted = d.post(w.ResizeJudged())
    assert kinds(granted) == ["ResizeContainer"]
    assert passing(reported(granted)) == [("PodResizeInProgress", None)]
    assert cpu_of(reported(granted)) == ("100m", "200m")
    [(reason, message)] = emitted(granted)
    assert reason == "ResizeStarted"
    told = '{"limits":{"cpu":"200m","memory":"32Mi"},"requests":{"cpu":"200m","memory":"32Mi"}}'
    assert message == f'Pod resize started: {{"containers":[{{"name":"main","resources":{told}}}],"generation":2}}'
    assert kinds(d.later(1)) == [], "it is under way"
    done = d.post(w.ResizeDone("main-0", "main", d.pod.spec.containers[0].resources))
    assert [reason for reason, _ in emitted(done)] == ["ResizeCompleted"]
    assert passing(reported(done)) == []
    assert cpu_of(reported(done)) == ("200m", "200m")


def test_a_refused_resize_changes_nothing_but_a_condition() -> None:
    d = running()
    ask(d, "9")
    refusal = Refusal("Deferred", "Node didn't have enough resource: cpu", "OutOfcpu")
    refused = d.post(w.ResizeJudged(refusal))
    assert kinds(refused) == []
    assert passing(reported(refused)) == [("PodResizePending", "Deferred")]
    assert cpu_of(reported(refused)) == ("100m", "100m")
    assert [reason for reason, _ in emitted(refused)] == ["ResizeDeferred"]
    assert emitted(d.post(w.ResizeJudged(refusal))) == [], "the same is not said twice"
    back = ask(d, "100m")
    assert passing(reported(back)) == []
    assert not d.worker.wants_resize


def test_a_container_whose_policy_says_so_is_made_anew() -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    d = running(resizePolicy=policy)
    ask(d, "100m", "64Mi", resizePolicy=policy)
    killed = d.post(w.ResizeJudged())
    assert kinds(killed) == ["kill main 30"]
    assert ("Killing", "Container main resize requires restart") in emitted(killed)
    assert kinds(d.set("main", "exited", 0)) == ["start main 1"]
    finished = d.run("main", attempt=1)
    assert [reason for reason, _ in emitted(finished)] == ["ResizeCompleted"]
    assert passing(reported(finished)) == []


def test_what_the_runtime_refuses_is_told_and_tried_again() -> None:
    d = running()
    ask(d, "100m", "16Mi")
    d.post(w.ResizeJudged())
    failed = d.post(w.ResizeDone("main-0", "main", d.pod.spec.containers[0].resources, "in use"))
    assert passing(reported(failed)) == [("PodResizeInProgress", "Error")]
    assert [reason for reason, _ in emitted(failed)] == ["ResizeError"]
    assert kinds(d.later(1)) == []
    assert kinds(d.later(60)) == ["ResizeContainer"]


def test_a_new_kubelet_goes_on_where_the_old_one_was() -> None:
    d = running()
    ask(d, "200m")
    before = reported(d.post(w.ResizeJudged()))
    again = PodWorker(msgspec.structs.replace(d.pod, status=before))
    again.handle(w.Observed(d.worker.facts, complete=True), d.now)
    instructions = again.handle(w.Admitted(), d.now)
    instructions += again.handle(w.ResizeJudged(), d.now) if again.wants_resize else []
    assert "ResizeContainer" in kinds(instructions)


@pytest.mark.parametrize(
    ("cpu", "reason", "message"),
    [
        ("500m", None, ""),
        ("1500m", "Deferred", "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000"),
        ("3", "Infeasible", "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000"),
    ],
)
def test_refusal(cpu: str, reason: str | None, message: str) -> None:
    def pod(amount: str) -> core_v1.Pod:
        container = codec.convert(core_v1.Container, sized(amount))
        return core_v1.Pod(metadata=meta_v1.ObjectMeta(name="a"), spec=core_v1.PodSpec(containers=[container]))

    found = resize.refusal(pod(cpu), [pod("1")], {"cpu": "2", "memory": "1Gi"})
    assert (found.reason if found else None, found.message if found else "") == (reason, message)


def test_conditions_that_are_over_are_taken_out() -> None:
    old = {"conditions": [{"type": "PodResizePending", "status": "True"}, {"type": "Other", "status": "True"}]}
    body = statuspatch.patch("u", old, {"conditions": []})
    assert body == {
        "metadata": {"uid": "u"},
        "status": {"conditions": [{"type": "PodResizePending", "$patch": "delete"}]},
    }
