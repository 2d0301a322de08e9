"""``x-kubernetes-validations``: what they refuse, in which words, and what definitions may not ask."""

from typing import Any

import pytest

from tests.apiserver.extensions.crontabs import CRDS, CRONTABS, GROUP, define, definition, version
from tests.apiserver.server import JSON_PATCH, MERGE, Api


def ruled(*rules: dict[str, Any], **properties: Any) -> dict[str, Any]:
    known = {"low": {"type": "integer"}, "high": {"type": "integer"}, "name": {"type": "string", "maxLength": 20}}
    spec = {"type": "object", "properties": known | properties, "x-kubernetes-validations": list(rules)}
    return {"type": "object", "properties": {"spec": spec}}


def tab(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": "CronTab", "metadata": {"name": "a"}, "spec": spec}


async def refusal(api: Api, **spec: Any) -> str:
    status, body = await api.call("POST", CRONTABS, tab(**spec))
    assert status == 422, body
    return str(body["message"]).partition(" is invalid: ")[2]


ORDER = {"rule": "self.low <= self.high", "message": "low is above high"}


async def test_rule_and_message(api: Api) -> None:
    rules = [
        ORDER,
        {"rule": "self.high < 100"},
        {"rule": "self.low >= 0", "messageExpression": "'low is ' + string(self.low)", "fieldPath": ".low"},
        {"rule": "self.name != 'root'", "reason": "FieldValueForbidden", "message": "not root", "fieldPath": ".name"},
    ]
    await define(api, definition(version(schema=ruled(*rules))))
    assert await refusal(api, low=3, high=2, name="x") == 'spec: Invalid value: "object": low is above high'
    assert await refusal(api, low=3, high=200, name="x") == (
        'spec: Invalid value: "object": failed rule: self.high < 100'
    )
    assert await refusal(api, low=-1, high=2, name="x") == 'spec.low: Invalid value: "object": low is -1'
    assert await refusal(api, low=1, high=2, name="root") == "spec.name: Forbidden: not root"
    assert await refusal(api, low=1, high=2) == (
        'spec: Invalid value: "object": no such key: name evaluating rule: not root'
    )
    await api.ok("POST", CRONTABS, tab(low=1, high=2, name="x"))


async def test_rules_wait_for_values_that_fit(api: Api) -> None:
    await define(api, definition(version(schema=ruled(ORDER))))
    assert await refusal(api, low="x", high=2) == (
        '[spec.low: Invalid value: "string": spec.low in body must be of type integer: "string", '
        "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; "
        "correct the existing errors to complete validation]"
    )


async def test_rules_are_run_beside_faults_that_they_can_live_with(api: Api) -> None:
    await define(api, definition(version(schema=ruled(ORDER, low={"type": "integer", "minimum": 0}))))
    assert await refusal(api, low=-1, high=-2) == (
        "[spec.low: Invalid value: -1: spec.low in body should be greater than or equal to 0, "
        'spec: Invalid value: "object": low is above high]'
    )


async def test_transitions(api: Api) -> None:
    rules: list[dict[str, Any]] = [
        {"rule": "self.low >= oldSelf.low", "message": "low only grows"},
        {"rule": "oldSelf.hasValue() || self.high == 1", "optionalOldSelf": True, "message": "begins at 1"},
    ]
    await define(api, definition(version(schema=ruled(*rules))))
    assert await refusal(api, low=1, high=2) == 'spec: Invalid value: "object": begins at 1'
    await api.ok("POST", CRONTABS, tab(low=1, high=1))
    await api.ok("PATCH", f"{CRONTABS}/a", {"spec": {"low": 5, "high": 7}}, content_type=MERGE)
    status, body = await api.call("PATCH", f"{CRONTABS}/a", {"spec": {"low": 2}}, content_type=MERGE)
    assert status == 422 and 'spec: Invalid value: "object": low only grows' in body["message"]


async def test_faults_that_were_there_are_passed_over(api: Api) -> None:
    await define(api, definition(version(schema=ruled())))
    await api.ok("POST", CRONTABS, tab(low=3, high=2, name="x"))
    ops = [
        {"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-validations",
         "value": [ORDER]},
        {"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/name/pattern",
         "value": "^y"},
    ]  # fmt: skip
    await api.ok("PATCH", f"{CRDS}/crontabs.{GROUP}", ops, content_type=JSON_PATCH)
    await api.ok("PATCH", f"{CRONTABS}/a", {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE)
    # Once the part changes its rule holds, and the name that stays may stay.
    status, body = await api.call("PATCH", f"{CRONTABS}/a", {"spec": {"low": 4}}, content_type=MERGE)
    assert status == 422
    assert body["message"].endswith('spec: Invalid value: "object": low is above high')
    assert "pattern" not in body["message"] and "should match" not in body["message"]


V = "spec.validation.openAPIV3Schema.properties[spec]"
LONG = {"type": "array", "items": {"type": "string"}}
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "does not compile": (
        {"rule": "self.foo > 1"},
        {},
        f"{V}.x-kubernetes-validations[0].rule: Invalid value: \"self.foo > 1\": compilation failed: "
        "ERROR: <input>:1:5: undefined field 'foo'",
    ),
    "no bool": (
        {"rule": "self.low"},
        {},
        f'{V}.x-kubernetes-validations[0].rule: Invalid value: "self.low": cel expression must evaluate to a bool',
    ),
    "costs too much": (
        {"rule": "self.long.all(x, self.long.all(y, x == y))"},
        {"long": LONG},
        f"{V}.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than "
        "100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and "
        "strings are declared)",
    ),
    "old value of an item": (
        {"rule": "true"},
        {"long": {**LONG, "maxItems": 5, "items": {"type": "string", "maxLength": 5, "x-kubernetes-validations": [
            {"rule": "self == oldSelf"}]}}},
        f"{V}.properties[long].items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": oldSelf "
        f"cannot be used on the uncorrelatable portion of the schema within {V}.properties[long]",
    ),
    "message that costs too much": (
        {"rule": "true", "messageExpression": "self.long.map(x, self.long.map(y, x + y).join()).join()"},
        {"long": LONG},
        f"{V}.x-kubernetes-validations[0].messageExpression: Forbidden: estimated messageExpression cost exceeds "
        "budget by factor of more than 100x",
    ),
    "wrong reason": (
        {"rule": "true", "reason": "Because"},
        {},
        f'{V}.x-kubernetes-validations[0].reason: Unsupported value: "Because": supported values: ',
    ),
    "wrong path": (
        {"rule": "true", "fieldPath": ".nowhere"},
        {},
        f'{V}.x-kubernetes-validations[0].fieldPath: Invalid value: ".nowhere": fieldPath must be a valid path: ',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_definitions_with_rules_that_are_refused(api: Api, name: str) -> None:
    rule, properties, sentence = REFUSED[name]
    status, body = await api.call("POST", CRDS, definition(version(schema=ruled(rule, **properties))))
    assert status == 422, body
    assert sentence in body["message"]


async def test_a_rule_that_costs_too_much_is_stopped(api: Api) -> None:
    # Within the estimate for short lists only because the list's bound is high and the object's size is not.
    properties = {"long": {"type": "array", "maxItems": 1000, "items": {"type": "integer"}}}
    rule = {"rule": "self.long.all(x, self.long.all(y, x != y || x == y))"}
    await define(api, definition(version(schema=ruled(rule, **properties))))
    sentence = await refusal(api, long=list(range(1000)))
    assert "no further validation rules will be run due to call cost exceeds limit for rule" in sentence
