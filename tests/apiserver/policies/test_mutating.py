"""MutatingAdmissionPolicy: what becomes of objects, in which order, and what is refused."""

from typing import Any

import pytest

from tests.apiserver.policies.written import GROUP, MAPS, Policies, apply, json_patch, rule
from tests.apiserver.server import config_map, pod

PODS = "/api/v1/namespaces/default/pods"


async def refused(api: Policies, name: str = "web") -> Any:
    status, answer = await api.call("POST", MAPS, config_map(name, {"a": "1"}))
    assert status >= 400, answer
    return answer


async def test_a_json_patch(api: Policies) -> None:
    await api.mutating(
        "p",
        json_patch(
            "[JSONPatch{op: 'test', path: '/data/a', value: '1'}, JSONPatch{op: 'add', path: '/data/b', value: '2'},"
            " JSONPatch{op: 'add', path: '/metadata/labels', value: {'example.com/x': 'y'}},"
            " JSONPatch{op: 'move', from: '/data/a', path: '/data/' + jsonpatch.escapeKey('c')}]"
        ),
    )
    made = await api.ok("POST", MAPS, config_map("web", {"a": "1"}))
    assert made["data"] == {"b": "2", "c": "1"}
    assert made["metadata"]["labels"] == {"example.com/x": "y"}
    assert made["metadata"]["uid"]


async def test_a_test_that_fails_changes_nothing(api: Policies) -> None:
    operations = "[JSONPatch{op: 'test', path: '/data/a', value: '2'}, JSONPatch{op: 'remove', path: '/data/a'}]"
    await api.mutating("p", json_patch(operations))
    made = await api.ok("POST", MAPS, config_map("web", {"a": "1"}))
    assert made["data"] == {"a": "1"}


async def test_an_apply_configuration(api: Policies) -> None:
    await api.mutating(
        "p",
        apply(
            "Object{metadata: Object.metadata{labels: {'app': 'web'}},"
            " data: Object.data{b: '2', a: object.data.a + '!'}}"
        ),
    )
    made = await api.ok("POST", MAPS, config_map("web", {"a": "1"}, tier="front"))
    assert made["data"] == {"a": "1!", "b": "2"}
    assert made["metadata"]["labels"] == {"tier": "front", "app": "web"}


async def test_a_sidecar_is_merged_by_name_and_defaulted(api: Policies) -> None:
    constraints = {"resourceRules": [rule("pods", operations=("CREATE",))]}
    conditions = [{"name": "not-yet", "expression": "!object.spec.containers.exists(c, c.name == 'side')"}]
    await api.mutating(
        "p",
        apply(
            "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'side', image: 'proxy',"
            " env: [Object.spec.containers.env{name: 'POD', value: object.metadata.name}]}]}}"
        ),
        matchConstraints=constraints,
        matchConditions=conditions,
    )
    made = await api.ok("POST", PODS, pod("web"))
    side = next(one for one in made["spec"]["containers"] if one["name"] == "side")
    assert len(made["spec"]["containers"]) == 2
    assert side["env"] == [{"name": "POD", "value": "web"}]
    assert side["imagePullPolicy"] == "Always"


async def test_mutations_and_policies_see_what_those_before_them_did(api: Policies) -> None:
    await api.mutating(
        "a",
        json_patch("[JSONPatch{op: 'add', path: '/data/n', value: 'a'}]"),
        json_patch("[JSONPatch{op: 'replace', path: '/data/n', value: object.data.n + 'b'}]"),
    )
    await api.mutating("b", apply("Object{data: Object.data{n: object.data.n + 'c'}}"))
    made = await api.ok("POST", MAPS, config_map("web", {"x": ""}))
    assert made["data"]["n"] == "abc"


async def test_reinvocation(api: Policies) -> None:
    """The first policy is asked again because the second changed something; without the wish it is not."""
    add = "[JSONPatch{op: 'add', path: '/data/seen', value: string(size(object.data))}]"
    await api.mutating("a", json_patch(add), reinvocationPolicy="IfNeeded")
    await api.mutating("b", json_patch("[JSONPatch{op: 'add', path: '/data/b', value: ''}]"))
    made = await api.ok("POST", MAPS, config_map("web", {"x": ""}))
    assert made["data"]["seen"] == "3"


async def test_variables_and_conditional_patches(api: Policies) -> None:
    await api.mutating(
        "p",
        json_patch("variables.big ? [JSONPatch{op: 'add', path: '/data/big', value: 'yes'}] : []"),
        variables=[{"name": "big", "expression": "size(object.data) > 1"}],
    )
    made = await api.ok("POST", MAPS, config_map("small", {"a": ""}))
    assert "big" not in made["data"]
    made = await api.ok("POST", MAPS, config_map("large", {"a": "", "b": ""}))
    assert made["data"]["big"] == "yes"


async def test_failures_are_the_failure_policys(api: Policies) -> None:
    broken = json_patch("[JSONPatch{op: 'add', path: '/data/b', value: object.data.nope}]")
    await api.mutating("p", broken)
    found = await refused(api)
    assert found["message"].startswith("policy 'p' with binding 'p-binding' denied request: expression '[JSONPatch")
    assert found["message"].endswith("resulted in error: no such key: nope")
    assert found["code"] == 403
    await api.ok("DELETE", f"{GROUP}/mutatingadmissionpolicies/p")
    await api.mutating("p", broken, bind=False, failurePolicy="Ignore")
    await api.ok("POST", MAPS, config_map("web", {"a": "1"}))


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (
            "Object{data: Object.spec{a: '1'}}",
            'type mismatch: unexpected type name "Object.spec", expected "Object.data", '
            "which matches field name path from root Object type",
        ),
    ],
)
async def test_objects_of_the_wrong_name(api: Policies, expression: str, said: str) -> None:
    await api.mutating("p", apply(expression))
    found = await refused(api)
    assert found["message"].endswith(said)


async def test_what_can_only_be_replaced_as_a_whole_is_not_merged(api: Policies) -> None:
    constraints = {"resourceRules": [rule("pods", operations=("CREATE",))]}
    expression = "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'c', args: ['x']}]}}"
    await api.mutating("p", apply(expression), matchConstraints=constraints)
    status, found = await api.call("POST", PODS, pod("web"))
    assert status == 403
    assert "may not mutate atomic arrays, maps or structs: .spec.containers[].args" in found["message"]


@pytest.mark.parametrize(
    ("mutation", "field", "said"),
    [
        (json_patch("[1]"), "spec.mutations[0].jsonPatch.expression", "must evaluate to list(JSONPatch)"),
        (json_patch("[JSONPatch{nope: 1}]"), "spec.mutations[0].jsonPatch.expression", "undefined field 'nope'"),
        (
            json_patch("[JSONPatch{op: 1}]"),
            "spec.mutations[0].jsonPatch.expression",
            "expected type of field 'op' is 'string' but provided type is 'int'",
        ),
        (apply("Other{}"), "spec.mutations[0].applyConfiguration.expression", "undeclared reference to 'Other'"),
        (apply("Object.spec{}"), "spec.mutations[0].applyConfiguration.expression", "must evaluate to Object"),
    ],
)
async def test_expressions_are_checked_when_written(
    api: Policies, mutation: dict[str, Any], field: str, said: str
) -> None:
    body = {
        "metadata": {"name": "p"},
        "spec": {
            "matchConstraints": {"resourceRules": [rule("configmaps", operations=("CREATE",))]},
            "mutations": [mutation],
            "reinvocationPolicy": "Never",
        },
    }
    status, found = await api.call("POST", f"{GROUP}/mutatingadmissionpolicies", body)
    assert status == 422
    (cause,) = found["details"]["causes"]
    assert cause["field"] == field
    assert said in cause["message"]


async def test_mutations_are_counted(api: Policies) -> None:
    await api.mutating("p", json_patch("[JSONPatch{op: 'add', path: '/data/b', value: object.data.c}]"))
    await refused(api)
    await api.ok("POST", MAPS, config_map("web", {"c": "1"}))
    text = (await api.raw("GET", "/metrics")).body.decode()
    for error in ("no_error", "invalid_error"):
        labels = f'error_type="{error}",policy="p",policy_binding="p-binding"'
        assert f"apiserver_mutating_admission_policy_check_total{{{labels}}} 1" in text
