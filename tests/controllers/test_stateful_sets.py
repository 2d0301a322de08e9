"""StatefulSets: decisions as tables, and their life against the real API server in memory."""

from typing import Any

import pytest

from tests.controllers.cluster import Cluster, template
from tests.controllers.test_desired import NOW, ago
from tiphys.api import apps_v1, core_v1, meta_v1
from tiphys.controllers.revisions import POD_HASH
from tiphys.controllers.statefulset import desired, identity
from tiphys.controllers.statefulset.claims import claims_of


def stateful_set(replicas: int = 3, image: str = "nginx:1", **spec: Any) -> apps_v1.StatefulSet:
    strategy = apps_v1.RollingUpdateStatefulSetStrategy(
        partition=spec.pop("partition", 0), maxUnavailable=spec.pop("maxUnavailable", None)
    )
    update = apps_v1.StatefulSetUpdateStrategy(type="RollingUpdate", rollingUpdate=strategy)
    return apps_v1.StatefulSet(
        metadata=meta_v1.ObjectMeta(name="db", namespace="default"),
        spec=apps_v1.StatefulSetSpec(
            **{
                "replicas": replicas,
                "serviceName": "db",
                "selector": meta_v1.LabelSelector(matchLabels={"app": "web"}),
                "template": template(image),
                "updateStrategy": update,
                **spec,
            }
        ),
    )


def member(ordinal: int, revision: str = "new", ready: bool = True, **options: Any) -> core_v1.Pod:
    condition = core_v1.PodCondition(type="Ready", status=str(ready), lastTransitionTime=ago(100))
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            name=f"db-{ordinal}",
            namespace="default",
            uid=f"u{ordinal}",
            labels={POD_HASH: revision},
            deletionTimestamp=options.pop("deletionTimestamp", None),
        ),
        spec=core_v1.PodSpec(containers=[core_v1.Container(name="c")]),
        status=core_v1.PodStatus(**{"phase": "Running", "conditions": [condition], **options}),
    )


PARALLEL = {"podManagementPolicy": "Parallel"}
GOING = {"deletionTimestamp": ago(1)}


@pytest.mark.parametrize(
    ("spec", "pods", "create", "delete"),
    [
        ({}, [], [0], []),
        ({}, [member(0)], [1], []),
        ({}, [member(0, ready=False)], [], []),
        ({}, [member(0), member(1, **GOING)], [], []),
        ({}, [member(0, phase="Failed"), member(1)], [], ["db-0"]),
        (PARALLEL, [member(1, ready=False)], [0, 2], []),
        ({"ordinals": apps_v1.StatefulSetOrdinals(start=5)}, [member(5)], [6], []),
        ({"replicas": 1}, [member(0), member(1), member(2)], [], ["db-2"]),
        ({"replicas": 1}, [member(0), member(1), member(2, **GOING)], [], []),
        ({"replicas": 1}, [member(0, ready=False), member(1)], [], []),
        ({"replicas": 1}, [member(0), member(1), member(2, ready=False)], [], ["db-2"]),
        ({"replicas": 1}, [member(0), member(1, ready=False), member(2, ready=False)], [], []),
        ({"replicas": 1, **PARALLEL}, [member(0), member(1), member(2)], [], ["db-2", "db-1"]),
        ({}, [member(0, "old"), member(1, "old"), member(2, "old")], [], ["db-2"]),
        ({}, [member(0, "old"), member(1, "old"), member(2)], [], ["db-1"]),
        ({"partition": 2}, [member(0, "old"), member(1, "old"), member(2)], [], []),
        ({"maxUnavailable": 2}, [member(0, "old"), member(1, "old"), member(2, "old")], [], ["db-2", "db-1"]),
        (PARALLEL, [member(0, "old"), member(1, "old"), member(2, ready=False)], [], []),
        (PARALLEL, [member(0, "old"), member(1, "old"), member(2, "old", ready=False)], [], ["db-2"]),
        (
            {"updateStrategy": apps_v1.StatefulSetUpdateStrategy(type="OnDelete")},
            [member(0, "old"), member(1, "old"), member(2, "old")],
            [],
            [],
        ),
    ],
    ids=[
        "first",
        "next",
        "wait for the first",
        "wait for the one that goes",
        "replace the failed",
        "parallel",
        "start ordinal",
        "shrink from above",
        "shrink one at a time",
        "shrink waits for the living",
        "shrink the broken one",
        "shrink waits for the lower broken one",
        "shrink in parallel",
        "roll from above",
        "roll on",
        "partition",
        "several at a time",
        "rolling waits",
        "the broken old one is replaced",
        "on delete",
    ],
)
def test_plan(spec: dict[str, Any], pods: list[core_v1.Pod], create: list[int], delete: list[str]) -> None:
    plan = desired.plan(stateful_set(**spec), pods, "new", NOW)
    assert (plan.create, [pod.metadata.name for pod in plan.delete]) == (create, delete)


@pytest.mark.parametrize(
    ("name", "found"),
    [("db-0", ("db", 0)), ("db-10", ("db", 10)), ("a-b-3", ("a-b", 3)), ("db-01", ("", -1)), ("db", ("", -1))],
)
def test_ordinal(name: str, found: tuple[str, int]) -> None:
    assert identity.parent_and_ordinal(name) == found


def claim_template() -> core_v1.PersistentVolumeClaim:
    resources = core_v1.VolumeResourceRequirements(requests={"storage": "1Gi"})
    return core_v1.PersistentVolumeClaim(
        metadata=meta_v1.ObjectMeta(name="data"),
        spec=core_v1.PersistentVolumeClaimSpec(accessModes=["ReadWriteOnce"], resources=resources),
    )


@pytest.mark.parametrize(
    ("deleted", "scaled", "ordinal", "owner"),
    [
        ("Retain", "Retain", 0, None),
        ("Delete", "Retain", 0, "StatefulSet"),
        ("Delete", "Retain", 7, "StatefulSet"),
        ("Retain", "Delete", 0, None),
        ("Retain", "Delete", 7, "Pod"),
        ("Delete", "Delete", 0, "StatefulSet"),
        ("Delete", "Delete", 7, "Pod"),
    ],
)
def test_retention(deleted: str, scaled: str, ordinal: int, owner: str | None) -> None:
    policy = apps_v1.StatefulSetPersistentVolumeClaimRetentionPolicy(whenDeleted=deleted, whenScaled=scaled)
    sts = stateful_set(volumeClaimTemplates=[claim_template()], persistentVolumeClaimRetentionPolicy=policy)
    sts.metadata.uid = "set"
    (made,) = claims_of(sts, member(ordinal), ordinal, lambda name: None).create
    assert made.metadata.name == f"data-db-{ordinal}"
    assert [o.kind for o in made.metadata.ownerReferences] == ([owner] if owner else [])
    assert claims_of(sts, member(ordinal), ordinal, lambda name: made).update == ()


# Against the server


@pytest.fixture
async def cluster():
    async with Cluster() as found:
        yield found


async def _settle(cluster: Cluster, image: str, count: int, done: Any = None) -> apps_v1.StatefulSet:
    """Be the kubelets until all is available; the names in the order in which they became ready go to ``order``."""

    def there() -> apps_v1.StatefulSet | list[core_v1.Pod] | None:
        (sts,) = cluster.all(apps_v1.StatefulSet)
        counts = (len(cluster.active_pods(image=image)), sts.status.replicas, sts.status.availableReplicas)
        if counts == (count, count, count) and sts.status.observedGeneration == sts.metadata.generation:
            return sts
        return [p for p in cluster.active_pods() if p.status.phase != "Running"] or None

    while True:
        found = await cluster.until(there, core_v1.Pod, apps_v1.StatefulSet)
        if isinstance(found, apps_v1.StatefulSet):
            return found
        await cluster.mark_ready(*found)
        seen = {pod.metadata.uid for pod in found}
        await cluster.until(
            lambda seen=seen: (
                not any(p.metadata.uid in seen and p.status.phase != "Running" for p in cluster.all(core_v1.Pod))
            ),
            core_v1.Pod,
        )


async def test_pods_come_and_go_in_order(cluster: Cluster) -> None:
    added: list[str] = []
    cluster.watch.of(core_v1.Pod).add_handler(added=lambda pod: added.append(pod.metadata.name))
    await cluster.create(stateful_set(volumeClaimTemplates=[claim_template()]))
    sts = await _settle(cluster, "nginx:1", 3)
    assert added == ["db-0", "db-1", "db-2"]
    assert sts.status.currentRevision == sts.status.updateRevision and sts.status.currentReplicas == 3
    pod = await cluster.client.of(core_v1.Pod).get("db-1", "default")
    assert (pod.spec.hostname, pod.spec.subdomain) == ("db-1", "db")
    assert pod.metadata.labels["apps.kubernetes.io/pod-index"] == "1"
    claims = (await cluster.client.of(core_v1.PersistentVolumeClaim).list("default")).items
    assert sorted(c.metadata.name for c in claims) == ["data-db-0", "data-db-1", "data-db-2"]
    await cluster.change(apps_v1.StatefulSet, "db", lambda s: setattr(s.spec, "replicas", 1))
    await _settle(cluster, "nginx:1", 1)
    assert [p.metadata.name for p in cluster.active_pods()] == ["db-0"]
    assert len((await cluster.client.of(core_v1.PersistentVolumeClaim).list("default")).items) == 3
    messages = {e.message for e in cluster.all(core_v1.Event) if e.involvedObject.kind == "StatefulSet"}
    messages = await cluster.until(
        lambda: (
            (m := {e.message for e in cluster.all(core_v1.Event)})
            and "delete Pod db-1 in StatefulSet db successful" in m
            and m
        ),
        core_v1.Event,
    )
    assert "create Pod db-0 in StatefulSet db successful" in messages
    assert "create Claim data-db-0 Pod db-0 in StatefulSet db success" in messages


async def test_rolling_update_with_partition_and_back(cluster: Cluster) -> None:
    await cluster.create(stateful_set())
    await _settle(cluster, "nginx:1", 3)

    def update(sts: apps_v1.StatefulSet) -> None:
        sts.spec.template = template("nginx:2")
        assert sts.spec.updateStrategy.rollingUpdate is not None
        sts.spec.updateStrategy.rollingUpdate.partition = 2

    await cluster.change(apps_v1.StatefulSet, "db", update)
    sts = await _until_updated(cluster, 1)
    assert {p.metadata.name: p.spec.containers[0].image for p in cluster.active_pods()}["db-2"] == "nginx:2"
    assert sts.status.currentRevision != sts.status.updateRevision and sts.status.currentReplicas == 2
    # A Pod below the partition comes back as it was.
    await cluster.client.of(core_v1.Pod).delete("db-0", "default", grace_period_seconds=0)
    await _until_updated(cluster, 1)
    assert {p.metadata.name: p.spec.containers[0].image for p in cluster.active_pods()}["db-0"] == "nginx:1"

    def go_on(sts: apps_v1.StatefulSet) -> None:
        assert sts.spec.updateStrategy.rollingUpdate is not None
        sts.spec.updateStrategy.rollingUpdate.partition = 0

    await cluster.change(apps_v1.StatefulSet, "db", go_on)
    sts = await _settle(cluster, "nginx:2", 3)
    sts = await cluster.until(
        lambda: (s := cluster.all(apps_v1.StatefulSet)[0]).status.currentRevision == s.status.updateRevision and s,
        apps_v1.StatefulSet,
    )
    await cluster.change(apps_v1.StatefulSet, "db", lambda s: setattr(s.spec, "template", template("nginx:1")))
    await _settle(cluster, "nginx:1", 3)
    kept = (await cluster.client.of(apps_v1.ControllerRevision).list("default")).items
    assert sorted(revision.revision for revision in kept) == [2, 3]


async def _until_updated(cluster: Cluster, updated: int) -> apps_v1.StatefulSet:
    def there() -> apps_v1.StatefulSet | list[core_v1.Pod] | None:
        (sts,) = cluster.all(apps_v1.StatefulSet)
        status = sts.status
        fresh = status.observedGeneration == sts.metadata.generation
        all_there = len(cluster.active_pods()) == 3
        if all_there and (status.updatedReplicas, status.availableReplicas, status.replicas, fresh) == (
            updated,
            3,
            3,
            True,
        ):
            return sts if all(p.status.phase == "Running" for p in cluster.active_pods()) else None
        return [p for p in cluster.active_pods() if p.status.phase != "Running"] or None

    while True:
        found = await cluster.until(there, core_v1.Pod, apps_v1.StatefulSet)
        if isinstance(found, apps_v1.StatefulSet):
            return found
        await cluster.mark_ready(*found)
        seen = {pod.metadata.uid for pod in found}
        await cluster.until(
            lambda seen=seen: (
                not any(p.metadata.uid in seen and p.status.phase != "Running" for p in cluster.all(core_v1.Pod))
            ),
            core_v1.Pod,
        )


async def test_min_ready_seconds_holds_the_next_back(cluster: Cluster) -> None:
    await cluster.create(stateful_set(2, minReadySeconds=3600))
    (first,) = await cluster.until(lambda: cluster.all(core_v1.Pod), core_v1.Pod)
    await cluster.mark_ready(first)
    await cluster.until(lambda: cluster.all(apps_v1.StatefulSet)[0].status.readyReplicas == 1, apps_v1.StatefulSet)
    assert len(cluster.all(core_v1.Pod)) == 1
    cluster.clock.advance(3601)
    await cluster.until(lambda: len(cluster.all(core_v1.Pod)) == 2, core_v1.Pod)
