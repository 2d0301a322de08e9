"""Webhooks on connections and on evictions."""

from tests.apiserver.server import pod
from tests.apiserver.webhooks.server import PODS, Admitting, Hooks, webhook


async def test_who_connects_is_shown_with_the_options(api: Admitting, remote: Hooks) -> None:
    await api.ok("POST", PODS, pod("web"))
    rule = {"operations": ["CONNECT"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/*", "nodes/proxy"]}
    await api.configure("validating", "v", webhook(remote.config("a"), rules=[rule]))
    query = {"command": ["ls", "-l"], "stdin": "true", "container": "c", "stderr": "false"}
    status, found = await api.call("POST", f"{PODS}/web/exec", query=query)
    assert (status, found["message"]) == (400, "pod web does not have a host assigned")
    (asked,) = remote.asked["a"]
    assert (asked["operation"], asked["subResource"], asked["name"]) == ("CONNECT", "exec", "web")
    assert asked["kind"] == {"group": "", "version": "v1", "kind": "PodExecOptions"}
    assert asked["object"] == {
        "kind": "PodExecOptions",
        "apiVersion": "v1",
        "stdin": True,
        "stdout": True,
        "container": "c",
        "command": ["ls", "-l"],
    }
    assert asked["oldObject"] is None
    assert asked["options"] is None
    remote.answers["a"] = lambda request: {"allowed": False, "status": {"message": "no", "code": 403}}
    status, found = await api.call("GET", f"{PODS}/web/portforward", query={"ports": "80"})
    assert (status, found["message"]) == (403, 'admission webhook "a.example.com" denied the request: no')
    assert remote.asked["a"][1]["object"]["ports"] == [80]


async def test_an_eviction_is_shown_as_one(api: Admitting, remote: Hooks) -> None:
    await api.ok("POST", PODS, pod("web"))
    rule = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/eviction", "pods"]}
    await api.configure("validating", "v", webhook(remote.config("a"), rules=[rule]))
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}}
    remote.answers["a"] = lambda request: {"allowed": False}
    status, _ = await api.call("POST", f"{PODS}/web/eviction", body)
    assert status == 400
    (asked,) = remote.asked["a"]
    assert (asked["operation"], asked["object"]["kind"]) == ("CREATE", "Eviction")
    assert asked["kind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}
    assert asked["resource"]["resource"] == "pods"
    remote.answers.clear()
    await api.ok("POST", f"{PODS}/web/eviction", body)
    assert len(remote.asked["a"]) == 2
