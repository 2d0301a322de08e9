"""Configurations of webhooks and objects of policies: defaults, and every rule's words."""

from typing import Any

import pytest

from tests.apiserver.webhooks.server import GROUP, Admitting, webhook

URL = {"url": "https://example.com/hook"}
HOOKS = f"{GROUP}/mutatingwebhookconfigurations"


def hook(**more: Any) -> dict[str, Any]:
    return webhook(URL, **more)


def rule(**more: Any) -> dict[str, Any]:
    return {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]} | more


async def problems(api: Admitting, plural: str, body: dict[str, Any]) -> dict[str, str]:
    """What is wrong, by field."""
    status, found = await api.call("POST", f"{GROUP}/{plural}", {"metadata": {"name": "one"}} | body)
    assert status == 422, found
    return {one["field"]: one["message"] for one in found["details"]["causes"]}


async def test_defaults_of_webhooks(api: Admitting) -> None:
    service = {"name": "s", "namespace": "n"}
    body = {"metadata": {"name": "one"}, "webhooks": [webhook({"service": service})]}
    made = await api.ok("POST", HOOKS, body)
    (one,) = made["webhooks"]
    assert made["metadata"]["generation"] == 1
    assert one["clientConfig"]["service"] == {"name": "s", "namespace": "n", "port": 443}
    assert one["rules"][0]["scope"] == "*"
    expected = {
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "reinvocationPolicy": "Never",
        "timeoutSeconds": 10,
        "namespaceSelector": {},
        "objectSelector": {},
    }
    assert {name: one[name] for name in expected} == expected
    made["metadata"]["labels"] = {"a": "b"}
    made = await api.ok("PUT", f"{HOOKS}/one", made)
    assert made["metadata"]["generation"] == 1
    made["webhooks"][0]["timeoutSeconds"] = 5
    assert (await api.ok("PUT", f"{HOOKS}/one", made))["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    ("more", "field", "message"),
    [
        (
            {"name": "short.name"},
            "name",
            'Invalid value: "short.name": should be a domain with at least three segments separated by dots',
        ),
        ({"name": ""}, "name", "Required value"),
        (
            {"sideEffects": "Some"},
            "sideEffects",
            'Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
        ),
        ({"sideEffects": ""}, "sideEffects", "Required value: must specify one of None, NoneOnDryRun"),
        (
            {"timeoutSeconds": 31},
            "timeoutSeconds",
            "Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        ),
        ({"failurePolicy": "x"}, "failurePolicy", 'Unsupported value: "x": supported values: "Fail", "Ignore"'),
        ({"matchPolicy": "x"}, "matchPolicy", 'Unsupported value: "x": supported values: "Equivalent", "Exact"'),
        (
            {"reinvocationPolicy": "x"},
            "reinvocationPolicy",
            'Unsupported value: "x": supported values: "IfNeeded", "Never"',
        ),
        (
            {"admissionReviewVersions": []},
            "admissionReviewVersions",
            "Required value: must specify one of v1, v1beta1",
        ),
        (
            {"admissionReviewVersions": ["v2"]},
            "admissionReviewVersions",
            'Invalid value: ["v2"]: must include at least one of v1, v1beta1',
        ),
        (
            {"admissionReviewVersions": ["v1", "v1"]},
            "admissionReviewVersions[1]",
            'Invalid value: "v1": duplicate version',
        ),
        (
            {"clientConfig": {}},
            "clientConfig",
            "Required value: exactly one of url or service is required",
        ),
        (
            {"clientConfig": {"url": "http://example.com"}},
            "clientConfig.url",
            "Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
        ),
        (
            {"clientConfig": {"url": "https://example.com?a=b"}},
            "clientConfig.url",
            'Invalid value: "a=b": query parameters are not permitted in the URL',
        ),
        (
            {"clientConfig": {"service": {"name": "s", "namespace": "n", "port": 70000}}},
            "clientConfig.service.port",
            "Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive",
        ),
        (
            {"clientConfig": {"service": {"name": "s", "namespace": "n", "path": "abc"}}},
            "clientConfig.service.path",
            "Invalid value: \"abc\": must start with a '/'",
        ),
        (
            {"rules": [rule(operations=["CREATE", "*"])]},
            "rules[0].operations",
            'Invalid value: ["CREATE","*"]: if \'*\' is present, must not specify other operations',
        ),
        (
            {"rules": [rule(operations=["PATCH"])]},
            "rules[0].operations[0]",
            'Unsupported value: "PATCH": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"',
        ),
        (
            {"rules": [rule(resources=["pods/*", "pods/exec"])]},
            "rules[0].resources[1]",
            "Invalid value: \"pods/exec\": if 'pods/*' is present, must not specify pods/exec",
        ),
        (
            {"rules": [rule(resources=["*/*", "a"])]},
            "rules[0].resources",
            'Invalid value: ["*/*","a"]: if \'*/*\' is present, must not specify other resources',
        ),
        ({"rules": [rule(apiGroups=[])]}, "rules[0].apiGroups", "Required value"),
        (
            {"rules": [rule(scope="x")]},
            "rules[0].scope",
            'Unsupported value: "x": supported values: "*", "Cluster", "Namespaced"',
        ),
        (
            {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "x"}]}},
            "namespaceSelector.matchExpressions[0].operator",
            'Invalid value: "x": not a valid selector operator',
        ),
    ],
)
async def test_webhooks_are_checked(api: Admitting, more: dict[str, Any], field: str, message: str) -> None:
    found = await problems(api, "mutatingwebhookconfigurations", {"webhooks": [hook(**more)]})
    assert found[f"webhooks[0].{field}"] == message


async def test_names_are_unique(api: Admitting) -> None:
    found = await problems(api, "validatingwebhookconfigurations", {"webhooks": [hook(), hook()]})
    assert found == {"webhooks[1].name": 'Duplicate value: "a.example.com"'}


def policy(**more: Any) -> dict[str, Any]:
    constraints = {"resourceRules": [rule()]}
    return {"spec": {"matchConstraints": constraints, "validations": [{"expression": "true"}]} | more}


async def test_a_validating_policy(api: Admitting) -> None:
    plural = "validatingadmissionpolicies"
    made = await api.ok("POST", f"{GROUP}/{plural}", {"metadata": {"name": "a"}} | policy())
    spec = made["spec"]
    assert spec["failurePolicy"] == "Fail"
    assert spec["matchConstraints"]["matchPolicy"] == "Equivalent"
    assert spec["matchConstraints"]["resourceRules"][0]["scope"] == "*"
    assert await problems(api, plural, policy(validations=[], matchConstraints=None)) == {
        "spec.matchConstraints": "Required value",
        "spec.validations": "Required value: validations or auditAnnotations must contain at least one item",
        "spec.auditAnnotations": "Required value: validations or auditAnnotations must contain at least one item",
    }
    wrong = policy(
        paramKind={"apiVersion": "a/b/c", "kind": "a b"},
        variables=[{"name": "in", "expression": "1"}],
        validations=[{"expression": " ", "message": "a\nb", "reason": "Other"}],
    )
    found = await problems(api, plural, wrong)
    assert found["spec.paramKind.apiVersion"] == 'Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c'
    assert found["spec.paramKind.kind"].startswith('Invalid value: "a b": may have mixed case, but should otherwise')
    assert found["spec.variables[0].name"] == 'Invalid value: "in": name is not a valid CEL identifier'
    assert found["spec.validations[0].expression"] == "Required value: expression is not specified"
    assert found["spec.validations[0].message"] == 'Invalid value: "a\\nb": message must not contain line breaks'
    assert found["spec.validations[0].reason"] == (
        'Unsupported value: "Other": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"'
    )


async def test_bindings(api: Admitting) -> None:
    plural = "validatingadmissionpolicybindings"
    spec: dict[str, Any] = {"policyName": "p", "validationActions": ["Deny"], "paramRef": {"name": "x"}}
    made = await api.ok("POST", f"{GROUP}/{plural}", {"metadata": {"name": "a"}, "spec": spec})
    assert made["spec"]["paramRef"]["parameterNotFoundAction"] == "Deny"
    spec = {"validationActions": ["Deny", "Warn", "Deny"], "paramRef": {}, "matchResources": {"matchPolicy": "x"}}
    found = await problems(api, plural, {"spec": spec})
    assert found["spec.policyName"] == "Required value"
    assert found["spec.paramRef"] == "Required value: one of name or selector must be specified"
    assert found["spec.validationActions[2]"] == 'Duplicate value: "Deny"'
    assert "must not contain both Deny and Warn" in found["spec.validationActions"]
    assert found["spec.matchResouces.matchPolicy"].startswith('Unsupported value: "x"')


async def test_a_mutating_policy(api: Admitting) -> None:
    plural = "mutatingadmissionpolicies"
    spec = {"matchConstraints": {"resourceRules": [rule(operations=["DELETE"])]}, "mutations": [{"patchType": "X"}]}
    found = await problems(api, plural, {"spec": spec})
    assert found["spec.reinvocationPolicy"] == "Required value"
    assert found["spec.mutations[0].patchType"] == (
        'Unsupported value: "X": supported values: "ApplyConfiguration", "JSONPatch"'
    )
    assert found["spec.matchConstraints.resourceRules[0].operations[0]"].startswith('Unsupported value: "DELETE"')
    assert await problems(api, plural, {"spec": {}}) == {
        "spec.matchConstraints": "Required value",
        "spec.mutations": "Required value: mutations must contain at least one item",
        "spec.reinvocationPolicy": "Required value",
    }


@pytest.mark.parametrize(
    ("plural", "columns"),
    [
        ("mutatingwebhookconfigurations", ["Name", "Webhooks", "Age"]),
        ("validatingadmissionpolicies", ["Name", "Validations", "ParamKind", "Age"]),
        ("validatingadmissionpolicybindings", ["Name", "PolicyName", "ParamRef", "Age"]),
        ("mutatingadmissionpolicies", ["Name", "Mutations", "ParamKind", "Age"]),
        ("mutatingadmissionpolicybindings", ["Name", "PolicyName", "ParamRef", "Age"]),
    ],
)
async def test_columns(api: Admitting, plural: str, columns: list[str]) -> None:
    found = await api.ok("GET", f"{GROUP}/{plural}", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [one["name"] for one in found["columnDefinitions"]] == columns
