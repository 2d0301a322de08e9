"""Modes, ABAC, what nodes may see, and the reviews."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.auth.remotes import secured
from tests.apiserver.server import Api
from tiphys.apiserver import security
from tiphys.apiserver.authentication.configuration import ConfigurationProblem
from tiphys.apiserver.authorization.abac import Abac, PolicyProblem, policies
from tiphys.apiserver.config import SecurityConfig
from tiphys.apiserver.seams import Attributes
from tiphys.wire.exchange import UserInfo

VERSIONED = {"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy"}
JANE = UserInfo("jane", groups=("dev", "system:authenticated"))
STRANGER = UserInfo("system:anonymous", groups=("system:unauthenticated",))


def users(directory: Path) -> SecurityConfig:
    file = directory / "users.csv"
    file.write_text('jane,jane,1,dev\nadmin,admin,2,system:masters\nn1,"system:node:n1",3,system:nodes\n')
    return SecurityConfig(token_file=str(file))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"authorization_modes": ()}, "at least one authorization-mode must be passed"),
        ({"authorization_modes": ("RBAK",)}, 'authorization-mode "RBAK" is not a valid mode'),
        (
            {"authorization_modes": ("RBAC", "Node", "RBAC")},
            'authorization-mode ["RBAC" "Node" "RBAC"] has mode specified more than once',
        ),
        ({"authorization_modes": ("ABAC",)}, "authorization-mode ABAC's authorization policy file not passed"),
        ({"authorization_modes": ("Webhook",)}, "authorization-mode Webhook's authorization config file not passed"),
        ({"authorization_policy_file": "x"}, "cannot specify --authorization-policy-file without mode ABAC"),
    ],
)
async def test_modes_are_checked(change: Any, message: str) -> None:
    with pytest.raises(ConfigurationProblem) as caught:
        async with secured(replace(SecurityConfig(), **change)):
            pass
    assert message in str(caught.value)


async def test_modes_in_a_chain_tell_their_reasons_together(tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.write_text(json.dumps({**VERSIONED, "spec": {"user": "jane", "namespace": "a", "resource": "pods"}}))
    config = replace(users(tmp_path), authorization_modes=("ABAC", "AlwaysDeny"), authorization_policy_file=str(policy))
    async with secured(config) as api:
        assert (await api.call("GET", "/api/v1/namespaces/a/pods", authorization="Bearer jane"))[0] == 200
        status, found = await api.call("GET", "/api/v1/namespaces/b/pods", authorization="Bearer jane")
        assert (status, found["message"]) == (
            403,
            'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "b": '
            "No policy matched.\nEverything is forbidden.",
        )
        assert (await api.call("GET", "/api/v1/namespaces/b/pods", authorization="Bearer admin"))[0] == 200
    async with secured(replace(users(tmp_path), authorization_modes=("AlwaysAllow",))) as api:
        assert (await api.call("GET", "/api/v1/pods"))[0] == 200


def resource(verb: str = "get", **more: Any) -> Attributes:
    facts = {"group": "", "version": "v1", "resource": "pods", "namespace": "a"} | more
    return Attributes(verb, "", is_resource_request=True, **facts)


@pytest.mark.parametrize(
    ("policy", "user", "asked", "allowed"),
    [
        ({"user": "jane", "resource": "pods", "namespace": "a"}, JANE, resource(), True),
        ({"user": "jane", "resource": "pods", "namespace": "a"}, JANE, resource(group="apps"), False),
        ({"user": "jane", "resource": "pods", "namespace": "*", "apiGroup": "*"}, JANE, resource(group="x"), True),
        ({"user": "jane", "resource": "pods", "namespace": "b"}, JANE, resource(), False),
        ({"user": "jane", "group": "ops", "resource": "*", "namespace": "*"}, JANE, resource(), False),
        ({"group": "dev", "resource": "*", "namespace": "*"}, JANE, resource("delete"), True),
        ({"group": "dev", "resource": "*", "namespace": "*", "readonly": True}, JANE, resource("delete"), False),
        ({"group": "dev", "resource": "*", "namespace": "*", "readonly": True}, JANE, resource("watch"), True),
        ({"user": "*", "resource": "*", "namespace": "*"}, JANE, resource(), True),
        ({"user": "*", "resource": "*", "namespace": "*"}, STRANGER, resource(), False),
        ({"resource": "*", "namespace": "*"}, JANE, resource(), False),
        ({"user": "jane", "nonResourcePath": "/version"}, JANE, Attributes("get", "/version"), True),
        ({"user": "jane", "nonResourcePath": "/api*"}, JANE, Attributes("get", "/apis/apps"), True),
        ({"user": "jane", "nonResourcePath": "/api"}, JANE, Attributes("get", "/apis"), False),
        ({"user": "jane", "resource": "*", "namespace": "*"}, JANE, Attributes("get", "/version"), False),
    ],
)
async def test_policies(tmp_path: Path, policy: Any, user: UserInfo, asked: Attributes, allowed: bool) -> None:
    file = tmp_path / "policy"
    file.write_text("# a comment\n\n" + json.dumps({**VERSIONED, "spec": policy}) + "\n")
    assert (await Abac(policies(str(file))).authorize(user, asked)).allowed is allowed


@pytest.mark.parametrize(
    ("policy", "user", "asked", "allowed"),
    [
        ({}, JANE, resource("delete"), True),
        ({}, JANE, Attributes("get", "/version"), True),
        ({}, STRANGER, resource(), False),
        ({"user": "jane", "readonly": True}, JANE, resource("delete"), False),
        ({"user": "jane", "resource": "pods"}, JANE, resource(group="apps"), True),
        ({"user": "jane", "resource": "pods"}, JANE, Attributes("get", "/version"), False),
    ],
)
async def test_policies_of_the_first_form(
    tmp_path: Path, policy: Any, user: UserInfo, asked: Attributes, allowed: bool
) -> None:
    file = tmp_path / "policy"
    file.write_text(json.dumps(policy))
    assert (await Abac(policies(str(file))).authorize(user, asked)).allowed is allowed


@pytest.mark.parametrize("line", ["{", "[]", '{"apiVersion": "v9", "kind": "Policy"}', '{"user": 1}'])
def test_lines_that_are_no_policies_are_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "policy"
    file.write_text(f"# first\n{line}\n")
    with pytest.raises(PolicyProblem, match="line 2"):
        policies(str(file))


class Node:
    """Requests as node n1."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def may(self, verb: str, resource: str, name: str = "", **more: str) -> tuple[bool, str]:
        group, _, plural = resource.rpartition("/")
        asked = {"verb": verb, "group": group, "resource": plural, "name": name, **more}
        selector = asked.pop("fieldSelector", "")
        if selector:
            asked["fieldSelector"] = {"rawSelector": selector}  # type: ignore[assignment]
        review = {"spec": {"user": "system:node:n1", "groups": ["system:nodes"], "resourceAttributes": asked}}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        status = (await self.api.ok("POST", path, review, authorization="Bearer admin"))["status"]
        return status["allowed"], status.get("reason", "")


NONE = "no relationship found between node 'n1' and this object"


async def test_nodes_see_what_hangs_on_their_pods(tmp_path: Path) -> None:
    async with secured(users(tmp_path)) as api:
        node = Node(api)
        admin = {"authorization": "Bearer admin"}
        base = "/api/v1/namespaces/default"
        await api.ok("POST", f"{base}/serviceaccounts", {"metadata": {"name": "default"}}, **admin)
        for name in ("n1", "n2"):
            await api.ok("POST", "/api/v1/nodes", {"metadata": {"name": name}}, **admin)
        claim = {
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "storageClassName": "",
                "volumeName": "pv",
            },
        }
        await api.ok("POST", f"{base}/persistentvolumeclaims", claim, **admin)
        secret = {"name": "disk", "namespace": "system"}
        volume = {
            "metadata": {"name": "pv"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "1Gi"},
                "claimRef": {"namespace": "default", "name": "data"},
                "csi": {"driver": "d", "volumeHandle": "h", "nodeStageSecretRef": secret},
            },
        }
        await api.ok("POST", "/api/v1/persistentvolumes", volume, **admin)
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
        pod = {
            "metadata": {"name": "web"},
            "spec": {
                "nodeName": "n1",
                "containers": [{"name": "c", "image": "i"}],
                "volumes": volumes,
                "automountServiceAccountToken": False,
            },
        }
        in_default, in_system = {"namespace": "default"}, {"namespace": "system"}
        assert await node.may("get", "persistentvolumes", "pv") == (False, NONE)
        await api.ok("POST", f"{base}/pods", pod, **admin)
        assert await node.may("get", "persistentvolumeclaims", "data", **in_default) == (True, "")
        assert await node.may("get", "persistentvolumes", "pv") == (True, "")
        assert await node.may("get", "secrets", "disk", **in_system) == (True, "")
        assert await node.may("get", "secrets", "other", **in_system) == (False, NONE)
        assert (await node.may("update", "persistentvolumeclaims", "data", subresource="status", **in_default))[0]
        reason = "can only get individual resources of this type"
        assert await node.may("list", "persistentvolumes") == (False, reason)
        for name, holder in (("va", "n1"), ("vb", "n2")):
            spec = {"attacher": "d", "nodeName": holder, "source": {"persistentVolumeName": "pv"}}
            attachment = {"metadata": {"name": name}, "spec": spec}
            await api.ok("POST", "/apis/storage.k8s.io/v1/volumeattachments", attachment, **admin)
        assert await node.may("get", "storage.k8s.io/volumeattachments", "va") == (True, "")
        assert await node.may("get", "storage.k8s.io/volumeattachments", "vb") == (False, NONE)


@pytest.mark.parametrize(
    ("asked", "allowed", "reason"),
    [
        (("get", "nodes", "n2"), False, "node 'n1' cannot read 'n2', only its own Node object"),
        (("list", "nodes"), False, "node 'n1' cannot read all nodes, only its own Node object"),
        (("get", "nodes", "n1"), True, ""),
        (("patch", "nodes", "n2", {"subresource": "status"}), True, ""),
        (("delete", "nodes", "n1"), False, ""),
        (("list", "pods"), False, "can only list/watch pods with spec.nodeName field selector"),
        (("list", "pods", "", {"fieldSelector": "spec.nodeName=n1"}), True, ""),
        (("watch", "pods", "", {"fieldSelector": "spec.nodeName=n2"}), False, "can only list/watch pods with spec"),
        (("get", "secrets", "x"), False, "can only read namespaced object of this type"),
        (("update", "secrets", "x", {"namespace": "a"}), False, "can only read resources of this type"),
        (("create", "serviceaccounts", "x", {"namespace": "a"}), False, "can only create token subresource of serv"),
        (("list", "services"), True, ""),
        (("get", "endpoints", "x", {"namespace": "a"}), True, ""),
        (("list", "endpoints", "", {"namespace": "a"}), False, ""),
        (("list", "coordination.k8s.io/leases", "", {"namespace": "kube-node-lease"}), False, "can only get, create"),
        (("get", "coordination.k8s.io/leases", "n1", {"namespace": "a"}), False, "can only access leases in the"),
        (("get", "storage.k8s.io/csinodes", "n2"), False, "can only access CSINode with the same name as the req"),
        (("create", "resource.k8s.io/resourceslices"), True, ""),
        (("list", "resource.k8s.io/resourceslices", "", {"fieldSelector": "spec.nodeName=n1"}), True, ""),
        (("list", "resource.k8s.io/resourceslices"), False, "can only list/watch/deletecollection resourceslices"),
    ],
)
async def test_nodes_and_what_is_not_theirs(tmp_path: Path, asked: Any, allowed: bool, reason: str) -> None:
    verb, plural, name, more = (*asked, "", {})[:4] if len(asked) < 3 else (*asked, {})[:4]
    async with secured(users(tmp_path)) as api:
        found, why = await Node(api).may(verb, plural, name, **more)
        assert found is allowed
        assert why.startswith(reason) if reason else not why


@pytest.mark.parametrize(
    ("selectors", "problem"),
    [
        ({"fieldSelector": {"requirements": [{"key": "a", "operator": "In", "values": ["b"]}]}}, None),
        ({"fieldSelector": {"rawSelector": "a"}}, "spec.resourceAttributes.fieldSelector ignored due to parse error"),
        (
            {
                "fieldSelector": {
                    "requirements": [
                        {"key": "a", "operator": "In", "values": ["b"]},
                        {"key": "a", "operator": "Exists"},
                    ]
                },
                "labelSelector": {"rawSelector": "a in"},
            },
            "[spec.resourceAttributes.fieldSelector partially ignored due to parse error, "
            "spec.resourceAttributes.labelSelector ignored due to parse error]",
        ),
    ],
)
async def test_reviews_tell_what_they_ignore(tmp_path: Path, selectors: Any, problem: str | None) -> None:
    async with secured(users(tmp_path)) as api:
        spec = {"resourceAttributes": {"verb": "list", "resource": "pods", **selectors}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        found = await api.ok("POST", path, {"spec": spec}, authorization="Bearer admin")
        assert (found["status"]["allowed"], found["status"].get("evaluationError")) == (True, problem)


async def test_reviews_whose_selectors_have_no_form_are_refused(tmp_path: Path) -> None:
    async with secured(users(tmp_path)) as api:
        selector = {"rawSelector": "a=b", "requirements": [{"key": "", "operator": "In"}]}
        spec = {"resourceAttributes": {"verb": "list", "resource": "pods", "fieldSelector": selector}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        status, found = await api.call("POST", path, {"spec": spec}, authorization="Bearer admin")
        assert (status, [one["field"].rpartition(".")[2] for one in found["details"]["causes"]]) == (
            422,
            ["rawSelector", "key", "values"],
        )


async def test_a_changed_file_of_authorizers_is_in_effect_and_a_broken_one_is_not(tmp_path: Path) -> None:
    made: list[security.Security] = []
    real = security.Security.__init__

    def kept(self: security.Security, *args: Any, **more: Any) -> None:
        real(self, *args, **more)
        made.append(self)

    def authorizer(kind: str) -> str:
        head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration"}
        return json.dumps({**head, "authorizers": [{"type": kind, "name": "one"}]})

    path = tmp_path / "authorizers"
    path.write_text(authorizer("AlwaysDeny"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(security.Security, "__init__", kept)
        async with secured(replace(users(tmp_path), authorization_config=str(path))) as api:

            async def code() -> int:
                return (await api.call("GET", "/api/v1/nodes", authorization="Bearer jane"))[0]

            assert await code() == 403
            path.write_text(authorizer("AlwaysAllow"))
            await made[0].watched[0].look()
            assert await code() == 200
            for broken in ("{", authorizer("Nobody"), '{"authorizers": 5}'):
                path.write_text(broken)
                await made[0].watched[0].look()
                assert await code() == 200
            path.write_text(authorizer("AlwaysDeny"))
            await made[0].watched[0].look()
            assert await code() == 403
