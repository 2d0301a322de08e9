"""Garbage collection, namespaces, service accounts and endpoints against the real API server in memory."""

import pytest

from tests.controllers.cluster import Cluster, deployment, replica_set
from tiphys.api import apps_v1, core_v1, discovery_v1, meta_v1
from tiphys.machinery import errors


@pytest.fixture
async def cluster():
    async with Cluster() as found:
        yield found


async def test_background_deletion_takes_all_dependents(cluster: Cluster) -> None:
    await cluster.create(deployment(replicas=3))
    await cluster.until(lambda: len(cluster.all(core_v1.Pod)) == 3, core_v1.Pod, apps_v1.ReplicaSet)
    await cluster.client.of(apps_v1.Deployment).delete("web", "default", propagation="Background")
    await cluster.until(
        lambda: not cluster.all(core_v1.Pod) and not cluster.all(apps_v1.ReplicaSet), core_v1.Pod, apps_v1.ReplicaSet
    )


async def test_foreground_deletion_waits_for_dependents(cluster: Cluster) -> None:
    await cluster.create(deployment(replicas=2))
    await cluster.until(lambda: len(cluster.all(core_v1.Pod)) == 2, core_v1.Pod, apps_v1.ReplicaSet, apps_v1.Deployment)
    order: list[str] = []
    for cls in (core_v1.Pod, apps_v1.ReplicaSet, apps_v1.Deployment):
        cluster.watch.of(cls).add_handler(deleted=lambda obj: order.append(obj.kind))
    await cluster.client.of(apps_v1.Deployment).delete("web", "default", propagation="Foreground")
    await cluster.until(lambda: not cluster.all(apps_v1.Deployment), apps_v1.Deployment)
    left = await cluster.client.of(core_v1.Pod).list("default")
    assert not left.items
    await cluster.until(lambda: len(order) == 4, core_v1.Pod, apps_v1.ReplicaSet, apps_v1.Deployment)
    assert order.index("ReplicaSet") < order.index("Deployment")


async def test_orphaned_dependents_live_on(cluster: Cluster) -> None:
    await cluster.create(replica_set(replicas=2))
    await cluster.until(lambda: len(cluster.all(core_v1.Pod)) == 2, core_v1.Pod, apps_v1.ReplicaSet)
    await cluster.client.of(apps_v1.ReplicaSet).delete("web", "default", propagation="Orphan")
    await cluster.until(lambda: not cluster.all(apps_v1.ReplicaSet), apps_v1.ReplicaSet)
    await cluster.until(lambda: [p.metadata.ownerReferences for p in cluster.all(core_v1.Pod)] == [[], []], core_v1.Pod)


async def test_dependent_of_an_owner_that_never_was_is_deleted(cluster: Cluster) -> None:
    owner = meta_v1.OwnerReference(apiVersion="v1", kind="ConfigMap", name="ghost", uid="no-such-uid")
    await cluster.create(
        core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name="lost", namespace="default", ownerReferences=[owner]))
    )
    await cluster.until(
        lambda: not any(found.metadata.name == "lost" for found in cluster.all(core_v1.ConfigMap)), core_v1.ConfigMap
    )
    with pytest.raises(errors.NotFound):
        await cluster.client.of(core_v1.ConfigMap).get("lost", "default")


async def test_a_dependent_that_keeps_changing_is_deleted_all_the_same(cluster: Cluster) -> None:
    owner = await cluster.create(_config_map("owner"))
    reference = meta_v1.OwnerReference(apiVersion="v1", kind="ConfigMap", name="owner", uid=owner.metadata.uid)
    child = await cluster.create(_config_map("child", ownerReferences=[reference]))
    graph = cluster.controllers.controllers["garbagecollector"].graph  # type: ignore[attr-defined]
    await cluster.until(lambda: graph.get(child.metadata.uid) is not None, core_v1.ConfigMap)
    # As if the event of the newest change were still on its way.
    graph.get(child.metadata.uid).resource_version = "1"
    await cluster.client.of(core_v1.ConfigMap).delete("owner", "default", propagation="Background")
    await cluster.until(
        lambda: not any(found.metadata.name == "child" for found in cluster.all(core_v1.ConfigMap)), core_v1.ConfigMap
    )


async def test_one_of_two_owners_is_enough(cluster: Cluster) -> None:
    maps = cluster.client.of(core_v1.ConfigMap)
    owners = [await cluster.create(_config_map(name)) for name in ("one", "two")]
    references = [
        meta_v1.OwnerReference(apiVersion="v1", kind="ConfigMap", name=o.metadata.name, uid=o.metadata.uid)
        for o in owners
    ]
    await cluster.create(_config_map("child", ownerReferences=references))
    await maps.delete("one", "default", propagation="Background")
    await cluster.until(
        lambda: (
            [
                [o.name for o in found.metadata.ownerReferences]
                for found in cluster.all(core_v1.ConfigMap)
                if found.metadata.name == "child"
            ]
            == [["two"]]
        ),
        core_v1.ConfigMap,
    )


async def test_namespaces_get_account_and_authority(cluster: Cluster) -> None:
    await cluster.create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="team")))
    await cluster.until(
        lambda: any(a.metadata.namespace == "team" for a in cluster.all(core_v1.ServiceAccount)),
        core_v1.ServiceAccount,
    )
    await cluster.until(
        lambda: any(
            m.metadata.namespace == "team" and m.metadata.name == "kube-root-ca.crt"
            for m in cluster.all(core_v1.ConfigMap)
        ),
        core_v1.ConfigMap,
    )
    await cluster.client.of(core_v1.ServiceAccount).delete("default", "team")
    await cluster.until(
        lambda: any(a.metadata.namespace == "team" for a in cluster.all(core_v1.ServiceAccount)),
        core_v1.ServiceAccount,
    )


async def test_namespace_is_emptied_before_it_goes(cluster: Cluster) -> None:
    await cluster.create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="team")))
    maps = cluster.client.of(core_v1.ConfigMap)
    await maps.create(core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name="free", namespace="team")))
    held = core_v1.ConfigMap(
        metadata=meta_v1.ObjectMeta(name="held", namespace="team", finalizers=["example.com/hold"])
    )
    await maps.create(held)
    await cluster.client.of(core_v1.Namespace).delete("team")
    conditions = await cluster.until(
        lambda: [
            c
            for n in cluster.all(core_v1.Namespace)
            for c in n.status.conditions or ()
            if n.metadata.name == "team" and c.reason == "SomeFinalizersRemain"
        ],
        core_v1.Namespace,
    )
    assert conditions[0].message == (
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    )
    await maps.patch("held", "team", {"metadata": {"finalizers": None}}, "merge")
    await cluster.until(
        lambda: not any(n.metadata.name == "team" for n in cluster.all(core_v1.Namespace)), core_v1.Namespace
    )


def _service(**spec: object) -> core_v1.Service:
    return core_v1.Service(
        metadata=meta_v1.ObjectMeta(name="web", namespace="default", labels={"team": "a"}),
        spec=core_v1.ServiceSpec(
            selector={"app": "web"},
            clusterIP="10.96.0.50",
            ports=[core_v1.ServicePort(name="http", port=80, targetPort=8080)],
            **spec,
        ),
    )


async def test_endpoints_follow_pods(cluster: Cluster) -> None:
    await cluster.create(_service())
    await cluster.create(replica_set(replicas=2))
    pods = await cluster.until(lambda: len(found := cluster.all(core_v1.Pod)) == 2 and found, core_v1.Pod)
    await cluster.mark_ready(*pods)

    def endpoints() -> list[discovery_v1.Endpoint]:
        return [e for s in cluster.all(discovery_v1.EndpointSlice) for e in s.endpoints or ()]

    await cluster.until(
        lambda: (
            [(e.conditions.ready, e.conditions.serving, e.conditions.terminating) for e in endpoints()]
            == [(True, True, False)] * 2
        ),
        discovery_v1.EndpointSlice,
    )
    (found,) = cluster.all(discovery_v1.EndpointSlice)
    assert found.metadata.labels == {
        "team": "a",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert [(p.name, p.port, p.protocol) for p in found.ports or ()] == [("http", 8080, "TCP")]
    assert {e.targetRef.name for e in endpoints()} == {p.metadata.name for p in pods}
    legacy = await cluster.until(
        lambda: [s for e in cluster.all(core_v1.Endpoints) for s in e.subsets or () if len(s.addresses or ()) == 2],
        core_v1.Endpoints,
    )
    assert [(p.name, p.port) for p in legacy[0].ports or ()] == [("http", 8080)]
    not_ready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    await cluster.client.of(core_v1.Pod).patch(
        pods[0].metadata.name, "default", not_ready, "merge", subresource="status"
    )
    await cluster.until(
        lambda: sorted(bool(e.conditions.ready) for e in endpoints()) == [False, True], discovery_v1.EndpointSlice
    )
    await cluster.client.of(core_v1.Service).delete("web", "default")
    await cluster.until(
        lambda: not cluster.all(discovery_v1.EndpointSlice) and not cluster.all(core_v1.Endpoints),
        discovery_v1.EndpointSlice,
        core_v1.Endpoints,
    )


async def test_service_without_pods_has_one_empty_slice(cluster: Cluster) -> None:
    await cluster.create(_service())
    await cluster.until(lambda: cluster.all(discovery_v1.EndpointSlice), discovery_v1.EndpointSlice)
    (found,) = cluster.all(discovery_v1.EndpointSlice)
    assert not found.endpoints and found.addressType == "IPv4"


def _config_map(name: str, **metadata: object) -> core_v1.ConfigMap:
    return core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name=name, namespace="default", **metadata))
