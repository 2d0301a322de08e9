"""Managed fields are kept apart from the rest of an object: nothing of either is lost, and reads show what they say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.apiserver.server import MERGE, STRATEGIC, TABLE, Api, pod, serving
from tests.apiserver.test_apply import apply, owners
from tiphys.api import core_v1, meta_v1
from tiphys.apiserver.entries import Entry, View, head_of, parted, value_of, with_managed
from tiphys.machinery import codec, fieldsets
from tiphys.resources.table import ALL

PODS = "/api/v1/namespaces/d/pods"
PARTIALS = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"
ROW = next(row for row in ALL if (row.group, row.plural) == ("", "configmaps"))
CUT = len(head_of(ROW) + b'"metadata":{')
#: What comes close to the bytes by which managed fields are found.
TRAPS = ['"managedFields":[', '],"name":"', "}]", '\\"', "],", '{"operation":"Apply"}', "é"]
texts = some.one_of(
    some.text(max_size=8),
    some.sampled_from(TRAPS),
    some.tuples(some.text(max_size=3), some.sampled_from(TRAPS)).map("".join),
)
sets: Any = some.recursive(
    some.just({}),
    lambda below: some.dictionaries(
        some.one_of(texts.map(fieldsets.field), texts.map(fieldsets.scalar)), below, max_size=3
    ),
)
entries = some.builds(
    meta_v1.ManagedFieldsEntry,
    manager=texts,
    operation=some.sampled_from(["Apply", "Update"]),
    fieldsV1=sets,
)


@some.composite
def objects(draw: Any) -> core_v1.ConfigMap:
    metadata = meta_v1.ObjectMeta(
        name="n",
        annotations=draw(some.dictionaries(texts, texts, max_size=3)),
        managedFields=draw(some.lists(entries, max_size=3)) or None,
        uid=draw(some.sampled_from(["", "u"])),
    )
    return core_v1.ConfigMap(metadata=metadata, data=draw(some.dictionaries(texts, texts, max_size=3)))


def entry_of(value: bytes) -> Entry:
    return Entry(ROW, head_of(ROW), "/registry/configmaps/d/n", 7, *parted(value, CUT, 7))


@given(objects())
def test_what_is_parted_and_put_together_is_the_same(obj: core_v1.ConfigMap) -> None:
    expected = codec.copy(obj)
    expected.metadata.resourceVersion = "7"
    entry = entry_of(value_of(obj))
    view = View(ROW)
    assert codec.decode_own(core_v1.ConfigMap, view.body(entry)) == expected
    assert view.fresh(entry) == expected
    assert entry.applied == any(owner.operation == "Apply" for owner in expected.metadata.managedFields or ())
    bare = codec.copy(expected)
    bare.metadata.managedFields = None
    assert codec.decode_own(core_v1.ConfigMap, entry.head + entry.tail) == entry.object == bare


@given(objects())
def test_other_orders_of_a_stored_object_are_parted_alike(obj: core_v1.ConfigMap) -> None:
    """As it stands in stores of earlier releases, and as other programs may write it."""
    ours = entry_of(value_of(obj))
    earlier = entry_of(codec.encode(obj))
    assert (earlier.tail, earlier.managed) == (ours.tail, ours.managed)
    document = codec.decode_builtins(codec.encode(obj))
    last = {
        **document,
        "metadata": {**document["metadata"], "managedFields": document["metadata"].pop("managedFields", [])},
    }
    assert entry_of(codec.encode(last)).object == ours.object
    assert entry_of(codec.encode(last)).owners() in (ours.owners(), [])


def test_what_a_template_says_of_owners_is_its_own() -> None:
    template = b'{"metadata":{"managedFields":[{"manager":"m"}],"name":"x"}}'
    value = b'%b"metadata":{"name":"n","uid":"u"},"template":%b}' % (head_of(ROW), template)
    tail, managed = parted(value, CUT, 7)
    assert managed == b"" and template in tail
    assert with_managed(tail, managed) == tail


async def shown(api: Api, accept: str = "application/json", **query: str) -> dict[str, bool]:
    """Which Pods of a list show owners."""
    found = await api.ok("GET", PODS, query=query, accept=accept)
    held = [row["object"] for row in found["rows"]] if "rows" in found else found["items"]
    return {obj["metadata"]["name"]: "managedFields" in obj["metadata"] for obj in held}


@pytest.mark.parametrize("always", [True, False])
async def test_owners_are_exact_alone_and_shown_among_many_as_configured(always: bool) -> None:
    async with serving(managed_fields_in_lists=always) as api:
        await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "d"}})
        made = await api.ok("POST", PODS, pod("updated"), {"fieldManager": "maker"})
        assert set(owners(made)) == {("maker", "Update", "")}
        config = pod("applied")
        async with api.watching(
            PODS, sendInitialEvents="true", resourceVersionMatch="NotOlderThan", allowWatchBookmarks="true"
        ) as lines:
            status, first = await apply(api, f"{PODS}/applied", config, "applier")
            assert status == 201
            await api.ok("PATCH", f"{PODS}/updated", {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE)
            events = [event for event in await lines.wait(4) if event["type"] != "BOOKMARK"]
        assert [event["type"] for event in events] == ["ADDED", "ADDED", "MODIFIED"]
        for event in events:
            metadata = event["object"]["metadata"]
            assert ("managedFields" in metadata) == (always or metadata["name"] == "applied")
        expected = {"updated": always, "applied": True}
        assert await shown(api) == await shown(api, TABLE) == await shown(api, PARTIALS) == expected
        assert await shown(api, TABLE, includeObject="Object") == expected
        alone = await api.ok("GET", f"{PODS}/updated")
        assert set(owners(alone)) == {("maker", "Update", ""), ("unknown", "Update", "")}
        assert owners(await api.ok("GET", f"{PODS}/applied")) == owners(first)


async def test_who_wrote_before_an_apply_is_named_where_lists_do_not_show_him() -> None:
    async with serving(managed_fields_in_lists=False) as api:
        await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "d"}})
        made = await api.ok("POST", PODS, pod("p", labels={"a": "1"}), {"fieldManager": "maker"})
        # What an informer has seen, without owners, written back, is no word about owners.
        listed = (await api.ok("GET", PODS))["items"][0]
        listed["metadata"]["labels"]["b"] = "2"
        again = await api.ok(
            "PUT", f"{PODS}/p", {"apiVersion": "v1", "kind": "Pod", **listed}, {"fieldManager": "other"}
        )
        assert owners(again)["maker", "Update", ""] == owners(made)["maker", "Update", ""]
        assert owners(again)["other", "Update", ""] == {"f:metadata": {"f:labels": {"f:b": {}}}}
        config = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "3"}}}
        status, answer = await apply(api, f"{PODS}/p", config, "applier")
        assert status == 409
        assert 'conflict with "maker" using v1: .metadata.labels.a' in answer["message"]


async def test_a_patch_may_speak_of_owners(api: Api) -> None:
    await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "d"}})
    await api.ok("POST", PODS, pod("p"), {"fieldManager": "maker"})
    renamed = await api.ok(
        "PATCH",
        f"{PODS}/p",
        [{"op": "replace", "path": "/metadata/managedFields/0/manager", "value": "new"}],
        content_type="application/json-patch+json",
    )
    assert {key[0] for key in owners(renamed)} == {"new"}
    cleared = await api.ok("PATCH", f"{PODS}/p", {"metadata": {"managedFields": [{}]}}, content_type=STRATEGIC)
    assert owners(cleared) == {}
    assert owners(await api.ok("GET", f"{PODS}/p")) == {}
