"""Node lifecycle, taint eviction, address ranges and Pod garbage collection, with the clock moved by hand."""

import pytest

from tests.controllers.cluster import Cluster, template
from tiphys.api import coordination_v1, core_v1, meta_v1
from tiphys.controllers.config import Config
from tiphys.machinery import times


@pytest.fixture
async def cluster():
    async with Cluster(Config(cluster_cidrs=("10.244.0.0/16",))) as found:
        for name in ("kube-node-lease", "kube-system"):
            await found.create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name=name)))
        yield found


async def add_node(cluster: Cluster, name: str, ready: str = "True") -> core_v1.Node:
    node = await cluster.create(core_v1.Node(metadata=meta_v1.ObjectMeta(name=name)))
    stamp = times.format_time(cluster.clock.now())
    conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": stamp, "reason": "KubeletReady"}]
    await cluster.client.of(core_v1.Node).patch(
        name, "", {"status": {"conditions": conditions}}, "strategic", subresource="status"
    )
    return node


async def renew(cluster: Cluster, name: str) -> None:
    spec = coordination_v1.LeaseSpec(holderIdentity=name, renewTime=times.format_micro(cluster.clock.now()))
    metadata = meta_v1.ObjectMeta(name=name, namespace="kube-node-lease")
    leases = cluster.client.of(coordination_v1.Lease)
    if any(lease.metadata.name == name for lease in (await leases.list("kube-node-lease")).items):
        await leases.patch(name, "kube-node-lease", {"spec": {"renewTime": spec.renewTime}}, "merge")
    else:
        await leases.create(coordination_v1.Lease(metadata=metadata, spec=spec))


async def add_pod(cluster: Cluster, name: str, node: str, **spec: object) -> core_v1.Pod:
    pod = core_v1.Pod(metadata=meta_v1.ObjectMeta(name=name, namespace="default"), spec=template().spec)
    assert pod.spec is not None
    pod.spec.nodeName = node
    for field, value in spec.items():
        setattr(pod.spec, field, value)
    return await cluster.create(pod)


def taints(cluster: Cluster, name: str) -> set[tuple[str, str]]:
    node = next((n for n in cluster.all(core_v1.Node) if n.metadata.name == name), None)
    return {(t.key, t.effect) for t in (node.spec.taints if node else None) or ()}


def ready(cluster: Cluster, name: str) -> str:
    for node in cluster.all(core_v1.Node):
        for condition in node.status.conditions or ():
            if node.metadata.name == name and condition.type == "Ready":
                return condition.status
    return ""


async def test_each_node_gets_its_own_range(cluster: Cluster) -> None:
    for number in range(5):
        await add_node(cluster, f"n{number}")
    await cluster.until(
        lambda: (
            sorted(n.spec.podCIDR or "" for n in cluster.all(core_v1.Node))
            == [f"10.244.{number}.0/24" for number in range(5)]
        ),
        core_v1.Node,
    )
    assert all(n.spec.podCIDRs == [n.spec.podCIDR] for n in cluster.all(core_v1.Node))


async def test_a_silent_node_is_tainted_and_its_pods_leave(cluster: Cluster) -> None:
    await add_node(cluster, "n1")
    await add_node(cluster, "n2")
    patient = core_v1.Toleration(key="node.kubernetes.io/unreachable", operator="Exists", effect="NoExecute")
    waiting = core_v1.Toleration(operator="Exists", effect="NoExecute", tolerationSeconds=300)
    await add_pod(cluster, "patient", "n1", tolerations=[patient])
    await add_pod(cluster, "waiting", "n1", tolerations=[waiting])
    await add_pod(cluster, "elsewhere", "n2")
    pods = await cluster.until(lambda: len(found := cluster.all(core_v1.Pod)) == 3 and found, core_v1.Pod)
    await cluster.mark_ready(*pods)
    await cluster.until(lambda: ready(cluster, "n1") == ready(cluster, "n2") == "True", core_v1.Node)

    cluster.clock.advance(45)
    await renew(cluster, "n2")
    await cluster.until(lambda: cluster.all(coordination_v1.Lease), coordination_v1.Lease)
    await settle(cluster, "node-lifecycle")
    assert taints(cluster, "n1") == set()
    cluster.clock.advance(10)
    unreachable = {("node.kubernetes.io/unreachable", effect) for effect in ("NoSchedule", "NoExecute")}
    await cluster.until(lambda: taints(cluster, "n1") == unreachable, core_v1.Node)
    assert ready(cluster, "n1") == "Unknown" and taints(cluster, "n2") == set() and ready(cluster, "n2") == "True"

    def pod_ready() -> dict[str, str]:
        return {
            p.metadata.name: c.status
            for p in cluster.all(core_v1.Pod)
            for c in p.status.conditions or ()
            if c.type == "Ready"
        }

    await cluster.until(
        lambda: pod_ready() == {"patient": "False", "waiting": "False", "elsewhere": "True"}, core_v1.Pod
    )
    await cluster.until(
        lambda: {e.reason for e in cluster.all(core_v1.Event)} >= {"NodeNotReady", "RegisteredNode"}, core_v1.Event
    )
    await renew(cluster, "n2")
    await settle(cluster, "taint-eviction-controller")
    assert "waiting" in {p.metadata.name for p in cluster.active_pods()}
    cluster.clock.advance(301)
    await cluster.until(
        lambda: {p.metadata.name for p in cluster.active_pods()} == {"patient", "elsewhere"}, core_v1.Pod
    )


async def test_a_node_that_says_not_ready_loses_untolerating_pods_at_once(cluster: Cluster) -> None:
    await add_node(cluster, "n1")
    await add_node(cluster, "n2")
    await add_pod(cluster, "plain", "n1", tolerations=[])
    body = {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady"}]}}
    await cluster.client.of(core_v1.Node).patch("n1", "", body, "strategic", subresource="status")
    not_ready = {("node.kubernetes.io/not-ready", effect) for effect in ("NoSchedule", "NoExecute")}
    await cluster.until(lambda: taints(cluster, "n1") == not_ready, core_v1.Node)
    await cluster.until(
        lambda: any(p.reason == "TaintManagerEviction" for p in cluster.all(core_v1.Event)), core_v1.Event
    )
    body["status"]["conditions"][0]["status"] = "True"
    await cluster.client.of(core_v1.Node).patch("n1", "", body, "strategic", subresource="status")
    await cluster.until(lambda: taints(cluster, "n1") == set(), core_v1.Node)


async def test_a_cluster_that_is_lost_altogether_evicts_nobody(cluster: Cluster) -> None:
    await add_node(cluster, "n1")
    await cluster.until(lambda: ready(cluster, "n1") == "True", core_v1.Node)
    await settle(cluster, "node-lifecycle")
    cluster.clock.advance(60)
    await cluster.until(lambda: ready(cluster, "n1") == "Unknown", core_v1.Node)
    await cluster.until(
        lambda: taints(cluster, "n1") == {("node.kubernetes.io/unreachable", "NoSchedule")}, core_v1.Node
    )


async def test_conditions_and_cordon_become_taints(cluster: Cluster) -> None:
    await add_node(cluster, "n1")
    await cluster.client.of(core_v1.Node).patch("n1", "", {"spec": {"unschedulable": True}}, "merge")
    body = {"status": {"conditions": [{"type": "MemoryPressure", "status": "True"}]}}
    await cluster.client.of(core_v1.Node).patch("n1", "", body, "strategic", subresource="status")
    await cluster.until(
        lambda: (
            taints(cluster, "n1")
            == {
                ("node.kubernetes.io/unschedulable", "NoSchedule"),
                ("node.kubernetes.io/memory-pressure", "NoSchedule"),
            }
        ),
        core_v1.Node,
    )
    await cluster.client.of(core_v1.Node).patch("n1", "", {"spec": {"unschedulable": None}}, "merge")
    await cluster.until(
        lambda: taints(cluster, "n1") == {("node.kubernetes.io/memory-pressure", "NoSchedule")}, core_v1.Node
    )


async def test_pods_of_a_missing_node_are_removed_after_a_while(cluster: Cluster) -> None:
    await add_node(cluster, "n1")
    await add_pod(cluster, "stays", "n1")
    await add_pod(cluster, "lost", "never-was")
    await cluster.until(lambda: len(cluster.all(core_v1.Pod)) == 2, core_v1.Pod)
    await settle(cluster, "pod-garbage-collector")
    cluster.clock.advance(41)
    await cluster.until(lambda: [p.metadata.name for p in cluster.all(core_v1.Pod)] == ["stays"], core_v1.Pod)


async def settle(cluster: Cluster, name: str) -> None:
    """Wait until a controller has dealt with everything that is on the server."""
    informers = cluster.controllers.informers
    await cluster.caught_up(informers.of(core_v1.Node))
    await cluster.caught_up(informers.of(core_v1.Pod))
    await cluster.caught_up(informers.of(coordination_v1.Lease, namespace="kube-node-lease"))
    await cluster.controllers.controllers[name].queue.wait_idle()


async def test_a_taint_that_does_not_say_since_when_counts_from_when_it_was_seen(cluster: Cluster) -> None:
    await add_node(cluster, "n1")
    toleration = core_v1.Toleration(key="mine", operator="Exists", effect="NoExecute", tolerationSeconds=20)
    await add_pod(cluster, "short", "n1", tolerations=[toleration])
    await add_pod(cluster, "long", "n1", tolerations=[core_v1.Toleration(operator="Exists")])
    await cluster.until(lambda: len(cluster.all(core_v1.Pod)) == 2, core_v1.Pod)
    body = {"spec": {"taints": [{"key": "mine", "effect": "NoExecute"}]}}
    await cluster.client.of(core_v1.Node).patch("n1", "", body, "strategic")
    await cluster.until(lambda: ("mine", "NoExecute") in taints(cluster, "n1"), core_v1.Node)
    await settle(cluster, "taint-eviction-controller")
    cluster.clock.advance(12)
    await settle(cluster, "taint-eviction-controller")
    assert len(cluster.active_pods()) == 2
    cluster.clock.advance(10)
    await cluster.until(lambda: {p.metadata.name for p in cluster.active_pods()} == {"long"}, core_v1.Pod)
