"""Policies on custom resources, and custom resources as parameters."""

import pytest

from tests.apiserver.extensions.crontabs import CRDS, CRONTABS, GROUP, crontab, definition, until
from tests.apiserver.policies.test_type_checking import checked
from tests.apiserver.policies.written import MAPS, Policies, apply, json_patch, rule
from tests.apiserver.server import config_map

TABS = {"resourceRules": [rule("crontabs", group=GROUP, operations=("CREATE", "UPDATE"))]}


@pytest.fixture
async def tabs(api: Policies) -> Policies:
    await api.ok("POST", CRDS, definition())
    await until(api, f"crontabs.{GROUP}", "Established")
    return api


async def test_validation(tabs: Policies) -> None:
    await tabs.validating("p", "object.spec.replicas < 5 && object.spec.image == 'i'", matchConstraints=TABS)
    await tabs.ok("POST", CRONTABS, crontab())
    status, found = await tabs.call("POST", CRONTABS, crontab("b", {"cronSpec": "* * * * */5", "replicas": 7}))
    assert status == 422
    assert found["message"].startswith(f'crontabs.{GROUP} "b" is forbidden: ValidatingAdmissionPolicy ')


async def test_mutation(tabs: Policies) -> None:
    configuration = "Object{spec: Object.spec{ports: [Object.spec.ports{port: 80, name: 'http'}]}}"
    await tabs.mutating(
        "p",
        apply(configuration),
        json_patch("[JSONPatch{op: 'add', path: '/spec/replicas', value: object.spec.replicas + 1}]"),
        matchConstraints=TABS,
    )
    ports = [{"port": 81, "name": "other"}, {"port": 80, "name": "old"}]
    made = await tabs.ok("POST", CRONTABS, crontab("a", {"cronSpec": "* * * * */5", "ports": ports}))
    by_port = {one["port"]: one["name"] for one in made["spec"]["ports"]}
    assert by_port == {80: "http", 81: "other"}
    assert made["spec"]["replicas"] == 2


async def test_parameters(tabs: Policies) -> None:
    kind = {"apiVersion": f"{GROUP}/v1", "kind": "CronTab"}
    await tabs.validating("p", "size(object.data) <= params.spec.replicas", bind=False, paramKind=kind)
    await tabs.bind("p", paramRef={"name": "limits", "parameterNotFoundAction": "Allow"})
    await tabs.ok("POST", MAPS, config_map("before", {"a": "", "b": ""}))
    await tabs.ok("POST", CRONTABS, crontab("limits"))
    status, _ = await tabs.call("POST", MAPS, config_map("after", {"a": "", "b": ""}))
    assert status == 422
    await tabs.ok("POST", MAPS, config_map("after", {"a": ""}))


async def test_types(tabs: Policies) -> None:
    await tabs.validating("p", "object.spec.nope == 1", bind=False, matchConstraints=TABS)
    (warning,) = (await checked(tabs, "p"))["typeChecking"]["expressionWarnings"]
    shown = f"{GROUP}/v1, Kind=CronTab: ERROR: <input>:1:12: undefined field 'nope'"
    assert warning["warning"].startswith(shown)
