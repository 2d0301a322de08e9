"""status.typeChecking: warnings about expressions that no object can satisfy, which change nothing."""

import asyncio
from typing import Any

from tests.apiserver.policies.written import GROUP, MAPS, Policies, rule
from tests.apiserver.server import config_map

DEPLOYMENTS = {"resourceRules": [rule("deployments", group="apps")]}


async def checked(api: Policies, name: str, generation: int = 1) -> Any:
    """The policy's status, once it is about this generation."""
    async with asyncio.timeout(5):
        while True:
            found = await api.ok("GET", f"{GROUP}/validatingadmissionpolicies/{name}")
            if found.get("status", {}).get("observedGeneration") == generation:
                return found["status"]
            await asyncio.sleep(0)


async def test_a_field_that_the_kind_does_not_have(api: Policies) -> None:
    made = await api.validating(
        "p",
        {"expression": "object.replicas > 1", "messageExpression": "string(object.spec.replica)"},
        "object.spec.replicas > 1 && object.spec.template.spec.containers.all(c, c.image != '')",
        "variables.name.startsWith('a')",
        bind=False,
        matchConstraints=DEPLOYMENTS,
        variables=[{"name": "name", "expression": "object.metadata.name"}],
    )
    assert made["metadata"]["generation"] == 1
    status = await checked(api, "p")
    assert status["typeChecking"]["expressionWarnings"] == [
        {
            "fieldRef": "spec.validations[0].expression",
            "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n"
            " | object.replicas > 1\n | ......^\n",
        },
        {
            "fieldRef": "spec.validations[0].messageExpression",
            "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:19: undefined field 'replica'\n"
            " | string(object.spec.replica)\n | ..................^\n",
        },
    ]


async def test_a_changed_spec_is_checked_again(api: Policies) -> None:
    await api.validating("p", "object.nope == 1", bind=False, matchConstraints=DEPLOYMENTS)
    await checked(api, "p")
    found = await api.ok("GET", f"{GROUP}/validatingadmissionpolicies/p")
    found["spec"]["validations"] = [{"expression": "object.spec.paused != true"}]
    await api.ok("PUT", f"{GROUP}/validatingadmissionpolicies/p", found)
    status = await checked(api, "p", 2)
    assert status["typeChecking"] == {}


async def test_wildcards_and_unknown_kinds_are_not_checked_and_nothing_is_refused(api: Policies) -> None:
    everything = {"resourceRules": [rule("*", group="*", version="*")]}
    await api.validating("p", "!has(object.nope)", matchConstraints=everything)
    status = await checked(api, "p")
    assert status["typeChecking"] == {}
    await api.validating("q", "!has(object.nope)")
    status = await checked(api, "q")
    (warning,) = status["typeChecking"]["expressionWarnings"]
    assert warning["warning"].startswith("/v1, Kind=ConfigMap: ERROR: <input>:1:5: undefined field 'nope'")
    await api.ok("POST", MAPS, config_map("web", {}))


async def test_parameters_have_a_type_as_well(api: Policies) -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    await api.validating(
        "p",
        "params.data.most == '1' && object.spec.replicas > 1",
        "params.spec.most == 1",
        bind=False,
        paramKind=kind,
        matchConstraints=DEPLOYMENTS,
    )
    (warning,) = (await checked(api, "p"))["typeChecking"]["expressionWarnings"]
    assert warning["fieldRef"] == "spec.validations[1].expression"
    assert warning["warning"].startswith("apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'spec'")
