"""Deployments and ReplicaSets against the real API server in memory."""

import pytest

from tests.controllers.cluster import Cluster, deployment, replica_set, template
from tiphys.api import apps_v1, core_v1, meta_v1


@pytest.fixture
async def cluster():
    async with Cluster() as found:
        yield found


async def test_replica_set_makes_its_pods(cluster: Cluster) -> None:
    rs = await cluster.create(replica_set(replicas=3))
    await cluster.until(lambda: len(cluster.all(core_v1.Pod)) == 3, core_v1.Pod)
    for pod in cluster.all(core_v1.Pod):
        assert pod.metadata.name.startswith("web-") and len(pod.metadata.name) == len("web-") + 5
        (owner,) = pod.metadata.ownerReferences
        assert (owner.kind, owner.uid, owner.controller, owner.blockOwnerDeletion) == (
            "ReplicaSet",
            rs.metadata.uid,
            True,
            True,
        )
    status = await cluster.until(
        lambda: (found := cluster.all(apps_v1.ReplicaSet)) and found[0].status.replicas == 3 and found[0].status,
        apps_v1.ReplicaSet,
    )
    assert (status.replicas, status.fullyLabeledReplicas, status.readyReplicas) == (3, 3, None)
    assert status.observedGeneration == 1
    await cluster.mark_ready(*cluster.all(core_v1.Pod))
    await cluster.until(lambda: cluster.all(apps_v1.ReplicaSet)[0].status.availableReplicas == 3, apps_v1.ReplicaSet)


async def test_replica_set_replaces_a_deleted_pod_and_shrinks(cluster: Cluster) -> None:
    await cluster.create(replica_set(replicas=3))
    pods = await cluster.until(lambda: len(found := cluster.all(core_v1.Pod)) == 3 and found, core_v1.Pod)
    victim = pods[0]
    await cluster.client.of(core_v1.Pod).delete(victim.metadata.name, "default", grace_period_seconds=0)
    await cluster.until(
        lambda: len(found := cluster.active_pods()) == 3 and victim.metadata.uid not in {p.metadata.uid for p in found},
        core_v1.Pod,
    )
    keep = cluster.active_pods()[1]
    await cluster.mark_ready(keep)

    def shrink(rs: apps_v1.ReplicaSet) -> None:
        rs.spec.replicas = 1

    await cluster.change(apps_v1.ReplicaSet, "web", shrink)
    await cluster.until(lambda: len(cluster.active_pods()) == 1, core_v1.Pod)
    assert cluster.active_pods()[0].metadata.uid == keep.metadata.uid


async def test_replica_set_adopts_and_releases(cluster: Cluster) -> None:
    bare = core_v1.Pod(
        metadata=meta_v1.ObjectMeta(name="bare", namespace="default", labels={"app": "web"}), spec=template().spec
    )
    await cluster.create(bare)
    rs = await cluster.create(replica_set(replicas=2))
    await cluster.until(lambda: len(cluster.active_pods()) == 2, core_v1.Pod)
    await cluster.until(
        lambda: any(p.metadata.ownerReferences for p in cluster.all(core_v1.Pod) if p.metadata.name == "bare"),
        core_v1.Pod,
    )
    await cluster.client.of(core_v1.Pod).patch("bare", "default", {"metadata": {"labels": {"app": "other"}}}, "merge")
    await cluster.until(
        lambda: (
            len(cluster.all(core_v1.Pod)) == 3
            and not any(p.metadata.ownerReferences for p in cluster.all(core_v1.Pod) if p.metadata.name == "bare")
        ),
        core_v1.Pod,
    )
    owned = [p for p in cluster.all(core_v1.Pod) if p.metadata.ownerReferences]
    assert {p.metadata.ownerReferences[0].uid for p in owned} == {rs.metadata.uid}


async def test_deployment_rolls_out_and_back(cluster: Cluster) -> None:
    await cluster.create(deployment(replicas=3))
    await cluster.until(lambda: len(cluster.active_pods(image="nginx:1")) == 3, core_v1.Pod)
    (rs,) = cluster.all(apps_v1.ReplicaSet) or [None]
    assert rs is None or rs.metadata.name.startswith("web-")
    await _settle(cluster, "nginx:1", 3)
    found = await cluster.client.of(apps_v1.Deployment).get("web", "default")
    assert found.metadata.annotations["deployment.kubernetes.io/revision"] == "1"
    conditions = {c.type: (c.status, c.reason) for c in found.status.conditions or ()}
    assert conditions["Available"] == ("True", "MinimumReplicasAvailable")
    assert conditions["Progressing"] == ("True", "NewReplicaSetAvailable")

    await cluster.change(apps_v1.Deployment, "web", lambda d: setattr(d.spec, "template", template("nginx:2")))
    await _settle(cluster, "nginx:2", 3)
    assert cluster.active_pods(image="nginx:1") == []
    found = await cluster.client.of(apps_v1.Deployment).get("web", "default")
    assert found.metadata.annotations["deployment.kubernetes.io/revision"] == "2"
    assert found.status.updatedReplicas == 3 and found.status.replicas == 3
    assert found.status.observedGeneration == found.metadata.generation == 2

    await cluster.change(apps_v1.Deployment, "web", lambda d: setattr(d.spec, "template", template("nginx:1")))
    await _settle(cluster, "nginx:1", 3)
    sets = (await cluster.client.of(apps_v1.ReplicaSet).list("default")).items
    assert len(sets) == 2
    undone = next(s for s in sets if s.spec.replicas)
    assert undone.metadata.annotations["deployment.kubernetes.io/revision"] == "3"
    assert undone.metadata.annotations["deployment.kubernetes.io/revision-history"] == "1"


async def test_deployment_says_what_it_scales(cluster: Cluster) -> None:
    await cluster.create(deployment(replicas=2))
    events = await cluster.until(
        lambda: [e for e in cluster.all(core_v1.Event) if e.reason == "ScalingReplicaSet"], core_v1.Event
    )
    (rs,) = (await cluster.client.of(apps_v1.ReplicaSet).list("default")).items
    assert events[0].message == f"Scaled up replica set {rs.metadata.name} from 0 to 2"
    assert events[0].source.component == "deployment-controller"
    await cluster.change(apps_v1.Deployment, "web", lambda d: setattr(d.spec, "replicas", 5))
    await cluster.until(
        lambda: any(
            e.message == f"Scaled up replica set {rs.metadata.name} from 2 to 5" for e in cluster.all(core_v1.Event)
        ),
        core_v1.Event,
    )


async def test_paused_deployment_scales_but_does_not_roll(cluster: Cluster) -> None:
    await cluster.create(deployment(replicas=1))
    await _settle(cluster, "nginx:1", 1)

    def pause(d: apps_v1.Deployment) -> None:
        d.spec.paused = True
        d.spec.template = template("nginx:2")
        d.spec.replicas = 2

    await cluster.change(apps_v1.Deployment, "web", pause)
    await _settle(cluster, "nginx:1", 2)
    found = await cluster.client.of(apps_v1.Deployment).get("web", "default")
    assert any(c.reason == "DeploymentPaused" for c in found.status.conditions or ())
    assert len((await cluster.client.of(apps_v1.ReplicaSet).list("default")).items) == 1
    await cluster.change(apps_v1.Deployment, "web", lambda d: setattr(d.spec, "paused", None))
    await _settle(cluster, "nginx:2", 2)


async def test_recreate_never_mixes(cluster: Cluster) -> None:
    strategy = apps_v1.DeploymentStrategy(type="Recreate")
    await cluster.create(deployment(replicas=2, strategy=strategy))
    await _settle(cluster, "nginx:1", 2)
    images: set[frozenset[str]] = set()
    cluster.watch.of(core_v1.Pod).add_handler(
        added=lambda _: images.add(frozenset(p.spec.containers[0].image or "" for p in cluster.all(core_v1.Pod)))
    )
    await cluster.change(apps_v1.Deployment, "web", lambda d: setattr(d.spec, "template", template("nginx:2")))
    await _settle(cluster, "nginx:2", 2)
    assert frozenset({"nginx:1", "nginx:2"}) not in images


async def test_stuck_rollout_is_reported(cluster: Cluster) -> None:
    await cluster.create(deployment(replicas=1, progressDeadlineSeconds=60))
    await cluster.until(
        lambda: (found := cluster.all(apps_v1.Deployment)) and found[0].status.replicas == 1, apps_v1.Deployment
    )
    cluster.clock.advance(70)
    found = await cluster.until(
        lambda: [
            c
            for d in cluster.all(apps_v1.Deployment)
            for c in d.status.conditions or ()
            if c.reason == "ProgressDeadlineExceeded"
        ],
        apps_v1.Deployment,
    )
    assert found[0].status == "False"
    (rs,) = (await cluster.client.of(apps_v1.ReplicaSet).list("default")).items
    assert found[0].message == f'ReplicaSet "{rs.metadata.name}" has timed out progressing.'


async def test_history_is_cut(cluster: Cluster) -> None:
    await cluster.create(deployment(replicas=1, revisionHistoryLimit=1))
    await _settle(cluster, "nginx:1", 1)
    for number in (2, 3, 4):
        await cluster.change(
            apps_v1.Deployment, "web", lambda d, n=number: setattr(d.spec, "template", template(f"nginx:{n}"))
        )
        await _settle(cluster, f"nginx:{number}", 1)
    await cluster.until(
        lambda: (
            sorted(
                (rs.spec.template.spec.containers[0].image, rs.spec.replicas) for rs in cluster.all(apps_v1.ReplicaSet)
            )
            == [("nginx:3", 0), ("nginx:4", 1)]
        ),
        apps_v1.ReplicaSet,
    )


async def _settle(cluster: Cluster, image: str, replicas: int) -> None:
    """Play kubelet until the Deployment is complete with this image."""

    def unready() -> list[core_v1.Pod]:
        return [p for p in cluster.active_pods() if p.status.phase != "Running"]

    def complete() -> bool:
        found = next((d for d in cluster.all(apps_v1.Deployment)), None)
        if found is None:
            return False
        status = found.status
        return (
            (status.updatedReplicas, status.availableReplicas, status.replicas) == (replicas,) * 3
            and status.observedGeneration == found.metadata.generation
            and len(cluster.active_pods(image=image)) == replicas
            and any(c.reason == "NewReplicaSetAvailable" for c in status.conditions or ())
        ) or (found.spec.paused and status.availableReplicas == replicas)

    while True:
        await cluster.until(lambda: complete() or unready(), apps_v1.Deployment, core_v1.Pod)
        if complete():
            return
        await cluster.mark_ready(*unready())
