"""What built-in objects can, custom ones can: apply, subresources, selectors, tables, dry runs, strictness."""

import json
from typing import Any

from tests.apiserver.extensions.crontabs import CRONTABS, GROUP, crontab, define, definition, version
from tests.apiserver.server import JSON_PATCH, MERGE, TABLE, Api

APPLY = "application/apply-patch+yaml"
BOTH = {
    "status": {},
    "scale": {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.labelSelector",
    },
}


async def applied(api: Api, who: str, spec: dict[str, Any], force: bool = False) -> tuple[int, Any]:
    query = {"fieldManager": who} | ({"force": "true"} if force else {})
    return await api.call("PATCH", f"{CRONTABS}/a", crontab("a", spec), query, content_type=APPLY)


async def test_lists_that_are_maps_are_owned_by_item(api: Api) -> None:
    await define(api)
    cron = {"cronSpec": "* * * * *"}
    assert (await applied(api, "one", cron | {"ports": [{"port": 1, "name": "a"}]}))[0] == 201
    status, both = await applied(api, "two", cron | {"ports": [{"port": 2, "name": "b"}]})
    assert status == 200, both
    assert both["spec"]["ports"] == [{"port": 1, "name": "a"}, {"port": 2, "name": "b"}]
    status, body = await applied(api, "two", cron | {"ports": [{"port": 1, "name": "mine"}]})
    assert status == 409
    assert 'conflict with "one": .spec.ports[port=1].name' in body["message"]
    status, left = await applied(api, "one", cron)
    assert left["spec"]["ports"] == [{"port": 2, "name": "b"}]
    managers = {(entry["manager"], entry["operation"]) for entry in left["metadata"]["managedFields"]}
    assert managers == {("one", "Apply"), ("two", "Apply")}


async def test_applied_fields_that_no_schema_knows(api: Api) -> None:
    await define(api)
    status, body = await applied(api, "one", {"cronSpec": "* * * * *", "bogus": 1})
    assert status == 500 and ".spec.bogus: field not declared in schema" in body["message"]
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    names = {"plural": "frees", "kind": "Free"}
    await define(api, definition(version(schema=free), plural="frees", kind="Free", names=names))
    path = CRONTABS.replace("crontabs", "frees")
    body = {"apiVersion": f"{GROUP}/v1", "kind": "Free", "metadata": {"name": "a"}}
    for who, data in (("one", {"x": {"y": 1}}), ("two", {"x": {"z": [1, {"q": 2}]}})):
        made = await api.ok("PATCH", f"{path}/a", body | data, {"fieldManager": who}, content_type=APPLY)
    assert made["x"] == {"y": 1, "z": [1, {"q": 2}]}


async def test_status_is_apart(api: Api) -> None:
    await define(api, definition(version(subresources=BOTH)))
    made = await api.ok("POST", CRONTABS, crontab(status={"replicas": 3}))
    assert "status" not in made
    with_status = await api.ok("PUT", f"{CRONTABS}/a/status", made | {"spec": {}, "status": {"replicas": 3}})
    assert with_status["spec"] == made["spec"] and with_status["status"] == {"replicas": 3}
    assert with_status["metadata"]["generation"] == 1
    changed = await api.ok(
        "PATCH", f"{CRONTABS}/a", {"status": {"replicas": 9}, "spec": {"image": "z"}}, content_type=MERGE
    )
    assert changed["status"] == {"replicas": 3} and changed["metadata"]["generation"] == 2
    code, body = await api.call("PATCH", f"{CRONTABS}/a/status", {"status": {"replicas": "x"}}, content_type=MERGE)
    assert code == 422 and "status.replicas in body must be of type integer" in body["message"]


async def test_scale(api: Api) -> None:
    await define(api, definition(version(subresources=BOTH)))
    await api.ok("POST", CRONTABS, crontab())
    await api.ok(
        "PATCH", f"{CRONTABS}/a/status", {"status": {"replicas": 1, "labelSelector": "a=b"}}, content_type=MERGE
    )
    scale = await api.ok("GET", f"{CRONTABS}/a/scale")
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 1},
        {"replicas": 1, "selector": "a=b"},
    )
    scale["spec"]["replicas"] = 7
    assert (await api.ok("PUT", f"{CRONTABS}/a/scale", scale))["spec"] == {"replicas": 7}
    assert (await api.ok("GET", f"{CRONTABS}/a"))["spec"]["replicas"] == 7
    code, body = await api.call("PATCH", f"{CRONTABS}/a/scale", {"spec": {"replicas": 99}}, content_type=MERGE)
    assert code == 422 and "spec.replicas in body should be less than or equal to 10" in body["message"]


async def test_columns_and_selectable_fields(api: Api) -> None:
    columns = [
        {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec", "priority": 1},
        {"name": "Ports", "type": "string", "jsonPath": ".spec.ports[*].port"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
        {"name": "Nothing", "type": "date", "jsonPath": ".status.never"},
    ]
    fields = [{"jsonPath": ".spec.image"}, {"jsonPath": ".spec.replicas"}]
    await define(api, definition(version(additionalPrinterColumns=columns, selectableFields=fields)))
    spec = {"cronSpec": "* * * * *", "ports": [{"port": 1}, {"port": 2}]}
    await api.ok("POST", CRONTABS, crontab("a", spec | {"image": "x"}))
    await api.ok("POST", CRONTABS, crontab("b", spec | {"image": "y"}))
    table = await api.ok("GET", CRONTABS, accept=TABLE)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Spec", "Ports", "Replicas", "Nothing"]
    assert table["rows"][0]["cells"] == ["a", "* * * * *", "1", 1, None]
    found = await api.ok("GET", CRONTABS, query={"fieldSelector": "spec.image=y,spec.replicas=1"})
    assert [item["metadata"]["name"] for item in found["items"]] == ["b"]
    code, body = await api.call("GET", CRONTABS, query={"fieldSelector": "spec.cronSpec=x"})
    assert code == 400 and "field label not supported: spec.cronSpec" in body["message"]
    async with api.watching(CRONTABS, fieldSelector="spec.image=x") as lines:
        await lines.wait(1)
        await api.ok("PATCH", f"{CRONTABS}/b", {"spec": {"image": "x"}}, content_type=MERGE)
        await api.ok("PATCH", f"{CRONTABS}/a", {"spec": {"image": "z"}}, content_type=MERGE)
        events = await lines.wait(3)
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [
        ("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a"),
    ]  # fmt: skip


async def test_strict_warned_ignored(api: Api) -> None:
    await define(api)
    body = crontab(bogus=1)
    body["spec"]["extra"] = 2
    code, refused = await api.call("POST", CRONTABS, body, {"fieldValidation": "Strict"})
    assert code == 400
    assert refused["message"].endswith('strict decoding error: unknown field "bogus", unknown field "spec.extra"')
    warned = await api.raw("POST", CRONTABS, body, {"fieldValidation": "Warn"})
    assert warned.status == 201
    assert warned.headers["Warning"] == '299 - "unknown field \\"bogus\\"", 299 - "unknown field \\"spec.extra\\""'
    assert "bogus" not in json.loads(warned.body) and "extra" not in json.loads(warned.body)["spec"]
    body["metadata"]["name"] = "b"
    quiet = await api.raw("POST", CRONTABS, body, {"fieldValidation": "Ignore"})
    assert quiet.status == 201 and "Warning" not in quiet.headers


async def test_dry_run_and_delete_collection(api: Api) -> None:
    await define(api)
    made = await api.ok("POST", CRONTABS, crontab(), {"dryRun": "All"})
    assert made["spec"]["replicas"] == 1
    assert (await api.raw("GET", f"{CRONTABS}/a")).status == 404
    for name in "abc":
        await api.ok("POST", CRONTABS, crontab(name) | {"metadata": {"name": name, "labels": {"x": name}}})
    await api.ok("DELETE", CRONTABS, query={"labelSelector": "x in (a,b)"})
    assert [item["metadata"]["name"] for item in (await api.ok("GET", CRONTABS))["items"]] == ["c"]


async def test_json_patch_and_unconditional_update(api: Api) -> None:
    await define(api)
    made = await api.ok("POST", CRONTABS, crontab())
    ops = [{"op": "test", "path": "/spec/image", "value": "i"}, {"op": "replace", "path": "/spec/image", "value": "j"}]
    changed = await api.ok("PATCH", f"{CRONTABS}/a", ops, content_type=JSON_PATCH)
    assert changed["spec"]["image"] == "j"
    del changed["metadata"]["resourceVersion"]
    code, body = await api.call("PUT", f"{CRONTABS}/a", changed)
    assert code == 422 and "metadata.resourceVersion: Invalid value" in body["message"]
    code, body = await api.call("PUT", f"{CRONTABS}/a", made)
    assert code == 409


async def test_hostile_bodies(api: Api) -> None:
    await define(api)
    for body in (
        b"[]",
        b"1",
        b"{",
        b'{"apiVersion":1}',
        b'{"metadata":[]}',
        b'{"metadata":{"name":{}}}',
        b'{"spec":[[]]}',
    ):
        code, answer = await api.call("POST", CRONTABS, body)
        assert 400 <= code < 500, (body, answer)
    deep: Any = {}
    for _ in range(500):
        deep = {"a": deep}
    code, _ = await api.call("POST", CRONTABS, crontab("x", {"cronSpec": deep}))
    assert code == 400
    await api.ok("POST", CRONTABS, crontab())
    for spec in (
        "x",
        [1],
        None,
        {"ports": "x"},
        {"ports": [1]},
        {"ports": [{"name": "x"}]},
        {"ports": [{"port": 1}, {"port": 1}]},
    ):
        code, answer = await api.call("PATCH", f"{CRONTABS}/a", {"spec": spec}, content_type=MERGE)
        assert code in (200, 422), (spec, answer)
        code, answer = await api.call("POST", CRONTABS, crontab("x") | {"spec": spec})
        assert code == (201 if spec is None else 422), (spec, answer)


async def test_deep_nesting_is_refused_or_kept_but_no_fault(api: Api) -> None:
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    loose = {"type": "object", "properties": {"l": {"type": "object", "additionalProperties": True}}}
    for plural, kind, schema in (("frees", "Free", free), ("looses", "Loose", loose)):
        names = {"plural": plural, "kind": kind}
        await define(api, definition(version(schema=schema), plural=plural, kind=kind, names=names))
        path = CRONTABS.replace("crontabs", plural)
        for index, depth in enumerate((100, 400, 700, 950, 5000)):
            for shape in ('{"a":%s}', "[%s]"):
                nested = "1"
                for _ in range(depth):
                    nested = shape % nested
                name = f"n{index}{'o' if shape[0] == '{' else 'l'}"
                body = (
                    f'{{"apiVersion":"{GROUP}/v1","kind":"{kind}","metadata":{{"name":"{name}"}},"l":{{"x":{nested}}}}}'
                )
                code, answer = await api.call("POST", path, body.encode())
                assert code in (201, 400, 422), (depth, shape, answer)
                query = {"fieldManager": "me"}
                code, answer = await api.call("PATCH", f"{path}/{name}", body.encode(), query, content_type=APPLY)
                assert code in (200, 201, 400, 409, 422), (depth, shape, answer)
                code, answer = await api.call(
                    "PATCH", f"{path}/{name}", b'{"metadata":{"labels":{"a":"b"}}}', content_type=MERGE
                )
                assert code in (200, 404), (depth, shape, answer)
