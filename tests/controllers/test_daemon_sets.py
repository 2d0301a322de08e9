"""DaemonSets: decisions as tables, and their life against the real API server in memory."""

from typing import Any

import pytest

from tests.controllers.cluster import Cluster, template
from tests.controllers.test_desired import NOW, ago
from tiphys.api import apps_v1, core_v1, meta_v1
from tiphys.controllers.daemonset import desired, rolling
from tiphys.controllers.revisions import POD_HASH
from tiphys.machinery import codec


def daemon_set(image: str = "nginx:1", **spec: Any) -> apps_v1.DaemonSet:
    return apps_v1.DaemonSet(
        metadata=meta_v1.ObjectMeta(name="web", namespace="default"),
        spec=apps_v1.DaemonSetSpec(
            selector=meta_v1.LabelSelector(matchLabels={"app": "web"}), template=template(image), **spec
        ),
    )


def rolls(unavailable: int | str = 1, surge: int | str = 0) -> apps_v1.DaemonSetUpdateStrategy:
    update = apps_v1.RollingUpdateDaemonSet(maxUnavailable=unavailable, maxSurge=surge)
    return apps_v1.DaemonSetUpdateStrategy(type="RollingUpdate", rollingUpdate=update)


def node(name: str, labels: dict[str, str] | None = None, *taints: core_v1.Taint) -> core_v1.Node:
    return core_v1.Node(
        metadata=meta_v1.ObjectMeta(name=name, labels=labels or {}), spec=core_v1.NodeSpec(taints=[*taints] or None)
    )


def daemon(name: str, on: str, digest: str = "new", ready: bool = True, **status: Any) -> core_v1.Pod:
    condition = core_v1.PodCondition(type="Ready", status=str(ready), lastTransitionTime=ago(100))
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            name=name, namespace="default", uid=name, labels={POD_HASH: digest}, creationTimestamp=ago(100)
        ),
        spec=core_v1.PodSpec(containers=[core_v1.Container(name="c")], nodeName=on),
        status=core_v1.PodStatus(**{"phase": "Running", "conditions": [condition], **status}),
    )


SCHEDULE = core_v1.Taint(key="k", effect="NoSchedule")
EXECUTE = core_v1.Taint(key="k", effect="NoExecute")
CORDON = core_v1.Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        (node("n1", {"disk": "ssd"}), (True, True)),
        (node("n1"), (False, False)),
        (node("n1", {"disk": "ssd"}, SCHEDULE), (False, True)),
        (node("n1", {"disk": "ssd"}, EXECUTE), (False, False)),
        (node("n1", {"disk": "ssd"}, CORDON), (True, True)),
    ],
    ids=["fits", "selector", "new ones stay away", "all leave", "cordoned"],
)
def test_belongs(found: core_v1.Node, answer: tuple[bool, bool]) -> None:
    ds = daemon_set()
    ds.spec.template.spec.nodeSelector = {"disk": "ssd"}
    assert desired.belongs(ds, found) == answer


def _managed(pods: list[core_v1.Pod], wait: float = 0.0, **spec: Any) -> tuple[list[str], list[str]]:
    nodes = [node("n1"), node("n2")]
    ds = daemon_set(**spec)
    changes = desired.managed(ds, nodes, desired.by_node(pods), "new", lambda _: wait, NOW)
    return changes.create, [pod.metadata.name for pod in changes.delete]


def test_one_per_node() -> None:
    assert _managed([]) == (["n1", "n2"], [])
    assert _managed([daemon("a", "n1"), daemon("b", "n1"), daemon("c", "n2")]) == ([], ["b"])
    assert _managed([daemon("a", "n1", phase="Failed"), daemon("c", "n2", phase="Succeeded")]) == ([], ["a", "c"])
    assert _managed([daemon("a", "n1", phase="Failed"), daemon("c", "n2")], wait=1.0) == ([], [])
    lost = desired.new_pod(daemon_set(), "gone", "new")
    lost.metadata.name = "lost"
    assert _managed([daemon("a", "n1"), daemon("c", "n2"), lost]) == ([], ["lost"])


def test_surge_keeps_the_old_until_the_new_is_available() -> None:
    surging: dict[str, Any] = {"updateStrategy": rolls(0, 1)}
    two = [daemon("c", "n2")]
    assert _managed([daemon("o", "n1", "old"), daemon("n", "n1", ready=False), *two], **surging) == ([], [])
    assert _managed([daemon("o", "n1", "old"), daemon("n", "n1"), *two], **surging) == ([], ["o"])
    assert _managed([daemon("o", "n1", "old", False), daemon("n", "n1", ready=False), *two], **surging) == ([], ["o"])


@pytest.mark.parametrize(
    ("strategy", "pods", "create", "delete"),
    [
        (rolls(1), [daemon("a", "n1", "old"), daemon("b", "n2", "old"), daemon("c", "n3", "old")], [], ["a"]),
        (rolls("50%"), [daemon("a", "n1", "old"), daemon("b", "n2", "old"), daemon("c", "n3", "old")], [], ["a", "b"]),
        (rolls(1), [daemon("a", "n1", "old"), daemon("b", "n2", "old", False), daemon("c", "n3", "old")], [], ["b"]),
        (rolls(1), [daemon("a", "n1", "old"), daemon("b", "n2", ready=False), daemon("c", "n3", "old")], [], []),
        (rolls(1), [daemon("a", "n1", "old"), daemon("c", "n3", "old")], [], []),
        (rolls(0, 1), [daemon("a", "n1", "old"), daemon("b", "n2", "old"), daemon("c", "n3")], ["n1"], []),
        (rolls(0, 1), [daemon("a", "n1", "old"), daemon("n", "n1"), daemon("b", "n2", "old")], ["n2"], ["a"]),
        (rolls(0, 1), [daemon("a", "n1", "old"), daemon("n", "n1", ready=False), daemon("b", "n2", "old")], [], []),
    ],
    ids=[
        "one at a time",
        "half, rounded up",
        "the broken first",
        "wait for the new",
        "wait for the missing",
        "surge one",
        "surge goes on",
        "surge waits",
    ],
)
def test_rolling(strategy: Any, pods: list[core_v1.Pod], create: list[str], delete: list[str]) -> None:
    nodes = [node(name) for name in ("n1", "n2", "n3")]
    changes = rolling.rolled(daemon_set(updateStrategy=strategy), nodes, desired.by_node(pods), "new", NOW)
    assert (changes.create, [pod.metadata.name for pod in changes.delete]) == (create, delete)


def test_pod_is_made_for_its_node() -> None:
    ds = daemon_set()
    before = codec.encode(ds)
    pod = desired.new_pod(ds, "n7", "abc")
    assert desired.node_of(pod) == "n7"
    assert pod.metadata.labels == {"app": "web", POD_HASH: "abc"}
    keys = [t.key for t in pod.spec.tolerations or ()]
    assert "node.kubernetes.io/unschedulable" in keys and "node.kubernetes.io/network-unavailable" not in keys
    assert codec.encode(ds) == before


# Against the server


@pytest.fixture
async def cluster():
    async with Cluster() as found:
        yield found


async def _settle(cluster: Cluster, image: str, count: int) -> apps_v1.DaemonSet:
    """Be the scheduler and the kubelets until all is available."""

    def there() -> apps_v1.DaemonSet | list[core_v1.Pod] | None:
        (ds,) = cluster.all(apps_v1.DaemonSet)
        status = ds.status
        counts = (len(cluster.active_pods(image=image)), status.updatedNumberScheduled, status.numberAvailable)
        if counts == (count, count, count) and status.observedGeneration == ds.metadata.generation:
            return ds
        return [p for p in cluster.active_pods() if p.status.phase != "Running"] or None

    while True:
        found = await cluster.until(there, core_v1.Pod, apps_v1.DaemonSet)
        if isinstance(found, apps_v1.DaemonSet):
            return found
        await cluster.mark_ready(*found)
        seen = {pod.metadata.uid for pod in found}
        await cluster.until(
            lambda seen=seen: (
                not any(p.metadata.uid in seen and p.status.phase != "Running" for p in cluster.all(core_v1.Pod))
            ),
            core_v1.Pod,
        )


async def test_a_daemon_on_every_node_and_revisions(cluster: Cluster) -> None:
    for name in ("n1", "n2"):
        await cluster.create(core_v1.Node(metadata=meta_v1.ObjectMeta(name=name)))
    await cluster.create(daemon_set())
    ds = await _settle(cluster, "nginx:1", 2)
    assert {desired.node_of(pod) for pod in cluster.active_pods()} == {"n1", "n2"}
    assert (ds.status.desiredNumberScheduled, ds.status.currentNumberScheduled, ds.status.numberReady) == (2, 2, 2)
    await cluster.create(core_v1.Node(metadata=meta_v1.ObjectMeta(name="n3")))
    await _settle(cluster, "nginx:1", 3)
    await cluster.change(apps_v1.DaemonSet, "web", lambda d: setattr(d.spec, "template", template("nginx:2")))
    await _settle(cluster, "nginx:2", 3)
    await cluster.change(apps_v1.DaemonSet, "web", lambda d: setattr(d.spec, "template", template("nginx:1")))
    await _settle(cluster, "nginx:1", 3)
    kept = (await cluster.client.of(apps_v1.ControllerRevision).list("default")).items
    assert sorted(revision.revision for revision in kept) == [2, 3]
    first = next(r for r in kept if r.revision == 3)
    assert first.metadata.name == f"web-{first.metadata.labels[POD_HASH]}"


async def test_on_delete_waits_for_the_user(cluster: Cluster) -> None:
    await cluster.create(core_v1.Node(metadata=meta_v1.ObjectMeta(name="n1")))
    await cluster.create(daemon_set(updateStrategy=apps_v1.DaemonSetUpdateStrategy(type="OnDelete")))
    await _settle(cluster, "nginx:1", 1)
    await cluster.change(apps_v1.DaemonSet, "web", lambda d: setattr(d.spec, "template", template("nginx:2")))
    await cluster.until(
        lambda: any(d.status.observedGeneration == 2 for d in cluster.all(apps_v1.DaemonSet)), apps_v1.DaemonSet
    )
    (old,) = cluster.active_pods(image="nginx:1")
    await cluster.client.of(core_v1.Pod).delete(old.metadata.name, "default", grace_period_seconds=0)
    await _settle(cluster, "nginx:2", 1)


async def test_a_node_that_no_longer_fits_loses_its_daemon(cluster: Cluster) -> None:
    for name in ("n1", "n2"):
        await cluster.create(core_v1.Node(metadata=meta_v1.ObjectMeta(name=name, labels={"disk": "ssd"})))
    ds = daemon_set()
    ds.spec.template.spec.nodeSelector = {"disk": "ssd"}
    await cluster.create(ds)
    await _settle(cluster, "nginx:1", 2)
    await cluster.client.of(core_v1.Node).patch("n1", "", {"metadata": {"labels": {"disk": None}}}, "merge")
    found = await _settle(cluster, "nginx:1", 1)
    assert found.status.desiredNumberScheduled == 1
