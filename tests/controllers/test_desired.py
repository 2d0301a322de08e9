"""Decisions as tables: one named row each, no server and no clock."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.controllers.cluster import deployment, replica_set, template
from tiphys.api import apps_v1, core_v1, discovery_v1, meta_v1
from tiphys.controllers.deployment import annotations, desired, history, rolling, scaling, status
from tiphys.controllers.deployment.desired import Generations
from tiphys.controllers.endpoints.desired import subsets
from tiphys.controllers.endpointslice import desired as slices
from tiphys.controllers.endpointslice.controller import _owner
from tiphys.controllers.endpointslice.packing import plan
from tiphys.controllers.garbagecollector.graph import Graph, Identity, Owner, Seen
from tiphys.controllers.nodeipam.ranges import Exhausted, Ranges
from tiphys.controllers.nodes import tolerates
from tiphys.controllers.replicaset.desired import Create, Delete, deletion_cost, ranked
from tiphys.controllers.replicaset.desired import desired as replicas_desired
from tiphys.controllers.tainteviction.desired import leaves_at
from tiphys.machinery import codec, times

NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)


def ago(seconds: float) -> times.Time:
    return times.format_time(NOW - timedelta(seconds=seconds))


def pod(name: str, node: str = "n1", ready: bool = True, **options: object) -> core_v1.Pod:
    ready_for = options.pop("ready_for", 100)
    conditions = [core_v1.PodCondition(type="Ready", status=str(ready), lastTransitionTime=ago(float(str(ready_for))))]
    metadata = {
        "name": name,
        "namespace": "default",
        "uid": name,
        "labels": {"app": "web"},
        "creationTimestamp": ago(1000),
    }
    for field in ("annotations", "creationTimestamp", "deletionTimestamp", "labels"):
        if field in options:
            metadata[field] = options.pop(field)
    found = core_v1.Pod(
        metadata=meta_v1.ObjectMeta(**metadata),
        spec=core_v1.PodSpec(nodeName=node or None, containers=[core_v1.Container(name="c")]),
        status=core_v1.PodStatus(phase="Running", conditions=conditions, podIP="10.0.0.1"),
    )
    for field, value in options.items():
        setattr(found.status, field, value)
    return found


# ReplicaSet


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pod("z", node=""), pod("a")),
        (pod("z", phase="Pending"), pod("a")),
        (pod("z", ready=False), pod("a")),
        (pod("z", annotations={"controller.kubernetes.io/pod-deletion-cost": "-1"}), pod("a")),
        (pod("z", node="crowded"), pod("a")),
        (pod("z", ready_for=10), pod("a", ready_for=100)),
        (
            pod("z", containerStatuses=[core_v1.ContainerStatus(name="c", restartCount=3)]),
            pod("a", containerStatuses=[core_v1.ContainerStatus(name="c", restartCount=1)]),
        ),
        (pod("z", creationTimestamp=ago(10)), pod("a", creationTimestamp=ago(1000))),
        (pod("a", ready_for=100), pod("z", ready_for=101)),
    ],
    ids=[
        "unassigned",
        "pending",
        "not ready",
        "cheap",
        "crowded node",
        "ready more recently",
        "restarted more",
        "younger",
        "equally old, to the power of two: by uid",
    ],
)
def test_deletion_order(first: core_v1.Pod, second: core_v1.Pod) -> None:
    names = [p.metadata.name for p in ranked([second, first], {"n1": 1, "crowded": 2}, NOW)]
    assert names == [first.metadata.name, second.metadata.name]


@pytest.mark.parametrize(
    ("text", "cost"), [("10", 10), ("-3", -3), ("0", 0), ("+1", 0), ("007", 0), ("x", 0), ("99999999999", 0)]
)
def test_deletion_cost(text: str, cost: int) -> None:
    assert deletion_cost(pod("a", annotations={"controller.kubernetes.io/pod-deletion-cost": text})) == cost


def test_replicas() -> None:
    pods = [pod("a"), pod("b", ready=False)]
    assert replicas_desired(replica_set(replicas=5), pods, {}, NOW) == Create(3)
    assert replicas_desired(replica_set(replicas=2), pods, {}, NOW) is None
    action = replicas_desired(replica_set(replicas=1), pods, {}, NOW)
    assert isinstance(action, Delete) and [p.metadata.name for p in action.pods] == ["b"]


# Deployment


def sized(
    name: str, replicas: int, available: int = -1, desired_size: int = 10, maximum: int = 13
) -> apps_v1.ReplicaSet:
    rs = replica_set(name, replicas)
    rs.metadata.uid = name
    rs.metadata.creationTimestamp = ago(1000 - ord(name[0]))
    rs.metadata.annotations = annotations.with_sizes({}, desired_size, maximum)
    rs.status.replicas = replicas
    rs.status.availableReplicas = replicas if available < 0 else available
    return rs


def rolling_deployment(replicas: int, surge: int | str, unavailable: int | str) -> apps_v1.Deployment:
    update = apps_v1.RollingUpdateDeployment(maxSurge=surge, maxUnavailable=unavailable)
    return deployment(
        replicas=replicas, strategy=apps_v1.DeploymentStrategy(type="RollingUpdate", rollingUpdate=update)
    )


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (1, "25%", "25%", (1, 0)),
        (10, 0, 0, (0, 1)),
        (10, 0, "5%", (0, 1)),
        (2, 1, 5, (1, 2)),
        (0, 1, 1, (1, 0)),
    ],
)
def test_fenceposts(replicas: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]) -> None:
    found = rolling_deployment(replicas, surge, unavailable)
    assert (desired.max_surge(found), desired.max_unavailable(found)) == expected


@pytest.mark.parametrize(
    ("surge", "unavailable", "old", "new", "grows_to", "shrinks_to"),
    [
        (3, 2, (10, 10), (0, 0), 3, 8),
        (3, 2, (8, 8), (3, 0), 5, 8),
        (3, 2, (8, 8), (5, 5), None, 3),
        (3, 2, (10, 4), (0, 0), 3, 8),
        (0, 2, (10, 10), (0, 0), None, 8),
        (3, 2, (0, 0), (12, 10), 10, None),
        (3, 0, (10, 10), (3, 2), None, 8),
    ],
    ids=[
        "start",
        "surge is used up",
        "new ones serve",
        "unhealthy ones first",
        "no surge",
        "too many new ones",
        "as many as serve anew",
    ],
)
def test_rolling_steps(
    surge: int,
    unavailable: int,
    old: tuple[int, int],
    new: tuple[int, int],
    grows_to: int | None,
    shrinks_to: int | None,
) -> None:
    found = rolling_deployment(10, surge, unavailable)
    sets = Generations(sized("n", *new), (sized("o", *old),))
    growth = rolling.grown(found, sets)
    assert (growth.replicas if growth else None) == grows_to
    shrinking = rolling.shrunk(found, sets)
    assert ([s.replicas for s in shrinking] or [None])[0] == (shrinks_to if shrinks_to != old[0] else None)


@pytest.mark.parametrize(
    ("replicas", "sizes", "expected"),
    [
        (20, {"o": 8, "n": 5}, {"o": 14, "n": 9}),
        (5, {"o": 8, "n": 5}, {"o": 5, "n": 3}),
        (0, {"o": 8, "n": 5}, {"o": 0, "n": 0}),
    ],
    ids=["up", "down", "to nothing"],
)
def test_proportional_scaling(replicas: int, sizes: dict[str, int], expected: dict[str, int]) -> None:
    found = rolling_deployment(replicas, 3, 2)
    assert scaling.is_scaling(found, [sized("o", 8)])
    scales = scaling.scaled(found, Generations(sized("n", sizes["n"]), (sized("o", sizes["o"]),)))
    assert {scale.rs.metadata.name: scale.replicas for scale in scales} == expected


def test_undo_moves_the_revision_on_and_keeps_its_history() -> None:
    found = deployment()
    noted = {annotations.REVISION: "1"}
    noted = annotations.for_new_replica_set(found, noted, 3)
    assert noted == {annotations.REVISION: "3", annotations.REVISION_HISTORY: "1"}
    noted = annotations.for_new_replica_set(found, noted, 5)
    assert noted[annotations.REVISION_HISTORY] == "1,3"
    assert annotations.for_new_replica_set(found, noted, 5) == noted


def test_a_new_set_is_named_by_its_template() -> None:
    found = deployment()
    rs = desired.new_replica_set(found, [])
    digest = rs.metadata.labels["pod-template-hash"]
    assert rs.metadata.name == f"web-{digest}" and len(digest) == 10
    assert rs.spec.selector.matchLabels == {"app": "web", "pod-template-hash": digest}
    assert rs.spec.template is not None and rs.spec.template.metadata is not None
    assert rs.spec.template.metadata.labels == {"app": "web", "pod-template-hash": digest}
    assert desired.same_template(rs.spec.template, found.spec.template)
    assert desired.generations(found, [rs]).new is rs
    found.status.collisionCount = 1
    assert desired.new_replica_set(found, []).metadata.name != rs.metadata.name


def test_history_keeps_the_newest_and_what_still_runs() -> None:
    old = [sized(name, size) for name, size in (("a", 0), ("b", 1), ("c", 0), ("d", 0))]
    for number, rs in enumerate(old):
        rs.metadata.annotations[annotations.REVISION] = str(number + 1)
    names = [rs.metadata.name for rs in history.superfluous(deployment(revisionHistoryLimit=1), old)]
    assert names == ["a", "c"]


def test_a_condition_that_says_the_same_keeps_its_times() -> None:
    listed = status.with_condition([], "Progressing", "True", "A", "one", NOW)
    later = NOW + timedelta(seconds=60)
    assert status.with_condition(listed, "Progressing", "True", "A", "two", later) == listed
    (changed,) = status.with_condition(listed, "Progressing", "True", "B", "three", later)
    assert (changed.lastTransitionTime, changed.lastUpdateTime) == (ago(0), times.format_time(later))
    (turned,) = status.with_condition(listed, "Progressing", "False", "C", "four", later)
    assert turned.lastTransitionTime == times.format_time(later)


def test_rollout_status_applied_to_itself_changes_nothing() -> None:
    found = rolling_deployment(10, 3, 2)
    found.spec.progressDeadlineSeconds = 600
    sets = Generations(sized("n", 10), ())
    found.status = status.rollout(found, sets, NOW)
    assert status.find(found.status, "Progressing").reason == "NewReplicaSetAvailable"  # type: ignore[union-attr]
    assert status.rollout(found, sets, NOW + timedelta(hours=1)) == found.status


# Endpoints


def service(**spec: object) -> core_v1.Service:
    spec.setdefault("ports", [core_v1.ServicePort(name="http", port=80, targetPort=8080)])
    spec.setdefault("clusterIP", "10.96.0.1")
    return core_v1.Service(
        metadata=meta_v1.ObjectMeta(name="web", namespace="default", uid="s"),
        spec=core_v1.ServiceSpec(selector={"app": "web"}, **spec),
    )


@pytest.mark.parametrize(
    ("found", "publish", "expected"),
    [
        (pod("a"), False, (True, True, False)),
        (pod("a", ready=False), False, (False, False, False)),
        (pod("a", ready=False), True, (True, False, False)),
        (pod("a", deletionTimestamp=ago(1)), False, (False, True, True)),
        (pod("a", deletionTimestamp=ago(1)), True, (True, True, True)),
        (pod("a", phase="Succeeded"), False, None),
        (pod("a", podIP=None), False, None),
    ],
    ids=["ready", "unready", "unready published", "terminating", "terminating published", "finished", "no address"],
)
def test_endpoint_conditions(found: core_v1.Pod, publish: bool, expected: tuple[bool, ...] | None) -> None:
    groups = slices.desired(service(publishNotReadyAddresses=publish), [found], {"n1": "z1"})
    endpoints = [endpoint for group in groups.values() for endpoint in group]
    if expected is None:
        assert endpoints == []
        return
    (endpoint,) = endpoints
    conditions = endpoint.conditions
    assert conditions is not None and (conditions.ready, conditions.serving, conditions.terminating) == expected
    assert (endpoint.nodeName, endpoint.zone) == ("n1", "z1")


def test_named_ports_split_slices() -> None:
    one, two = pod("a"), pod("b", podIP="10.0.0.2")
    for found, number in ((one, 8080), (two, 9090)):
        found.spec.containers[0].ports = [core_v1.ContainerPort(name="web", containerPort=number)]
    named = service(ports=[core_v1.ServicePort(name="http", port=80, targetPort="web")])
    groups = slices.desired(named, [one, two], {})
    assert sorted(ports[0][1] for _, ports in groups) == [8080, 9090]


def made(found: core_v1.Service, count: int) -> slices.Groups:
    pods = [pod(f"p{number:03}", podIP=f"10.0.{number // 250}.{number % 250}") for number in range(count)]
    return slices.desired(found, pods, {})


def applied(existing: list[discovery_v1.EndpointSlice], groups: slices.Groups) -> list[discovery_v1.EndpointSlice]:
    changes = plan(_owner(service()), existing, groups)
    kept = {s.metadata.name: s for s in existing if s not in changes.delete}
    kept |= {s.metadata.name: s for s in changes.update}
    for number, new in enumerate(changes.create):
        new.metadata.name = f"s{len(kept)}-{number}"
        kept[new.metadata.name] = new
    return list(kept.values())


@pytest.mark.parametrize("counts", [(0,), (1,), (100,), (101,), (250, 30, 0, 120), (99, 100, 101, 100)])
def test_slices_hold_everything_once_and_never_too_much(counts: tuple[int, ...]) -> None:
    existing: list[discovery_v1.EndpointSlice] = []
    for count in counts:
        groups = made(service(), count)
        existing = applied(existing, groups)
        held = [e.targetRef.name for s in existing for e in s.endpoints or () if e.targetRef]
        assert sorted(held) == [f"p{number:03}" for number in range(count)]
        assert all(len(s.endpoints or ()) <= 100 for s in existing) and existing
        assert plan(_owner(service()), [codec.copy(s) for s in existing], groups).empty


def test_one_changed_pod_changes_one_slice() -> None:
    existing = applied([], made(service(), 250))
    groups = made(service(), 250)
    next(iter(groups.values()))[0].conditions = discovery_v1.EndpointConditions(ready=False)
    changes = plan(_owner(service()), existing, groups)
    assert (len(changes.create), len(changes.update), len(changes.delete)) == (0, 1, 0)


def test_subsets_separate_ready_from_not() -> None:
    pods = [pod("a"), pod("b", ready=False, podIP="10.0.0.2"), pod("c", podIP="10.0.0.3", deletionTimestamp=ago(1))]
    (subset,) = subsets(service(), pods)
    assert [a.ip for a in subset.addresses or ()] == ["10.0.0.1"]
    assert [a.ip for a in subset.notReadyAddresses or ()] == ["10.0.0.2"]


# Nodes


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        ([], "now"),
        ([{"operator": "Exists"}], None),
        ([{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}], 30),
        (
            [
                {"key": "k", "operator": "Exists", "tolerationSeconds": 30},
                {"operator": "Exists", "tolerationSeconds": 10},
            ],
            10,
        ),
        ([{"key": "k", "operator": "Equal", "value": "other"}], "now"),
        ([{"key": "k", "operator": "Exists", "effect": "NoSchedule"}], "now"),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": -5}], 0),
    ],
)
def test_when_a_pod_leaves(tolerations: list[dict[str, object]], expected: object) -> None:
    found = pod("a")
    found.spec.tolerations = [core_v1.Toleration(**t) for t in tolerations]
    taint = core_v1.Taint(key="k", effect="NoExecute", timeAdded=ago(0))
    when = leaves_at(found, [taint, core_v1.Taint(key="other", effect="NoSchedule")], NOW)
    if expected is None:
        assert when is None
    elif expected == "now":
        assert when is not None and when < NOW
    else:
        assert when == NOW + timedelta(seconds=float(str(expected)))


def test_an_empty_key_tolerates_only_with_exists() -> None:
    taint = core_v1.Taint(key="k", effect="NoExecute")
    assert not tolerates(core_v1.Toleration(operator="Equal", value=""), taint)
    assert tolerates(core_v1.Toleration(operator="Exists"), taint)


def test_ranges_are_given_in_a_circle_and_never_twice() -> None:
    ranges = Ranges("10.0.0.0/22", 24)
    ranges.occupy("10.0.1.0/24")
    assert [ranges.take(), ranges.take()] == ["10.0.0.0/24", "10.0.2.0/24"]
    ranges.release("10.0.0.0/24")
    assert ranges.take() == "10.0.3.0/24"
    assert ranges.take() == "10.0.0.0/24"
    with pytest.raises(Exhausted):
        ranges.take()


def test_a_range_cut_with_another_mask_blocks_all_it_touches() -> None:
    ranges = Ranges("10.0.0.0/22", 24)
    assert ranges.occupy("10.0.0.0/23")
    assert not ranges.occupy("192.168.0.0/24")
    assert ranges.take() == "10.0.2.0/24"


# Garbage collection


def seen(uid: str, *owners: str, finalizers: tuple[str, ...] = (), deleting: bool = False) -> Seen:
    references = tuple(Owner("v1", "K", owner, owner, True) for owner in owners)
    return Seen(Identity("", "K", "ns", uid, uid), "1", references, finalizers, deleting)


def test_a_dependent_before_its_owner_makes_a_virtual_owner() -> None:
    graph = Graph()
    assert graph.observe(seen("child", "parent")) == ["parent"]
    parent = graph.get("parent")
    assert parent is not None and parent.virtual
    assert graph.observe(seen("parent")) == []
    assert not parent.virtual and parent.dependents == {"child"}


def test_an_owner_that_goes_has_its_dependents_looked_at() -> None:
    graph = Graph()
    graph.observe(seen("parent"))
    graph.observe(seen("child", "parent"))
    assert graph.remove("parent") == ["child"]
    assert graph.remove("parent") == []


def test_foreground_deletion_looks_at_dependents_and_is_told_of_their_end() -> None:
    graph = Graph()
    graph.observe(seen("parent"))
    graph.observe(seen("child", "parent"))
    assert graph.observe(seen("parent", finalizers=("foregroundDeletion",), deleting=True)) == ["child", "parent"]
    assert graph.observe(seen("parent", finalizers=("foregroundDeletion",), deleting=True)) == []
    assert graph.remove("child") == ["parent"]


def test_a_dependent_that_lets_go_unblocks_its_owner() -> None:
    graph = Graph()
    graph.observe(seen("parent", finalizers=("foregroundDeletion",), deleting=True))
    graph.observe(seen("child", "parent"))
    assert graph.observe(seen("child")) == ["parent"]


def test_template_equality_ignores_the_hash_only() -> None:
    one, two = template(), template()
    assert two.metadata is not None
    two.metadata.labels = {**two.metadata.labels, "pod-template-hash": "x"}
    assert desired.same_template(one, two)
    two.metadata.labels = {**two.metadata.labels, "other": "x"}
    assert not desired.same_template(one, two)
