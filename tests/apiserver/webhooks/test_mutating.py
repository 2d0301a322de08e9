"""Mutating webhooks: what they are shown, and what becomes of what they answer."""

from typing import Any

import pytest

from tests.apiserver.server import config_map, pod
from tests.apiserver.webhooks.server import MAPS, PODS, Admitting, Hooks, label, patch, webhook

ONLY_PODS = [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]


async def test_a_webhook_sees_the_request_and_changes_the_object(api: Admitting, remote: Hooks) -> None:
    remote.answers["a"] = lambda request: patch({"op": "add", "path": "/data/b", "value": "2"})
    await api.configure("mutating", "m", webhook(remote.config("a")))
    made = await api.ok("POST", MAPS, config_map("web", {"a": "1"}))
    assert made["data"] == {"a": "1", "b": "2"}
    assert made["metadata"]["uid"]
    (asked,) = remote.asked["a"]
    assert asked.pop("uid")
    shown = asked.pop("object")
    assert (shown["apiVersion"], shown["kind"], shown["data"]) == ("v1", "ConfigMap", {"a": "1"})
    assert "uid" not in shown["metadata"]
    assert "creationTimestamp" not in shown["metadata"]
    assert asked == {
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        "requestKind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "requestResource": {"group": "", "version": "v1", "resource": "configmaps"},
        "name": "web",
        "namespace": "default",
        "operation": "CREATE",
        "userInfo": {"username": "kubernetes-admin", "groups": ["system:masters", "system:authenticated"]},
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }


async def test_updates_and_deletions_carry_what_was_there(api: Admitting, remote: Hooks) -> None:
    await api.ok("POST", MAPS, config_map("web", {"a": "1"}))
    await api.configure("mutating", "m", webhook(remote.config("a")))
    await api.ok("PATCH", f"{MAPS}/web", {"data": {"a": "2"}}, content_type="application/merge-patch+json")
    await api.ok("DELETE", f"{MAPS}/web")
    update, delete = remote.asked["a"]
    assert (update["operation"], update["object"]["data"], update["oldObject"]["data"]) == (
        "UPDATE",
        {"a": "2"},
        {"a": "1"},
    )
    assert update["options"]["kind"] == "PatchOptions"
    assert update["oldObject"]["metadata"]["resourceVersion"]
    assert (delete["operation"], delete["object"], delete["oldObject"]["data"]) == ("DELETE", None, {"a": "2"})


async def test_the_options_of_a_request(api: Admitting, remote: Hooks) -> None:
    await api.configure("mutating", "m", webhook(remote.config("a")))
    query = {"fieldManager": "me", "fieldValidation": "Strict"}
    await api.ok("POST", MAPS, config_map("web", {"a": "1"}), query)
    apply = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"a": "2"}}
    query = {"fieldManager": "you", "force": "true"}
    await api.ok("PATCH", f"{MAPS}/web", apply, query, content_type="application/apply-patch+yaml")
    await api.ok("DELETE", f"{MAPS}/web", {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Orphan"})
    version = {"apiVersion": "meta.k8s.io/v1"}
    assert [one["options"] for one in remote.asked["a"]] == [
        {"kind": "CreateOptions", "fieldManager": "me", "fieldValidation": "Strict"} | version,
        {"kind": "PatchOptions", "fieldManager": "you", "force": True} | version,
        {"kind": "DeleteOptions", "propagationPolicy": "Orphan"} | version,
    ]


async def test_each_object_of_a_collection_is_shown(api: Admitting, remote: Hooks) -> None:
    for name in ("a", "b"):
        await api.ok("POST", MAPS, config_map(name, {"n": name}, app="x"))
    await api.configure("mutating", "m", webhook(remote.config("a")))
    await api.ok("DELETE", MAPS, query={"labelSelector": "app=x"})
    assert sorted(one["name"] for one in remote.asked["a"]) == ["a", "b"]
    assert sorted(one["oldObject"]["data"]["n"] for one in remote.asked["a"]) == ["a", "b"]


async def test_a_name_that_is_yet_to_be_made_is_not_shown(api: Admitting, remote: Hooks) -> None:
    await api.configure("mutating", "m", webhook(remote.config("a")))
    await api.configure("validating", "v", webhook(remote.config("v")))
    body = config_map("")
    body["metadata"] = {"generateName": "web-"}
    made = await api.ok("POST", MAPS, body)
    (asked,) = remote.asked["a"]
    assert "name" not in asked
    assert "name" not in asked["object"]["metadata"]
    (checked,) = remote.asked["v"]
    assert checked["name"] == checked["object"]["metadata"]["name"] == made["metadata"]["name"]
    assert checked["object"]["metadata"]["uid"] == made["metadata"]["uid"]


async def test_what_a_webhook_adds_is_defaulted_and_validated(api: Admitting, remote: Hooks) -> None:
    sidecar: dict[str, Any] = {"name": "side", "image": "s"}
    remote.answers["a"] = lambda request: patch({"op": "add", "path": "/spec/containers/-", "value": sidecar})
    await api.configure("mutating", "m", webhook(remote.config("a"), rules=ONLY_PODS))
    made = await api.ok("POST", PODS, pod("web"))
    added = made["spec"]["containers"][1]
    assert added["imagePullPolicy"] == "Always"
    # The plugins have seen it as well: it has the account's token.
    assert added["volumeMounts"][0]["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    sidecar["name"] = "Not A Name"
    status, found = await api.call("POST", PODS, pod("other"))
    assert status == 422
    assert 'spec.containers[1].name: Invalid value: "Not A Name"' in found["message"]


async def test_webhooks_follow_one_another_by_name_and_order(api: Admitting, remote: Hooks) -> None:
    def append(text: str) -> Any:
        def answer(request: dict[str, Any]) -> dict[str, Any]:
            value = request["object"].get("data", {}).get("order", "") + text
            return patch({"op": "add", "path": "/data", "value": {"order": value}})

        return answer

    for name in "abc":
        remote.answers[name] = append(name)
    await api.configure("mutating", "z", webhook(remote.config("c"), "first.example.com"))
    pair = [webhook(remote.config("b"), "z.example.com"), webhook(remote.config("a"), "a.example.com")]
    await api.configure("mutating", "m", *pair)
    assert (await api.ok("POST", MAPS, config_map("web")))["data"] == {"order": "bac"}


async def test_who_wants_it_is_asked_again_once(api: Admitting, remote: Hooks) -> None:
    remote.answers["b"] = lambda request: patch(label("by", "b"))
    again = webhook(remote.config("a"), "a.example.com", reinvocationPolicy="IfNeeded")
    once = webhook(remote.config("b"), "b.example.com")
    await api.configure("mutating", "m", again, once)
    await api.ok("POST", MAPS, config_map("web"))
    assert [one["object"]["metadata"].get("labels") for one in remote.asked["a"]] == [None, {"by": "b"}]
    assert len(remote.asked["b"]) == 1
    # Nothing changes this time, so there is no second round.
    remote.answers.clear()
    await api.ok("POST", MAPS, config_map("other"))
    assert len(remote.asked["a"]) == 3


async def test_a_plugin_that_follows_a_webhook_counts_as_a_change(api: Admitting, remote: Hooks) -> None:
    """The default class of the cluster is set once the webhook has taken the Pod's away."""
    remote.answers["a"] = lambda request: (
        patch({"op": "remove", "path": "/spec/tolerations"}) if len(remote.asked["a"]) == 1 else {}
    )
    hook = webhook(remote.config("a"), rules=ONLY_PODS, reinvocationPolicy="IfNeeded")
    await api.configure("mutating", "m", hook)
    made = await api.ok("POST", PODS, pod("web"))
    assert len(made["spec"]["tolerations"]) == 2
    assert ["tolerations" in one["object"]["spec"] for one in remote.asked["a"]] == [True, True]


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (
            {"allowed": False, "status": {"message": "no", "code": 403, "reason": "Forbidden"}},
            403,
            'admission webhook "a.example.com" denied the request: no',
        ),
        ({"allowed": False}, 400, 'admission webhook "a.example.com" denied the request without explanation'),
        (
            {"allowed": False, "status": {"reason": "Gone", "code": 200}},
            400,
            'admission webhook "a.example.com" denied the request: Gone',
        ),
        (
            {"patch": "e30="},
            500,
            'Internal error occurred: failed calling webhook "a.example.com": received invalid webhook response: '
            "webhook returned response.patch but not response.patchType",
        ),
        (
            {"patchType": "JSONPatch"},
            500,
            'Internal error occurred: failed calling webhook "a.example.com": received invalid webhook response: '
            "webhook returned response.patchType but not response.patch",
        ),
        (
            {"patchType": "Other", "patch": "W3sib3AiOiJ0ZXN0In1d"},
            500,
            'Internal error occurred: failed calling webhook "a.example.com": unsupported patch type "Other"',
        ),
        (
            patch({"op": "remove", "path": "/none"}),
            500,
            "Internal error occurred: unable to get nonexistent key: none: missing value",
        ),
        (
            patch({"op": "add", "path": "/data", "value": "text"}),
            500,
            "Internal error occurred: json: cannot unmarshal",
        ),
    ],
)
async def test_refusals_and_nonsense(
    api: Admitting, remote: Hooks, answer: dict[str, Any], code: int, message: str
) -> None:
    remote.answers["a"] = lambda request: answer
    await api.configure("mutating", "m", webhook(remote.config("a")))
    status, found = await api.call("POST", MAPS, config_map("web"))
    assert (status, found["code"]) == (code, code)
    assert found["message"].startswith(message)
    assert (await api.call("GET", f"{MAPS}/web"))[0] == 404


async def test_an_answer_to_another_question_is_none(api: Admitting, remote: Hooks) -> None:
    remote.answers["a"] = lambda request: {"uid": "other"}
    await api.configure("mutating", "m", webhook(remote.config("a")))
    status, found = await api.call("POST", MAPS, config_map("web"))
    assert status == 500
    assert ': received invalid webhook response: expected response.uid="' in found["message"]
    assert found["message"].endswith(', got "other"')


async def test_a_deletion_has_nothing_to_patch(api: Admitting, remote: Hooks) -> None:
    await api.ok("POST", MAPS, config_map("web"))
    remote.answers["a"] = lambda request: patch(label("a", "b"))
    await api.configure("mutating", "m", webhook(remote.config("a")))
    status, found = await api.call("DELETE", f"{MAPS}/web")
    assert (status, found["message"]) == (
        500,
        'Internal error occurred: admission webhook "a.example.com" attempted to modify the object, which is not '
        "supported for this operation",
    )


async def test_configurations_are_never_shown(api: Admitting, remote: Hooks) -> None:
    everything = [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]
    remote.answers["a"] = lambda request: {"allowed": False}
    await api.configure("mutating", "m", webhook(remote.config("a"), rules=everything))
    assert (await api.call("POST", MAPS, config_map("web")))[0] == 400
    asked = len(remote.asked["a"])
    await api.ok("DELETE", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/m")
    assert len(remote.asked["a"]) == asked
    await api.ok("POST", MAPS, config_map("web"))


async def test_a_scale_is_shown_and_patched_as_a_scale(api: Admitting, remote: Hooks) -> None:
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    await api.ok("POST", deployments, {"metadata": {"name": "web"}, "spec": spec})
    rule = {"operations": ["*"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments/scale"]}
    remote.answers["a"] = lambda request: patch({"op": "replace", "path": "/spec/replicas", "value": 3})
    await api.configure("mutating", "m", webhook(remote.config("a"), rules=[rule]))
    body = {"metadata": {"name": "web"}, "spec": {"replicas": 2}}
    scaled = await api.ok("PUT", f"{deployments}/web/scale", body)
    assert scaled["spec"]["replicas"] == 3
    (asked,) = remote.asked["a"]
    assert asked["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert (asked["subResource"], asked["object"]["kind"]) == ("scale", "Scale")
    assert (asked["object"]["spec"]["replicas"], asked["oldObject"]["spec"]["replicas"]) == (2, 1)


async def test_what_is_stored_is_of_its_own_kind_whatever_a_webhook_says(api: Admitting, remote: Hooks) -> None:
    operations = [{"op": "replace", "path": f"/{name}", "value": "Other"} for name in ("kind", "apiVersion")]
    remote.answers["a"] = lambda request: patch(*operations)
    await api.configure("mutating", "m", webhook(remote.config("a")))
    made = await api.ok("POST", MAPS, config_map("web", {"a": "1"}))
    assert (made["kind"], made["apiVersion"], made["data"]) == ("ConfigMap", "v1", {"a": "1"})
    assert await api.ok("GET", f"{MAPS}/web") == made


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_webhook_does_not_move_an_object_to_another_namespace(
    api: Admitting, remote: Hooks, method: str
) -> None:
    made = await api.ok("POST", MAPS, config_map("there")) if method == "PUT" else config_map("web")
    remote.answers["a"] = lambda request: patch({"op": "add", "path": "/metadata/namespace", "value": "kube-system"})
    await api.configure("mutating", "m", webhook(remote.config("a")))
    made["data"] = {"a": "1"}
    path = f"{MAPS}/there" if method == "PUT" else MAPS
    status, found = await api.call(method, path, made)
    assert status in (400, 422), found
    listed = await api.ok("GET", "/api/v1/namespaces/kube-system/configmaps")
    assert not {"web", "there"} & {item["metadata"]["name"] for item in listed["items"]}
