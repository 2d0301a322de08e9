"""Resources that come and go while the controllers run: owners, dependents, and content of namespaces."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.apiserver.extensions.crontabs import GROUP, crontab, definition
from tests.controllers.cluster import Cluster
from tiphys.api import core_v1, meta_v1
from tiphys.apiserver.aggregation.catalog import Catalog, Remote
from tiphys.apiserver.aggregation.priorities import Priority
from tiphys.apiserver.discovery import Discovery
from tiphys.apiserver.seams import Seams
from tiphys.client import ResourceClient
from tiphys.machinery import errors


@pytest.fixture
def catalog() -> Catalog:
    return Catalog()


@pytest.fixture
async def cluster(catalog: Catalog) -> AsyncIterator[Cluster]:
    async with Cluster(seams=Seams(routes=Discovery(catalog).routes(), catalog=catalog)) as found:
        await found.client.resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", False).create(
            definition()
        )
        yield found


def crontabs(cluster: Cluster) -> ResourceClient[dict[str, Any]]:
    return cluster.client.resource(GROUP, "v1", "crontabs", True)


async def made(cluster: Cluster, name: str, **metadata: Any) -> dict[str, Any]:
    """The custom object, as soon as its kind is served."""
    body = crontab(name)
    body["metadata"] |= {"namespace": "default", **metadata}
    async with asyncio.timeout(5):
        while True:
            try:
                return await crontabs(cluster).create(body)
            except errors.NotFound:
                await asyncio.sleep(0.01)


async def gone(cluster: Cluster) -> None:
    """Return once there are no custom objects."""
    for _ in range(500):
        if not (await crontabs(cluster).list("default")).items:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("custom objects are still there")


def owned_by(obj: dict[str, Any], name: str, **metadata: Any) -> core_v1.ConfigMap:
    owner = meta_v1.OwnerReference(
        apiVersion=obj["apiVersion"], kind=obj["kind"], name=obj["metadata"]["name"], uid=obj["metadata"]["uid"]
    )
    return core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name=name, namespace="default", ownerReferences=[owner]))


def names(cluster: Cluster) -> set[str]:
    return {one.metadata.name for one in cluster.all(core_v1.ConfigMap) if one.metadata.namespace == "default"}


async def test_dependents_of_a_custom_object_go_with_it(cluster: Cluster) -> None:
    owner = await made(cluster, "owner")
    await cluster.create(owned_by(owner, "mine"))
    dependent = await made(
        cluster,
        "dependent",
        ownerReferences=[
            {"apiVersion": owner["apiVersion"], "kind": "CronTab", "name": "owner", "uid": owner["metadata"]["uid"]}
        ],
    )
    assert dependent
    await crontabs(cluster).delete("owner", "default", propagation="Background")
    await cluster.until(lambda: "mine" not in names(cluster), core_v1.ConfigMap)
    await gone(cluster)


async def test_foreground_deletion_of_a_custom_object_waits(cluster: Cluster) -> None:
    owner = await made(cluster, "owner")
    await cluster.create(owned_by(owner, "mine"))
    await crontabs(cluster).delete("owner", "default", propagation="Foreground")
    await gone(cluster)
    with pytest.raises(errors.NotFound):
        await cluster.client.of(core_v1.ConfigMap).get("mine", "default")


async def test_orphans_of_a_custom_object_live_on(cluster: Cluster) -> None:
    owner = await made(cluster, "owner")
    await cluster.create(owned_by(owner, "mine"))
    await crontabs(cluster).delete("owner", "default", propagation="Orphan")
    await cluster.until(
        lambda: (
            [one.metadata.ownerReferences for one in cluster.all(core_v1.ConfigMap) if one.metadata.name == "mine"]
            == [[]]
        ),
        core_v1.ConfigMap,
    )


async def test_a_definition_that_goes_and_comes_again(cluster: Cluster) -> None:
    definitions = cluster.client.resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", False)
    first = await made(cluster, "first")
    await definitions.delete(f"crontabs.{GROUP}")
    async with asyncio.timeout(5):
        while True:
            try:
                await definitions.create(definition())
            except errors.AlreadyExists:
                await asyncio.sleep(0.01)
            else:
                break
    owner = await made(cluster, "owner")
    assert owner["metadata"]["uid"] != first["metadata"]["uid"]
    await cluster.create(owned_by(owner, "mine"))
    await crontabs(cluster).delete("owner", "default", propagation="Foreground")
    await gone(cluster)
    await cluster.until(lambda: "mine" not in names(cluster), core_v1.ConfigMap)


@pytest.mark.parametrize(("orphan", "owners"), [("true", 0), ("false", None)])
async def test_the_old_word_for_orphans(cluster: Cluster, orphan: str, owners: int | None) -> None:
    owner = await made(cluster, "owner")
    await cluster.create(owned_by(owner, "mine"))
    path = crontabs(cluster).path("default") + "/owner"
    await cluster.client.request("DELETE", path, query={"orphanDependents": (orphan,)})

    def left() -> list[int] | None:
        found = [one for one in cluster.all(core_v1.ConfigMap) if one.metadata.name == "mine"]
        return [len(one.metadata.ownerReferences) for one in found]

    await cluster.until(lambda: left() == ([] if owners is None else [owners]), core_v1.ConfigMap)


async def test_an_owner_whose_kind_comes_later_is_found_absent(cluster: Cluster) -> None:
    other = {"apiVersion": f"{GROUP}/v1", "kind": "Later", "metadata": {"name": "ghost", "uid": "no-such-uid"}}
    await cluster.create(owned_by(other, "lost"))
    await made(cluster, "anything")
    definitions = cluster.client.resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", False)
    names_ = {"plural": "laters", "singular": "later", "kind": "Later"}
    await definitions.create(definition(plural="laters", names=names_))
    await cluster.until(lambda: "lost" not in names(cluster), core_v1.ConfigMap)


async def test_a_namespace_takes_its_custom_objects_along(cluster: Cluster) -> None:
    await cluster.create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="going")))
    await made(cluster, "first")
    body = crontab("content")
    body["metadata"]["namespace"] = "going"
    await crontabs(cluster).create(body)
    await cluster.client.of(core_v1.Namespace).delete("going")
    await cluster.until(
        lambda: not any(one.metadata.name == "going" for one in cluster.all(core_v1.Namespace)), core_v1.Namespace
    )
    assert [one["metadata"]["name"] for one in (await crontabs(cluster).list("")).items] == ["first"]


async def test_a_namespace_waits_for_servers_that_do_not_answer(cluster: Cluster, catalog: Catalog) -> None:
    catalog.link("dead.example.com", "v1", Remote(Priority(1, 1)))
    await cluster.create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="going")))
    await cluster.client.of(core_v1.Namespace).delete("going")

    def condition() -> Any:
        found = next(one for one in cluster.all(core_v1.Namespace) if one.metadata.name == "going")
        return next((one for one in found.status.conditions or () if one.reason == "DiscoveryFailed"), None)

    found = await cluster.until(condition, core_v1.Namespace)
    version = "dead.example.com/v1"
    assert found.message == (
        "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: "
        f"{version}: stale GroupVersion discovery: {version}"
    )
    catalog.unlink("dead.example.com", "v1")
    cluster.clock.advance(60)
    await cluster.until(
        lambda: not any(one.metadata.name == "going" for one in cluster.all(core_v1.Namespace)), core_v1.Namespace
    )
