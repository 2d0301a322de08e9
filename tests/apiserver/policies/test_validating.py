"""ValidatingAdmissionPolicy: who is meant, what is said, and what becomes of it."""

import json
from typing import Any

import pytest

from tests.apiserver.policies.written import GROUP, MAPS, Policies, rule
from tests.apiserver.server import config_map
from tiphys.api import core_v1, meta_v1
from tiphys.apiserver.seams import Attributes
from tiphys.wire.exchange import UserInfo


async def refused(api: Policies, name: str = "web", data: dict[str, str] | None = None, **labels: str) -> Any:
    """The Status that creating a ConfigMap is answered with."""
    status, answer = await api.call("POST", MAPS, config_map(name, data or {"a": "1"}, **labels))
    assert status >= 400, answer
    return answer


async def test_a_validation_that_does_not_hold_refuses(api: Policies) -> None:
    await api.validating("p", "object.data.a == '1'")
    await api.ok("POST", MAPS, config_map("fine", {"a": "1"}))
    found = await refused(api, data={"a": "2"})
    said = (
        "ValidatingAdmissionPolicy 'p' with binding 'p-binding' denied request: failed expression: object.data.a == '1'"
    )
    assert found["message"] == f'configmaps "web" is forbidden: {said}'
    assert (found["reason"], found["code"]) == ("Invalid", 422)
    assert found["details"] == {"name": "web", "kind": "configmaps", "causes": [{"message": said}]}


async def test_a_policy_without_a_binding_does_nothing_and_one_that_is_gone_too(api: Policies) -> None:
    await api.validating("p", "false", bind=False)
    await api.ok("POST", MAPS, config_map("a", {}))
    await api.bind("p")
    await refused(api, "b")
    await api.ok("DELETE", f"{GROUP}/validatingadmissionpolicybindings/p-binding")
    await api.ok("POST", MAPS, config_map("b", {}))


async def test_a_changed_policy_counts_at_once(api: Policies) -> None:
    made = await api.validating("p", "false")
    await refused(api)
    made["spec"]["validations"] = [{"expression": "true"}]
    await api.ok("PUT", f"{GROUP}/validatingadmissionpolicies/p", made)
    await api.ok("POST", MAPS, config_map("web", {}))


@pytest.mark.parametrize(
    ("validation", "said"),
    [
        ({"message": " no \n"}, "no"),
        ({"messageExpression": "'name is ' + object.metadata.name"}, "name is web"),
        ({"message": "no", "messageExpression": "object.data.nope"}, "no"),
        ({"message": "no", "messageExpression": "'a\\nb'"}, "no"),
        ({"message": "no", "messageExpression": "' '"}, "no"),
        ({"messageExpression": "object.data.nope"}, "failed expression: false"),
    ],
)
async def test_messages(api: Policies, validation: dict[str, Any], said: str) -> None:
    await api.validating("p", {"expression": "false", **validation})
    found = await refused(api)
    assert found["message"].endswith(f"denied request: {said}")


@pytest.mark.parametrize(("reason", "code"), [("Forbidden", 403), ("Invalid", 422), ("RequestEntityTooLarge", 413)])
async def test_reasons(api: Policies, reason: str, code: int) -> None:
    await api.validating("p", {"expression": "false", "reason": reason})
    found = await refused(api)
    assert (found["reason"], found["code"]) == (reason, code)


async def test_an_expression_that_fails_is_the_failure_policys(api: Policies) -> None:
    await api.validating("p", "object.data.nope == '1'")
    found = await refused(api)
    assert found["message"].endswith(
        "denied request: expression 'object.data.nope == '1'' resulted in error: no such key: nope"
    )
    await api.ok("DELETE", f"{GROUP}/validatingadmissionpolicies/p")
    await api.validating("p", "object.data.nope == '1'", bind=False, failurePolicy="Ignore")
    await api.ok("POST", MAPS, config_map("web", {"a": "1"}))


async def test_updates_see_both_objects_and_deletions_the_old_one(api: Policies) -> None:
    await api.ok("POST", MAPS, config_map("web", {"a": "1"}))
    constraints = {"resourceRules": [rule("configmaps", operations=("UPDATE", "DELETE"))]}
    await api.validating(
        "p",
        "request.operation == 'DELETE' ? object == null && oldObject.data.a == '2' : oldObject.data.a < object.data.a",
        matchConstraints=constraints,
    )
    status, _ = await api.call("DELETE", f"{MAPS}/web")
    assert status == 422
    await api.ok("PATCH", f"{MAPS}/web", {"data": {"a": "2"}}, content_type="application/merge-patch+json")
    status, _ = await api.call(
        "PATCH", f"{MAPS}/web", {"data": {"a": "1"}}, content_type="application/merge-patch+json"
    )
    assert status == 422
    await api.ok("DELETE", f"{MAPS}/web")


async def test_the_request_can_be_read(api: Policies) -> None:
    await api.validating(
        "p",
        "request.kind.kind == 'ConfigMap' && request.resource.resource == 'configmaps'",
        "request.name == 'web' && request.namespace == 'default' && request.operation == 'CREATE'",
        "request.userInfo.username == 'kubernetes-admin' && 'system:masters' in request.userInfo.groups",
        "!request.dryRun && !has(request.subResource)",
        "namespaceObject.metadata.name == 'default' && namespaceObject.status.phase == 'Active'",
        "oldObject == null",
    )
    await api.ok("POST", MAPS, config_map("web", {}))


async def test_variables_are_composed_and_evaluated_when_read(api: Policies) -> None:
    await api.validating(
        "p",
        "variables.big || object.metadata.name == 'x'",
        {"expression": "variables.count < 4", "messageExpression": "'count is ' + string(variables.count)"},
        variables=[
            {"name": "count", "expression": "size(object.data)"},
            {"name": "big", "expression": "variables.count > 1"},
            {"name": "never", "expression": "object.data.nope"},
        ],
    )
    await api.ok("POST", MAPS, config_map("fine", {"a": "1", "b": "2"}))
    found = await refused(api)
    assert found["message"].endswith("failed expression: variables.big || object.metadata.name == 'x'")
    found = await refused(api, data=dict.fromkeys("abcd", ""))
    assert found["message"].endswith("denied request: count is 4")


async def test_a_variable_that_fails_says_so(api: Policies) -> None:
    variables = [{"name": "v", "expression": "object.data.nope"}]
    await api.validating("p", "variables.v == '1'", variables=variables)
    found = await refused(api)
    said = 'resulted in error: composited variable "v" fails to evaluate: no such key: nope'
    assert found["message"].endswith(f"expression 'variables.v == '1'' {said}")


async def test_match_conditions_decide_whether_a_policy_is_asked(api: Policies) -> None:
    conditions = [{"name": "named", "expression": "object.metadata.name.startsWith('x')"}]
    await api.validating("p", "false", matchConditions=conditions)
    await api.ok("POST", MAPS, config_map("web", {}))
    await refused(api, "xweb")


async def test_a_match_condition_that_fails(api: Policies) -> None:
    conditions = [
        {"name": "bad", "expression": "object.data.nope == '1'"},
        {"name": "named", "expression": "object.metadata.name.startsWith('x')"},
    ]
    await api.validating("p", "true", matchConditions=conditions)
    await api.ok("POST", MAPS, config_map("web", {}))
    found = await refused(api, "xweb")
    assert found["message"].endswith("expression 'object.data.nope == '1'' resulted in error: no such key: nope")


async def test_selectors_rules_and_exclusions(api: Policies) -> None:
    constraints = {
        "resourceRules": [rule("configmaps", operations=("CREATE",))],
        "excludeResourceRules": [{**rule("configmaps"), "resourceNames": ["spared"]}],
        "objectSelector": {"matchLabels": {"app": "x"}},
        "namespaceSelector": {"matchExpressions": [{"key": "free", "operator": "DoesNotExist"}]},
    }
    await api.validating("p", "false", matchConstraints=constraints)
    await refused(api, app="x")
    await api.ok("POST", MAPS, config_map("web", {}))
    await api.ok("POST", MAPS, config_map("spared", {}, app="x"))
    free = {"metadata": {"name": "free", "labels": {"free": "yes"}}}
    await api.ok("POST", "/api/v1/namespaces", free)
    await api.ok("POST", "/api/v1/namespaces/free/configmaps", config_map("web", {}, app="x"))


async def test_another_version_of_the_resource_is_equivalent(api: Policies) -> None:
    constraints = {
        "resourceRules": [rule("horizontalpodautoscalers", group="autoscaling", version="v1")],
        "matchPolicy": "Equivalent",
    }
    await api.validating("p", "object.spec.targetCPUUtilizationPercentage < 50", matchConstraints=constraints)
    target = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}},
    }
    body = {
        "metadata": {"name": "h"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "maxReplicas": 3,
            "metrics": [target],
        },
    }
    path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    status, found = await api.call("POST", path, body)
    assert status == 422, found
    target["resource"]["target"]["averageUtilization"] = 40  # type: ignore[index]
    await api.ok("POST", path, body)


async def test_warnings_and_audit(api: Policies) -> None:
    await api.validating("p", {"expression": "false", "message": "no"}, bind=False)
    await api.bind("p", "Warn", "Audit")
    answer = await api.raw("POST", MAPS, config_map("web", {}))
    assert answer.status == 201
    warning = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p-binding': no"
    assert answer.headers["Warning"] == f'299 - "{warning}"'


async def test_what_the_audit_log_is_told(api: Policies) -> None:
    await api.validating(
        "p",
        {"expression": "false", "message": "no"},
        bind=False,
        auditAnnotations=[{"key": "name", "valueExpression": "'it is ' + object.metadata.name"}],
    )
    await api.bind("p", "Audit")
    attributes = Attributes(
        verb="create",
        path=MAPS,
        is_resource_request=True,
        version="v1",
        resource="configmaps",
        namespace="default",
        name="web",
        kind="ConfigMap",
        operation="CREATE",
    )
    obj = core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name="web", namespace="default"))
    await api.admission.validate(attributes, obj, None)
    found = attributes.audit_annotations
    assert found["p/name"] == "it is web"
    assert json.loads(found["validation.policy.admission.k8s.io/validation_failure"]) == [
        {
            "message": "no",
            "policy": "p",
            "binding": "p-binding",
            "expressionIndex": 0,
            "validationActions": ["Audit"],
        }
    ]


async def test_parameters_by_name(api: Policies) -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    constraints = {"resourceRules": [rule("secrets", operations=("CREATE",))]}
    await api.validating(
        "p",
        "params != null && object.type == params.data.type",
        bind=False,
        paramKind=kind,
        matchConstraints=constraints,
    )
    await api.bind("p", paramRef={"name": "wanted", "parameterNotFoundAction": "Deny"})
    secrets = "/api/v1/namespaces/default/secrets"
    status, found = await api.call("POST", secrets, {"metadata": {"name": "s"}})
    assert status == 422
    assert found["message"].endswith(
        "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    )
    await api.ok("POST", MAPS, config_map("wanted", {"type": "Opaque"}))
    await api.ok("POST", secrets, {"metadata": {"name": "s"}})
    status, _ = await api.call("POST", secrets, {"metadata": {"name": "t"}, "type": "example.com/t"})
    assert status == 422


async def test_parameters_by_selector_are_all_asked(api: Policies) -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    constraints = {"resourceRules": [rule("secrets", operations=("CREATE",))]}
    for name, most in (("a", "1"), ("b", "2")):
        await api.ok("POST", MAPS, config_map(name, {"most": most}, limit="yes"))
    await api.validating(
        "p",
        {
            "expression": "object.metadata.name.size() <= int(params.data.most)",
            "messageExpression": "'longer than ' + params.data.most",
        },
        bind=False,
        paramKind=kind,
        matchConstraints=constraints,
    )
    selector = {"matchLabels": {"limit": "yes"}}
    await api.bind("p", paramRef={"selector": selector, "parameterNotFoundAction": "Allow"})
    secrets = "/api/v1/namespaces/default/secrets"
    await api.ok("POST", secrets, {"metadata": {"name": "x"}})
    _, found = await api.call("POST", secrets, {"metadata": {"name": "xx"}})
    assert found["message"].endswith("longer than 1")


async def test_a_kind_of_parameters_that_is_not_served(api: Policies) -> None:
    await api.validating("p", "true", paramKind={"apiVersion": "example.com/v1", "kind": "Foo"})
    found = await refused(api)
    assert found["message"].endswith(
        "ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: "
        "failed to find resource referenced by paramKind: 'example.com/v1, Kind=Foo'"
    )


async def test_the_authorizer_is_asked(api: Policies) -> None:
    await api.validating(
        "p",
        "authorizer.group('').resource('secrets').namespace('default').check('get').allowed()",
        "authorizer.requestResource.check('create').allowed()",
    )
    await api.ok("POST", MAPS, config_map("web", {}))
    role = {
        "metadata": {"name": "maps", "namespace": "default"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}],
    }
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    await api.ok("POST", f"{rbac}/roles", role)
    binding = {
        "metadata": {"name": "maps"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "maps"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
    }
    await api.ok("POST", f"{rbac}/rolebindings", binding)
    api.user = UserInfo("jane", groups=("system:authenticated",))
    found = await refused(api, "other")
    assert "failed expression: authorizer.group('')" in found["message"]


async def test_costs_are_bounded(api: Policies) -> None:
    data = {f"k{n}": "x" * 100 for n in range(200)}
    loop = "object.data.all(a, object.data.all(b, object.data.all(c, object.data[a] == object.data[b] || c != '')))"
    await api.validating("p", loop)
    found = await refused(api, data=data)
    assert found["message"].endswith("resulted in error: operation cancelled: actual cost limit exceeded")


@pytest.mark.parametrize(
    ("spec", "field", "said"),
    [
        (
            {"validations": [{"expression": "objekt.x"}]},
            "spec.validations[0].expression",
            "undeclared reference to 'objekt' (in container '')",
        ),
        ({"validations": [{"expression": "1"}]}, "spec.validations[0].expression", "must evaluate to bool"),
        (
            {"validations": [{"expression": "true", "messageExpression": "1"}]},
            "spec.validations[0].messageExpression",
            "must evaluate to string",
        ),
        (
            {"variables": [{"name": "a", "expression": "1 +"}]},
            "spec.variables[0].expression",
            "Syntax error: mismatched input '<EOF>'",
        ),
        (
            {"variables": [{"name": "a", "expression": "variables.b"}, {"name": "b", "expression": "1"}]},
            "spec.variables[0].expression",
            "undefined field 'b'",
        ),
        (
            {"validations": [{"expression": "params.x"}]},
            "spec.validations[0].expression",
            "undeclared reference to 'params'",
        ),
        (
            {"matchConditions": [{"name": "a", "expression": "variables.x"}]},
            "spec.matchConditions[0].expression",
            "undeclared reference to 'variables'",
        ),
        (
            {"auditAnnotations": [{"key": "a", "valueExpression": "1"}]},
            "spec.auditAnnotations[0].valueExpression",
            "must evaluate to one of [string null]",
        ),
    ],
)
async def test_expressions_are_checked_when_written(api: Policies, spec: dict[str, Any], field: str, said: str) -> None:
    constraints = {"resourceRules": [rule("configmaps")]}
    body = {
        "metadata": {"name": "p"},
        "spec": {"matchConstraints": constraints, "validations": [{"expression": "true"}], **spec},
    }
    status, found = await api.call("POST", f"{GROUP}/validatingadmissionpolicies", body)
    assert status == 422
    (cause,) = found["details"]["causes"]
    assert cause["field"] == field
    assert said in cause["message"]


async def test_policies_are_not_asked_about_policies(api: Policies) -> None:
    constraints = {"resourceRules": [rule("*", group="*", version="*")]}
    await api.validating("p", "false", matchConstraints=constraints)
    await api.ok("DELETE", f"{GROUP}/validatingadmissionpolicies/p")


async def test_evaluations_are_counted(api: Policies) -> None:
    name = "apiserver_validating_admission_policy_check_total"
    assert name not in (await api.raw("GET", "/metrics")).body.decode()
    await api.validating("p", "object.data.a == '1'")
    await api.ok("POST", MAPS, config_map("fine", {"a": "1"}))
    await refused(api, data={"a": "2"})
    await refused(api, data={"b": "2"})
    text = (await api.raw("GET", "/metrics")).body.decode()
    for action, error in (("allow", "no_error"), ("deny", "no_error"), ("deny", "invalid_error")):
        labels = f'enforcement_action="{action}",error_type="{error}",policy="p",policy_binding="p-binding"'
        assert f"{name}{{{labels}}} 1" in text
