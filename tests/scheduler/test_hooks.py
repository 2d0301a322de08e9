"""What has a say between a decision and its binding: functions of a user's own, against a real API server."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.scheduler import own_plugins
from tests.scheduler.test_loop import messages, pod
from tiphys.machinery.conditions import find_condition
from tiphys.scheduler.configuration import API_VERSION, KIND, configured
from tiphys.testing.cluster import Cluster

ASK = f"{own_plugins.NAME}ask"
POINTS = {"filter": "choosy", "reserve": "note", "permit": "ask", "preBind": "prepare", "postBind": "finished"}
PLUGINS = {point: {"enabled": [{"name": f"{own_plugins.NAME}{name}"}]} for point, name in POINTS.items()}
CONFIG = configured({"apiVersion": API_VERSION, "kind": KIND, "profiles": [{"plugins": PLUGINS}]})


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    own_plugins.calls.clear()
    with Cluster(scheduler=CONFIG) as made:
        yield made


def noted(name: str, **annotations: str) -> dict[str, Any]:
    made = pod(name, "6")
    made["metadata"]["annotations"] = annotations
    return made


def refusals(cluster: Cluster, name: str) -> list[str]:
    return messages(cluster, name, "FailedScheduling")


def test_each_point_is_reached_in_order(cluster: Cluster) -> None:
    cluster.apply(noted("p"))
    assert cluster.get("pod/p").spec.nodeName == "node-1"
    assert own_plugins.calls == ["reserve p node-1", "preBind p", "postBind p"]


@pytest.mark.parametrize(
    ("annotation", "told", "reason"),
    [
        ("refuse-reserve", "0/1 nodes are available: 1 no.", "Unschedulable"),
        ("refuse-permit", "0/1 nodes are available: 1 no.", "Unschedulable"),
        ("fail-prebind", f'running PreBind plugin "{own_plugins.NAME}prepare": no', "SchedulerError"),
    ],
)
def test_a_refusal_gives_the_room_back(cluster: Cluster, annotation: str, told: str, reason: str) -> None:
    cluster.apply(noted("p", **{annotation: "no"}))
    found = cluster.get("pod/p")
    assert found.spec.nodeName is None
    assert refusals(cluster, "p")[0] == told
    condition = find_condition(found.status.conditions, "PodScheduled")
    assert condition is not None
    assert (condition.reason, condition.message) == (reason, told)
    assert ("unreserve p node-1" in own_plugins.calls) == (annotation != "refuse-reserve")
    # The node has room for one such Pod only.
    cluster.apply(noted("q"))
    cluster.advance("1s")
    assert cluster.get("pod/q").spec.nodeName == "node-1"


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        ("raise-filter", f'running "{own_plugins.NAME}choosy" filter plugin: out of cheese'),
        (
            "raise-reserve",
            f'0/1 nodes are available: 1 running Reserve plugin "{own_plugins.NAME}note": out of cheese.',
        ),
    ],
)
def test_a_function_that_raises_fails_its_pod_alone(cluster: Cluster, annotation: str, told: str) -> None:
    cluster.apply(noted("p", **{annotation: "yes"}))
    assert refusals(cluster, "p") == [told]
    cluster.apply(noted("q", **{"raise-postbind": "yes"}))
    cluster.advance("1s")
    assert cluster.get("pod/q").spec.nodeName == "node-1"
    cluster.patch("pod/p", {"metadata": {"annotations": {annotation: None}}})
    cluster.delete("pod/q")
    cluster.advance("6m")
    assert cluster.get("pod/p").spec.nodeName == "node-1"


def test_a_pod_waits_until_it_is_allowed(cluster: Cluster) -> None:
    cluster.apply(noted("p", wait="60"))
    cluster.advance("10s")
    waiting = own_plugins.waiting_of[0]
    assert [info.key for info in waiting.pods()] == ["default/p"]
    cluster.apply(noted("q"))
    assert "1 Insufficient cpu" in refusals(cluster, "q")[0], "its room is kept meanwhile"
    waiting.allow(waiting.pods()[0].uid, ASK)
    cluster.advance("1s")
    assert cluster.get("pod/p").spec.nodeName == "node-1"
    assert not waiting.pods()


def test_a_pod_that_waits_is_rejected_by_name_or_in_time(cluster: Cluster) -> None:
    cluster.apply(noted("p", wait="90"))
    cluster.advance("1s")
    waiting = own_plugins.waiting_of[0]
    waiting.reject(waiting.pods()[0].uid, ASK, "changed my mind")
    cluster.advance("1s")
    assert refusals(cluster, "p") == ["0/1 nodes are available: 1 changed my mind."]
    cluster.advance("8m")
    assert refusals(cluster, "p")[-1] == (
        f"0/1 nodes are available: 1 rejected due to timeout after waiting 1m30s at plugin {ASK}."
    )


def test_a_pod_that_is_deleted_while_it_waits_gives_its_room_back(cluster: Cluster) -> None:
    cluster.apply(noted("p", wait="600"), noted("q"))
    cluster.delete("pod/p")
    cluster.advance("15s")
    assert not own_plugins.waiting_of[0].pods()
    assert cluster.get("pod/q").spec.nodeName == "node-1"
