"""matchConditions of webhooks."""

import pytest

from tests.apiserver.server import config_map
from tests.apiserver.webhooks.server import GROUP, MAPS, Admitting, Hooks, webhook


def condition(expression: str, name: str = "one") -> dict[str, str]:
    return {"name": name, "expression": expression}


@pytest.mark.parametrize(
    ("expressions", "shown"),
    [
        (["object.metadata.name == 'web'"], True),
        (["object.metadata.name == 'web'", "request.operation == 'DELETE'"], False),
        (["oldObject == null"], True),
        (["request.userInfo.username.startsWith('kubernetes-')"], True),
        (["!('system:masters' in request.userInfo.groups)"], False),
        # One that is false decides, whatever the others do.
        (["object.data.none == 'x'", "false"], False),
    ],
)
async def test_all_must_hold(api: Admitting, remote: Hooks, expressions: list[str], shown: bool) -> None:
    conditions = [condition(text, f"c{index}") for index, text in enumerate(expressions)]
    await api.configure("validating", "v", webhook(remote.config("a"), matchConditions=conditions))
    await api.ok("POST", MAPS, config_map("web"))
    assert bool(remote.asked.get("a")) is shown


async def test_what_cannot_be_evaluated(api: Admitting, remote: Hooks) -> None:
    conditions = [condition("object.data.none == 'x'")]
    hook = webhook(remote.config("a"), matchConditions=conditions)
    await api.configure("validating", "v", hook)
    status, found = await api.call("POST", MAPS, config_map("web", {"a": "b"}))
    assert status == 403
    assert found["message"] == (
        "configmaps \"web\" is forbidden: expression 'object.data.none == 'x'' resulted in error: no such key: none"
    )
    await api.configure("validating", "v", hook | {"failurePolicy": "Ignore"})
    await api.ok("POST", MAPS, config_map("web", {"a": "b"}))
    assert "a" not in remote.asked


async def test_what_does_not_compile_is_refused(api: Admitting, remote: Hooks) -> None:
    hook = webhook(remote.config("a"), matchConditions=[condition("object.metadata.name"), condition("1 +")])
    body = {"metadata": {"name": "v"}, "webhooks": [hook]}
    status, found = await api.call("POST", f"{GROUP}/validatingwebhookconfigurations", body)
    assert status == 422
    causes = {one["field"]: one["message"] for one in found["details"]["causes"]}
    assert causes["webhooks[0].matchConditions[1].name"] == 'Duplicate value: "one"'
    assert causes["webhooks[0].matchConditions[1].expression"].startswith(
        'Invalid value: "1 +": compilation failed: ERROR: <input>:1:4: Syntax error'
    )
