"""Who asks and what they may do: certificates, tokens, impersonation, RBAC, the Node authorizer."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.apiserver.secure import Secure, secured
from tiphys.apiserver.authentication import StaticTokens, bearer_token
from tiphys.apiserver.rbac import Rbac
from tiphys.apiserver.seams import Attributes
from tiphys.machinery import errors
from tiphys.wire.exchange import UserInfo

RBAC = "/apis/rbac.authorization.k8s.io/v1"
PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[Secure]:
    async with secured(tmp_path) as running:
        yield running


def as_user(name: str, *groups: str) -> dict[str, str]:
    return {"Impersonate-User": name} | ({"Impersonate-Group": groups[0]} if groups else {})


def rule(verbs: str, resources: str, *, group: str = "", names: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}
    return found | ({"resourceNames": names.split()} if names else {})


async def grant(secure: Secure, user: str, *rules: dict[str, Any], name: str = "r") -> None:
    """A Role in default, bound to a user."""
    base = f"{RBAC}/namespaces/default"
    await secure.ok("POST", f"{base}/roles", {"metadata": {"name": name}, "rules": list(rules)})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": subjects}
    await secure.ok("POST", f"{base}/rolebindings", binding)


async def token_of(secure: Secure, name: str, **spec: Any) -> str:
    path = f"/api/v1/namespaces/default/serviceaccounts/{name}/token"
    found = await secure.ok("POST", path, {"spec": spec})
    return str(found["status"]["token"])


async def whoami(secure: Secure, token: str) -> tuple[int, Any]:
    return await secure.call(
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        {},
        headers={"Authorization": f"Bearer {token}"},
        anonymous=True,
    )


async def test_without_credentials_one_is_anonymous(secure: Secure) -> None:
    status, found = await secure.call("GET", PODS, anonymous=True)
    assert (status, found["reason"]) == (403, "Forbidden")
    assert found["message"] == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" '
        'in the namespace "default"'
    )
    status, found = await secure.call("GET", "/version", anonymous=True)
    assert (status, found["minor"]) == (200, "36")
    status, found = await secure.call("GET", "/metrics", anonymous=True)
    assert status == 403
    assert found["message"] == 'forbidden: User "system:anonymous" cannot get path "/metrics"'


@pytest.mark.parametrize("token", ["x", "a.b.c", "é", "x" * 100_000, base64.b64encode(b"{}.{}.").decode()])
async def test_wrong_tokens_are_refused(secure: Secure, token: str) -> None:
    headers = {"Authorization": f"Bearer {token[:60_000]}"}
    status, found = await secure.call("GET", PODS, headers=headers, anonymous=True)
    assert (status, found["message"]) == (401, "Unauthorized")


async def test_tokens_live_and_die_with_their_account(secure: Secure) -> None:
    account = await secure.add_account("bob")
    token = await token_of(secure, "bob")
    status, found = await whoami(secure, token)
    assert status == 201
    user = found["status"]["userInfo"]
    assert user["username"] == "system:serviceaccount:default:bob"
    assert user["uid"] == account["metadata"]["uid"]
    assert user["groups"] == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    await secure.ok("DELETE", "/api/v1/namespaces/default/serviceaccounts/bob")
    assert (await whoami(secure, token))[0] == 401
    await secure.add_account("bob")
    assert (await whoami(secure, token))[0] == 401


async def test_tokens_are_bound_to_pods(secure: Secure) -> None:
    await secure.add_node("n1")
    pod = await secure.add_pod("web", node="n1")
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": pod["metadata"]["uid"]}
    token = await token_of(secure, "default", boundObjectRef=reference, expirationSeconds=3607)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["kubernetes.io"]["pod"] == {"name": "web", "uid": pod["metadata"]["uid"]}
    assert claims["kubernetes.io"]["node"]["name"] == "n1"
    # What projected volumes ask for lives a year and says when it should have been renewed.
    assert claims["exp"] - claims["iat"] == 365 * 24 * 3600
    assert claims["kubernetes.io"]["warnafter"] == claims["iat"] + 3607
    status, found = await whoami(secure, token)
    assert status == 201
    assert found["status"]["userInfo"]["extra"]["authentication.kubernetes.io/pod-name"] == ["web"]
    await secure.ok("DELETE", f"{PODS}/web", {"gracePeriodSeconds": 0})
    assert (await whoami(secure, token))[0] == 401


async def test_tokens_for_others_do_not_open_the_api(secure: Secure) -> None:
    await secure.add_account("bob")
    token = await token_of(secure, "bob", audiences=["vault"])
    assert (await whoami(secure, token))[0] == 401
    review = {"spec": {"token": token, "audiences": ["vault", "other"]}}
    found = await secure.ok("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert found["status"]["authenticated"] is True
    assert found["status"]["audiences"] == ["vault"]
    found = await secure.ok("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})
    assert "authenticated" not in found["status"]
    assert "audiences" in found["status"]["error"]


async def test_a_changed_token_is_refused(secure: Secure) -> None:
    await secure.add_account("bob")
    head, body, signature = (await token_of(secure, "bob")).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    claims["sub"] = "system:serviceaccount:kube-system:admin"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    assert (await whoami(secure, f"{head}.{forged}.{signature}"))[0] == 401
    unsigned = jwt.encode(claims, "", algorithm="none")
    assert (await whoami(secure, unsigned))[0] == 401


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        (
            {"expirationSeconds": 599},
            422,
            'TokenRequest.authentication.k8s.io "bob" is invalid: spec.expirationSeconds: Invalid value: 599: '
            "may not specify a duration less than 10 minutes",
        ),
        ({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "no"}}, 404, 'pods "no" not found'),
        (
            {"boundObjectRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "no"}},
            400,
            "cannot bind token to object of type apps/v1, Kind=Deployment",
        ),
    ],
)
async def test_token_requests_are_checked(secure: Secure, spec: dict[str, Any], code: int, message: str) -> None:
    await secure.add_account("bob")
    path = "/api/v1/namespaces/default/serviceaccounts/bob/token"
    status, found = await secure.call("POST", path, {"spec": spec})
    assert (status, found["message"]) == (code, message)


async def test_keys_are_published(secure: Secure) -> None:
    await secure.add_account("bob")
    token = await token_of(secure, "bob")
    found = await secure.ok("GET", "/openid/v1/jwks")
    key = jwt.PyJWK(found["keys"][0])
    assert jwt.get_unverified_header(token)["kid"] == found["keys"][0]["kid"]
    assert jwt.decode(token, key, algorithms=["RS256"], audience="https://kubernetes.default.svc.cluster.local")
    configuration = await secure.ok("GET", "/.well-known/openid-configuration")
    assert configuration["issuer"] == "https://kubernetes.default.svc.cluster.local"


async def test_roles_decide(secure: Secure) -> None:
    jane = as_user("jane")
    assert (await secure.call("GET", PODS, headers=jane))[0] == 403
    await grant(secure, "jane", rule("get list", "pods"), rule("get", "secrets", names="mine"))
    assert (await secure.call("GET", PODS, headers=jane))[0] == 200
    assert (await secure.call("GET", "/api/v1/pods", headers=jane))[0] == 403
    secrets = "/api/v1/namespaces/default/secrets"
    assert (await secure.call("GET", f"{secrets}/mine", headers=jane))[0] == 404
    assert (await secure.call("GET", f"{secrets}/other", headers=jane))[0] == 403
    assert (await secure.call("GET", secrets, headers=jane))[0] == 403
    await secure.ok("DELETE", f"{RBAC}/namespaces/default/rolebindings/r")
    assert (await secure.call("GET", PODS, headers=jane))[0] == 403


async def test_long_questions_are_not_remembered(secure: Secure) -> None:
    rbac = Rbac(secure.server.objects)
    user = UserInfo("jane")
    for number in range(3):
        asked = Attributes("get", f"/{number}" * 1000, user)
        assert not (await rbac.authorize(user, asked)).allowed
    assert not rbac._decisions
    assert (await rbac.authorize(user, Attributes("get", "/version", user))).allowed
    assert len(rbac._decisions) == 1


async def test_a_binding_without_its_role_says_so(secure: Secure) -> None:
    await grant(secure, "jane", rule("get", "pods"))
    await secure.ok("DELETE", f"{RBAC}/namespaces/default/roles/r")
    _, found = await secure.call("GET", f"{PODS}/x", headers=as_user("jane"))
    assert found["message"].endswith(': RBAC: role.rbac.authorization.k8s.io "r" not found')


async def test_aggregated_roles_follow_their_labels(secure: Secure) -> None:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    subjects = [{"kind": "ServiceAccount", "name": "s", "namespace": "default"}]
    binding = {"metadata": {"name": "v"}, "roleRef": reference, "subjects": subjects}
    await secure.ok("POST", f"{RBAC}/clusterrolebindings", binding)
    who = as_user("system:serviceaccount:default:s")
    assert (await secure.call("GET", "/apis/apps/v1/deployments", headers=who))[0] == 200
    assert (await secure.call("GET", "/api/v1/secrets", headers=who))[0] == 403
    added = {
        "metadata": {"name": "more", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [rule("list", "secrets")],
    }
    changed = asyncio.Event()
    secure.server.objects.subscribe("rbac.authorization.k8s.io", "clusterroles", lambda new, old: changed.set())
    await secure.ok("POST", f"{RBAC}/clusterroles", added)
    assert (await secure.call("GET", "/api/v1/secrets", headers=who))[0] == 200
    async with asyncio.timeout(5):
        # Also written down for people to read, in the role itself and in those that include it.
        for name in ("view", "edit", "admin"):
            while True:
                changed.clear()
                if rule("list", "secrets") in (await secure.ok("GET", f"{RBAC}/clusterroles/{name}"))["rules"]:
                    break
                await changed.wait()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/namespaces/default/namespaces/kube-system"),
        ("GET", "/api/v1/namespaces/default/namespaces/kube-system/status"),
        ("GET", "/api/v1/namespaces/default/nodes"),
        ("GET", "/api/v1/namespaces/default/nodes/default"),
        ("GET", "/api/v1/namespaces/default/nodes/default/proxy/"),
        ("DELETE", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/clusterroles/view"),
        ("DELETE", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/clusterroles"),
        ("POST", "/apis/authorization.k8s.io/v1/namespaces/default/subjectaccessreviews"),
        ("POST", "/apis/authentication.k8s.io/v1/namespaces/default/tokenreviews"),
    ],
)
async def test_a_role_in_a_namespace_does_not_reach_what_is_in_none(secure: Secure, method: str, path: str) -> None:
    await secure.add_node("default")
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    await grant(secure, "jane", everything)
    assert (await secure.call("GET", "/api/v1/namespaces/default", headers=as_user("jane")))[0] == 200
    status, found = await secure.call(method, path, {}, headers=as_user("jane"))
    assert (status, found["message"]) == (404, "the server could not find the requested resource")
    await secure.ok("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/view")


async def test_nobody_grants_what_they_do_not_have(secure: Secure) -> None:
    group = "rbac.authorization.k8s.io"
    await grant(secure, "jane", rule("*", "roles rolebindings", group=group), rule("get", "pods"))
    jane = as_user("jane")
    base = f"{RBAC}/namespaces/default"
    held = {"metadata": {"name": "held"}, "rules": [rule("get", "pods")]}
    await secure.ok("POST", f"{base}/roles", held, headers=jane)
    more = {"metadata": {"name": "more"}, "rules": [rule("get delete", "pods"), rule("get", "pods/log")]}
    # A "*" over verbs holds "escalate" and "bind", too; only what is listed must not.
    await secure.ok("DELETE", f"{base}/rolebindings/r")
    await grant(
        secure, "jane", rule("get create update", "roles rolebindings", group=group), rule("get", "pods"), name="s"
    )
    status, found = await secure.call("POST", f"{base}/roles", more, headers=jane)
    assert status == 403
    assert found["message"] == (
        'roles.rbac.authorization.k8s.io "more" is forbidden: user "jane" (groups=["system:authenticated"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}\n'
        '{APIGroups:[""], Resources:["pods/log"], Verbs:["get"]}'
    )
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": "admin"}
    binding = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [{"kind": "User", "name": "jane"}]}
    status, _ = await secure.call("POST", f"{base}/rolebindings", binding, headers=jane)
    assert status == 403


async def test_impersonation_is_asked_for(secure: Secure) -> None:
    await secure.add_account("bob")
    token = await token_of(secure, "bob")
    headers = {"Authorization": f"Bearer {token}", "Impersonate-User": "kubernetes-admin"}
    status, found = await secure.call("GET", PODS, headers=headers, anonymous=True)
    assert status == 403
    assert found["message"] == (
        'pods is forbidden: User "system:serviceaccount:default:bob" cannot impersonate-on:user-info:list '
        'resource "pods" in API group "" in the namespace "default"'
    )
    status, found = await secure.call("GET", PODS, headers={"Impersonate-Group": "system:masters"})
    assert (status, found["message"]) == (
        400,
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"system:masters"}, '
        "Extra:map[string][]string(nil)} without impersonating a user name",
    )


async def test_nodes_see_what_their_pods_need(secure: Secure) -> None:
    for name in ("n1", "n2"):
        await secure.add_node(name)
    for name in ("used", "other"):
        await secure.ok("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": name}})
    volume = {"name": "v", "secret": {"secretName": "used"}}
    await secure.add_pod("web", node="n1", volumes=[volume])
    await secure.add_pod("far", node="n2")
    kubelet = secure.files.kubelet
    secrets = "/api/v1/namespaces/default/secrets"

    async def code(method: str, path: str, body: Any = None, **more: Any) -> int:
        return (await secure.call(method, path, body, pair=kubelet, **more))[0]

    assert await code("GET", f"{secrets}/used") == 200
    assert await code("GET", f"{secrets}/other") == 403
    assert await code("GET", f"{PODS}/web") == 200
    assert await code("GET", f"{PODS}/far") == 403
    assert await code("GET", "/api/v1/pods") == 403
    assert await code("GET", "/api/v1/pods", query={"fieldSelector": "spec.nodeName=n1"}) == 200
    assert await code("GET", "/api/v1/nodes/n1") == 200
    assert await code("GET", "/api/v1/nodes/n2") == 403
    assert await code("GET", "/api/v1/services") == 200
    lease = {"metadata": {"name": "n1"}}
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    assert await code("POST", leases, lease) == 201
    assert await code("POST", leases, {"metadata": {"name": "n2"}}) == 403
    status = {"status": {"phase": "Running"}}
    merge = {"Content-Type": "application/merge-patch+json"}
    assert await code("PATCH", f"{PODS}/web/status", status, headers=merge) == 200
    assert await code("PATCH", f"{PODS}/far/status", status, headers=merge) == 403
    await secure.ok("DELETE", f"{PODS}/web", {"gracePeriodSeconds": 0})
    assert await code("GET", f"{secrets}/used") == 403


async def test_tokens_of_nodes_are_for_their_pods(secure: Secure) -> None:
    for name in ("n1", "n2"):
        await secure.add_node(name)
    pods = {name: await secure.add_pod(name, node=node) for name, node in (("web", "n1"), ("far", "n2"))}
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    for name, code in (("web", 201), ("far", 403)):
        reference = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pods[name]["metadata"]["uid"]}
        body = {"spec": {"boundObjectRef": reference}}
        assert (await secure.call("POST", path, body, pair=secure.files.kubelet))[0] == code
    assert (await secure.call("POST", path, {"spec": {}}, pair=secure.files.kubelet))[0] == 403


async def test_reviews_answer(secure: Secure) -> None:
    await grant(secure, "jane", rule("get", "pods"))
    base = "/apis/authorization.k8s.io/v1"
    asked = {"namespace": "default", "verb": "get", "resource": "pods"}
    body = {"spec": {"user": "jane", "resourceAttributes": asked}}
    assert (await secure.ok("POST", f"{base}/subjectaccessreviews", body))["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by RoleBinding "r/default" of Role "r" to User "jane"',
    }
    body["spec"]["resourceAttributes"] = {**asked, "verb": "delete"}
    assert (await secure.ok("POST", f"{base}/subjectaccessreviews", body))["status"] == {"allowed": False}
    local = f"{base}/namespaces/kube-system/localsubjectaccessreviews"
    assert (await secure.call("POST", local, body))[0] == 400
    found = await secure.ok(
        "POST", f"{base}/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}, headers=as_user("jane")
    )
    assert {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]} in found["status"]["resourceRules"]
    status, found = await secure.call("POST", f"{base}/selfsubjectaccessreviews", {"spec": {}})
    assert (status, found["reason"]) == (422, "Invalid")


def test_static_tokens_and_bearers() -> None:
    users = StaticTokens('secret,jane,7,"a,b"\nplain,joe,8\n')
    jane = users.find("secret")
    assert jane is not None
    assert (jane.name, jane.uid, jane.groups) == ("jane", "7", ("a", "b", "system:authenticated"))
    assert users.find("nothing") is None
    assert bearer_token({"authorization": "bearer  t "}) == "t"
    assert bearer_token({"authorization": "Basic t"}) == ""
    encoded = base64.urlsafe_b64encode(b"t.o.k").rstrip(b"=").decode()
    protocols = f"v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{encoded}"
    assert bearer_token({"sec-websocket-protocol": protocols}) == "t.o.k"
    with pytest.raises(errors.Unauthorized):
        bearer_token({"sec-websocket-protocol": "base64url.bearer.authorization.k8s.io.\xff"})


async def test_who_may_delete_may_not_yet_do_so_unread(secure: Secure) -> None:
    maps = "/api/v1/namespaces/default/configmaps"
    await secure.ok("POST", maps, {"metadata": {"name": "a"}})
    await grant(secure, "jane", rule("delete", "configmaps"))
    unsafe = {"ignoreStoreReadErrorWithClusterBreakingPotential": True}
    status, found = await secure.call("DELETE", f"{maps}/a", unsafe, headers=as_user("jane"))
    assert status == 403
    assert 'cannot unsafe-delete-ignore-read-errors resource "configmaps"' in found["message"]
    assert (await secure.call("DELETE", f"{maps}/a", unsafe))[0] == 422


async def test_nodes_offer_their_own_devices_and_write_little_of_claims(secure: Secure) -> None:
    node = as_user("system:node:n1", "system:nodes")
    await secure.add_node("n1")
    slices = "/apis/resource.k8s.io/v1/resourceslices"
    body = {"metadata": {"generateName": "s-"}, "spec": {"driver": "d.example.com", "pool": {"name": "p"}}}
    body["spec"]["pool"] |= {"resourceSliceCount": 1}
    for name, code in (("n2", 403), ("n1", 201)):
        body["spec"]["nodeName"] = name
        status, found = await secure.call("POST", slices, body, headers=node)
        assert status == code, found
        if code == 403:
            assert "can only create ResourceSlice with the same NodeName as the requesting node" in found["message"]

    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
    await secure.ok("POST", claims, {"metadata": {"name": "c"}, "spec": spec})
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}
    await secure.add_pod("a", "n1", volumes=[volume])
    merge = {**node, "Content-Type": "application/merge-patch+json"}
    allowed = {"status": {"capacity": {"storage": "2Gi"}}}
    assert (await secure.call("PATCH", f"{claims}/c/status", allowed, headers=merge))[0] == 200
    status, found = await secure.call("PATCH", f"{claims}/c/status", {"status": {"phase": "Bound"}}, headers=merge)
    assert status == 403
    assert "is not allowed to update fields other than" in found["message"]
    chosen = {"status": {"resourceClaimStatuses": [{"name": "x", "resourceClaimName": "other"}]}}
    status, found = await secure.call("PATCH", "/api/v1/namespaces/default/pods/a/status", chosen, headers=merge)
    assert status == 403
    assert 'node "n1" cannot update resource claim statuses' in found["message"]


async def test_a_named_watch_shows_that_name_alone(secure: Secure) -> None:
    secrets = "/api/v1/namespaces/default/secrets"
    for name in ("mine", "other"):
        await secure.ok("POST", secrets, {"metadata": {"name": name}})
    await grant(secure, "jane", rule("watch", "secrets", names="mine"))
    old = "/api/v1/watch/namespaces/default/secrets/mine"
    for selector in ("metadata.name!=x", "metadata.name=other", "type=Opaque"):
        status, found = await secure.call("GET", old, query={"fieldSelector": selector}, headers=as_user("jane"))
        assert (status, found["message"]) == (400, "fieldSelector metadata.name doesn't match requested name")
    for path, query in ((old, {}), (secrets, {"watch": "1", "fieldSelector": "metadata.name=mine"})):
        found = await secure.ok("GET", path, query={**query, "timeoutSeconds": "1"}, headers=as_user("jane"))
        assert found["object"]["metadata"]["name"] == "mine"
