"""Webhooks that say who somebody is, and what he may do."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.auth.remotes import Remote, ShiftedClock, remote, secured, whoami
from tests.apiserver.server import Api
from tiphys.apiserver.authentication.configuration import ConfigurationProblem
from tiphys.apiserver.config import SecurityConfig
from tiphys.apiserver.remote import TargetError, target_of

ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class Hook:
    """What the webhook answers next."""

    def __init__(self) -> None:
        self.status: Any = {}
        self.code = 200
        self.server: Remote

    async def answer(self, path: str, asked: Any) -> tuple[int, Any]:
        kind = asked.get("kind", "") if isinstance(asked, dict) else ""
        return self.code, {"apiVersion": asked["apiVersion"], "kind": kind, "status": self.status}


@pytest.fixture
async def hook(tmp_path: Path) -> AsyncIterator[Hook]:
    made = Hook()
    async with remote(tmp_path, made.answer) as server:
        made.server = server
        yield made


def tokens(hook: Hook, directory: Path, **more: Any) -> SecurityConfig:
    return SecurityConfig(token_webhook_file=hook.server.kubeconfig(directory / "hook.yaml", **more))


async def test_a_webhook_names_users_and_its_answers_are_kept(hook: Hook, tmp_path: Path) -> None:
    clock = ShiftedClock()
    pair = hook.server.files.admin
    config = tokens(hook, tmp_path, **{"client-certificate": str(pair.cert), "client-key": str(pair.key)})
    async with secured(config, clock) as api:
        user = {"username": "jane", "uid": "7", "groups": ["dev"], "extra": {"a": ["b"]}}
        hook.status = {"authenticated": True, "user": user}
        wanted = {**user, "groups": ["dev", "system:authenticated"]}
        found = await asyncio.gather(*(whoami(api, authorization="Bearer t") for _ in range(5)))
        assert found == [wanted] * 5
        # Asked once for all, as the client that the file says.
        assert hook.server.asked == [
            {
                "kind": "TokenReview",
                "apiVersion": "authentication.k8s.io/v1beta1",
                "spec": {"token": "t", "audiences": ["https://kubernetes.default.svc.cluster.local"]},
            }
        ]
        assert hook.server.clients == ["kubernetes-admin"]
        clock.advance(119)
        assert await whoami(api, authorization="Bearer t") == wanted
        clock.advance(2)
        hook.status = {"authenticated": False}
        assert await whoami(api, authorization="Bearer t") == 401
        # A no is not kept.
        hook.status = {"authenticated": True, "user": user}
        assert await whoami(api, authorization="Bearer t") == wanted


async def test_audiences_of_a_webhook(hook: Hook, tmp_path: Path) -> None:
    async with secured(replace(tokens(hook, tmp_path), token_webhook_cache_seconds=0)) as api:
        hook.status = {"authenticated": True, "user": {"username": "jane"}, "audiences": ["other"]}
        assert await whoami(api, authorization="Bearer t") == 401
        hook.status = {"authenticated": True, "user": {"username": ""}}
        assert await whoami(api, authorization="Bearer t") == 401


@pytest.mark.parametrize("code", [400, 403, 503])
async def test_a_webhook_that_fails_lets_nobody_in(hook: Hook, tmp_path: Path, code: int) -> None:
    async with secured(tokens(hook, tmp_path)) as api:
        hook.code, hook.status = code, {"authenticated": True, "user": {"username": "jane"}}
        assert await whoami(api, authorization="Bearer t") == 401


async def test_a_webhook_of_another_authority_is_not_believed(hook: Hook, tmp_path: Path) -> None:
    stranger = Hook()
    (tmp_path / "more").mkdir()
    async with remote(tmp_path / "more", stranger.answer) as server:
        stranger.status = {"authenticated": True, "user": {"username": "jane"}}
        server.ca = hook.server.ca
        stranger.server = server
        async with secured(tokens(stranger, tmp_path)) as api:
            assert await whoami(api, authorization="Bearer t") == 401
        assert not server.asked


@asynccontextmanager
async def deciding(hook: Hook, directory: Path, clock: ShiftedClock, **more: Any) -> AsyncIterator[Api]:
    users = directory / "users.csv"
    users.write_text("jane,jane,1,dev\nadmin,admin,2,system:masters\n")
    config = SecurityConfig(
        token_file=str(users),
        authorization_modes=("Webhook",),
        authorization_webhook_file=hook.server.kubeconfig(directory / "hook.yaml", token="own"),
    )
    async with secured(replace(config, **more), clock) as api:
        yield api


async def pods(api: Api, **query: str) -> tuple[int, Any]:
    path = "/api/v1/namespaces/default/pods"
    return await api.call("GET", path, query=dict(query), authorization="Bearer jane")


async def test_a_webhook_decides(hook: Hook, tmp_path: Path) -> None:
    clock = ShiftedClock()
    async with deciding(hook, tmp_path, clock) as api:
        hook.status = {"allowed": True}
        selected = {"fieldSelector": "spec.nodeName=n1,metadata.name!=x", "labelSelector": "app in (b,a),!c"}
        assert (await pods(api, **selected))[0] == 200
        assert hook.server.asked == [
            {
                "kind": "SubjectAccessReview",
                "apiVersion": "authorization.k8s.io/v1beta1",
                "spec": {
                    "user": "jane",
                    "uid": "1",
                    "group": ["dev", "system:authenticated"],
                    "resourceAttributes": {
                        "namespace": "default",
                        "verb": "list",
                        "version": "v1",
                        "resource": "pods",
                        "fieldSelector": {
                            "requirements": [
                                {"key": "metadata.name", "operator": "NotIn", "values": ["x"]},
                                {"key": "spec.nodeName", "operator": "In", "values": ["n1"]},
                            ]
                        },
                        "labelSelector": {
                            "requirements": [
                                {"key": "app", "operator": "In", "values": ["a", "b"]},
                                {"key": "c", "operator": "DoesNotExist"},
                            ]
                        },
                    },
                },
            }
        ]
        hook.status = {"allowed": False, "reason": "not today"}
        assert (await pods(api, **selected))[0] == 200
        clock.advance(301)
        status, found = await pods(api, **selected)
        assert (status, found["message"]) == (
            403,
            'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default": '
            "not today",
        )
        hook.status = {"allowed": True}
        assert (await pods(api, **selected))[0] == 403
        clock.advance(31)
        assert (await pods(api, **selected))[0] == 200
        # Masters are not asked about.
        count = len(hook.server.asked)
        assert (await api.call("GET", "/api/v1/pods", authorization="Bearer admin"))[0] == 200
        assert len(hook.server.asked) == count


async def test_a_no_ends_the_chain_and_no_opinion_does_not(hook: Hook, tmp_path: Path) -> None:
    modes = ("Webhook", "AlwaysAllow")
    async with deciding(hook, tmp_path, ShiftedClock(), authorization_modes=modes) as api:
        hook.status = {"allowed": False}
        assert (await pods(api))[0] == 200
    async with deciding(hook, tmp_path, ShiftedClock(), authorization_modes=modes) as api:
        hook.status = {"allowed": False, "denied": True, "reason": "never"}
        status, found = await pods(api)
        assert (status, found["message"].endswith(": never")) == (403, True)
        asked = {"namespace": "default", "verb": "list", "resource": "pods"}
        review = {"spec": {"user": "jane", "resourceAttributes": asked}}
        found = await api.ok("POST", ACCESS, review, authorization="Bearer admin")
        assert found["status"] == {"allowed": False, "denied": True, "reason": "never"}


async def test_a_webhook_that_cannot_be_asked(hook: Hook, tmp_path: Path) -> None:
    hook.code = 403
    async with deciding(hook, tmp_path, ShiftedClock()) as api:
        status, found = await pods(api)
        assert (status, found["reason"]) == (500, "InternalError")
        asked = {"namespace": "default", "verb": "list", "resource": "pods"}
        review = {"spec": {"user": "jane", "resourceAttributes": asked}}
        found = await api.ok("POST", ACCESS, review, authorization="Bearer admin")
        assert found["status"]["allowed"] is False
        assert "the server answered 403" in found["status"]["evaluationError"]
        rules = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        found = await api.ok("POST", rules, {"spec": {"namespace": "default"}}, authorization="Bearer admin")
        assert found["status"]["incomplete"] is True
    modes = ("Webhook", "AlwaysAllow")
    async with deciding(hook, tmp_path, ShiftedClock(), authorization_modes=modes) as api:
        assert (await pods(api))[0] == 200


def by_file(hook: Hook, directory: Path, *more: Any, **webhook: Any) -> str:
    spec = {
        "timeout": "3s",
        "subjectAccessReviewVersion": "v1",
        "matchConditionSubjectAccessReviewVersion": "v1",
        "failurePolicy": "NoOpinion",
        "connectionInfo": {
            "type": "KubeConfigFile",
            "kubeConfigFile": hook.server.kubeconfig(directory / "hook.yaml"),
        },
    }
    authorizers = [{"type": "Webhook", "name": "first", "webhook": spec | webhook}, *more]
    kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration"}
    path = directory / "authorization.json"
    path.write_text(json.dumps({**kind, "authorizers": authorizers}))
    return str(path)


ALLOW = {"type": "AlwaysAllow", "name": "rest"}


def structured(path: str) -> dict[str, Any]:
    return {
        "authorization_config": path,
        "authorization_modes": SecurityConfig().authorization_modes,
        "authorization_webhook_file": "",
    }


@pytest.mark.parametrize(("policy", "code"), [("NoOpinion", 200), ("Deny", 403)])
async def test_failure_policy(hook: Hook, tmp_path: Path, policy: str, code: int) -> None:
    hook.code = 403
    path = by_file(hook, tmp_path, ALLOW, failurePolicy=policy)
    async with deciding(hook, tmp_path, ShiftedClock(), **structured(path)) as api:
        # As Kubernetes: a failure that denies is told as a failure.
        assert (await pods(api))[0] == (500 if code == 403 else 200)
        assert hook.server.asked[0]["apiVersion"] == "authorization.k8s.io/v1"
        assert hook.server.asked[0]["spec"]["groups"] == ["dev", "system:authenticated"]


async def test_match_conditions(hook: Hook, tmp_path: Path) -> None:
    conditions = [{"expression": "has(request.resourceAttributes)"}, {"expression": "request.user == 'jane'"}]
    path = by_file(hook, tmp_path, ALLOW, matchConditions=conditions)
    async with deciding(hook, tmp_path, ShiftedClock(), **structured(path)) as api:
        hook.status = {"allowed": False, "denied": True}
        assert (await pods(api))[0] == 403
        assert (await api.call("GET", "/version", authorization="Bearer jane"))[0] == 200
        assert len(hook.server.asked) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"failurePolicy": ""}, "authorizers[0].webhook.failurePolicy: Required value"),
        ({"timeout": "-1s"}, "must be greater than zero"),
        ({"subjectAccessReviewVersion": "v2"}, 'Unsupported value: "v2"'),
        ({"surprise": 1}, "unknown field `surprise`"),
        ({"matchConditions": [{"expression": ""}]}, "matchConditions[0].expression: Required value"),
    ],
)
async def test_files_are_checked(hook: Hook, tmp_path: Path, change: Any, message: str) -> None:
    path = by_file(hook, tmp_path, **change)
    with pytest.raises(ConfigurationProblem) as caught:
        async with deciding(hook, tmp_path, ShiftedClock(), **structured(path)):
            pass
    assert message in str(caught.value)


def test_files_that_say_no_server(tmp_path: Path) -> None:
    path = tmp_path / "hook.yaml"
    for text in ("[]", "{}", "clusters: [{name: c, cluster: {}}]", "a: : b"):
        path.write_text(text)
        with pytest.raises(TargetError, match=r"hook\.yaml"):
            target_of(path)
