"""Webhooks on custom resources: they are shown and changed as any other object."""

from typing import Any

from tests.apiserver.extensions.crontabs import define
from tests.apiserver.webhooks.server import Admitting, Hooks, label, patch, webhook

TABS = "/apis/example.com/v1/namespaces/default/crontabs"


def definition(*versions: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "replicas": {"type": "integer", "minimum": 1},
                    "schedule": {"type": "string", "default": "daily"},
                },
            }
        },
    }
    return {
        "metadata": {"name": "crontabs.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "listKind": "CronTabList"},
            "versions": [
                {"name": name, "served": True, "storage": name == versions[0], "schema": {"openAPIV3Schema": schema}}
                for name in versions
            ],
        },
    }


def tab(replicas: int = 1, version: str = "v1") -> dict[str, Any]:
    return {
        "apiVersion": f"example.com/{version}",
        "kind": "CronTab",
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas},
    }


def rule(*versions: str) -> dict[str, Any]:
    return {"operations": ["*"], "apiGroups": ["example.com"], "apiVersions": [*versions], "resources": ["crontabs"]}


async def test_a_custom_object_is_shown_and_changed(api: Admitting, remote: Hooks) -> None:
    await define(api, definition("v1"))
    remote.answers["a"] = lambda request: patch(
        label("by", "hook"), {"op": "replace", "path": "/spec", "value": {"replicas": 2, "unknown": 1}}
    )
    await api.configure("mutating", "m", webhook(remote.config("a"), rules=[rule("v1")]))
    await api.configure("validating", "v", webhook(remote.config("v"), rules=[rule("v1")]))
    made = await api.ok("POST", TABS, tab())
    # What the webhook left out is defaulted, what nobody knows is dropped.
    assert made["spec"] == {"replicas": 2, "schedule": "daily"}
    assert made["metadata"]["labels"] == {"by": "hook"}
    (asked,) = remote.asked["a"]
    assert asked["object"]["spec"] == {"replicas": 1, "schedule": "daily"}
    assert asked["kind"] == {"group": "example.com", "version": "v1", "kind": "CronTab"}
    assert "uid" not in asked["object"]["metadata"]
    (checked,) = remote.asked["v"]
    assert checked["object"]["metadata"]["uid"] == made["metadata"]["uid"]
    remote.answers["a"] = lambda request: patch({"op": "replace", "path": "/spec/replicas", "value": 0})
    made["spec"]["replicas"] = 5
    status, found = await api.call("PUT", f"{TABS}/web", made)
    assert status == 422
    assert "spec.replicas" in found["message"]


async def test_another_version_than_the_one_that_was_sent(api: Admitting, remote: Hooks) -> None:
    await define(api, definition("v1", "v2"))
    await api.configure("validating", "v", webhook(remote.config("a"), rules=[rule("v2")]))
    await api.ok("POST", TABS, tab())
    (asked,) = remote.asked["a"]
    assert asked["object"]["apiVersion"] == "example.com/v2"
    assert (asked["kind"]["version"], asked["requestKind"]["version"]) == ("v2", "v1")
