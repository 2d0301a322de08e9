"""Tokens of other issuers: by flags, by file; keys that change; tokens that lie."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from tests.apiserver.auth.remotes import IdentityProvider, Remote, ShiftedClock, remote, secured, whoami
from tiphys.apiserver import security
from tiphys.apiserver.authentication.configuration import ConfigurationProblem, configured
from tiphys.apiserver.authentication.keysets import FETCH_SECONDS_MIN
from tiphys.apiserver.config import SecurityConfig

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


class Provider:
    """An issuer that listens, and how to be configured for it."""

    def __init__(self, issuer: IdentityProvider, server: Remote) -> None:
        self.issuer = issuer
        self.server = server
        self.clock = ShiftedClock()
        self.flags = SecurityConfig(oidc_issuer_url=server.url, oidc_client_id="tiphys", oidc_ca_file=str(server.ca))

    def token(self, **claims: Any) -> str:
        return "Bearer " + self.issuer.token(self.clock, **claims)

    def file(self, path: Path, **more: Any) -> SecurityConfig:
        """Configured by a file with these fields of its one issuer."""
        spec = {
            "issuer": {
                "url": self.server.url,
                "audiences": ["tiphys", "other"],
                "audienceMatchPolicy": "MatchAny",
                "certificateAuthority": self.server.ca.read_text(),
            },
            "claimMappings": {"username": {"claim": "sub", "prefix": ""}},
        } | more
        kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
        path.write_text(json.dumps({**kind, "jwt": [spec]}))
        return SecurityConfig(authentication_config=str(path))


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    issuer = IdentityProvider()
    async with remote(tmp_path, issuer.answer) as server:
        issuer.url = server.url
        yield Provider(issuer, server)


async def test_users_and_groups_by_claims(provider: Provider) -> None:
    config = replace(
        provider.flags,
        oidc_groups_claim="roles",
        oidc_groups_prefix="oidc:",
        oidc_required_claims=("hd=acme.com",),
    )
    async with secured(config, provider.clock) as api:
        found = await whoami(api, authorization=provider.token(roles=["dev", "ops"], hd="acme.com", jti="x1"))
        assert found == {
            "username": f"{provider.server.url}#jane",
            "groups": ["oidc:dev", "oidc:ops", "system:authenticated"],
            "extra": {"authentication.kubernetes.io/credential-id": ["JTI=x1"]},
        }
        assert (await whoami(api, authorization=provider.token(roles="dev", hd="acme.com")))["groups"][0] == "oidc:dev"
        for claims in ({}, {"hd": "other.com"}, {"hd": "acme.com", "aud": "other"}, {"hd": "acme.com", "roles": [1]}):
            assert await whoami(api, authorization=provider.token(**claims)) == 401
        # Once fetched, keys are kept.
        assert provider.server.asked == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize(
    ("flags", "claims", "user"),
    [
        ({"oidc_username_claim": "email"}, {"email": "a@b"}, "a@b"),
        ({"oidc_username_claim": "email"}, {"email": "a@b", "email_verified": True}, "a@b"),
        ({"oidc_username_claim": "email"}, {"email": "a@b", "email_verified": False}, 401),
        ({"oidc_username_prefix": "-"}, {}, "jane"),
        ({"oidc_username_prefix": "o:"}, {}, "o:jane"),
        ({"oidc_username_claim": "name"}, {}, 401),
        ({}, {"exp": 1}, 401),
        ({}, {"nbf": 1 << 40}, 401),
        ({"oidc_username_prefix": "-"}, {"sub": ""}, 401),
    ],
)
async def test_who_it_is(provider: Provider, flags: Any, claims: Any, user: Any) -> None:
    async with secured(replace(provider.flags, **flags), provider.clock) as api:
        found = await whoami(api, authorization=provider.token(**claims))
        assert (found if isinstance(found, int) else found["username"]) == user


async def test_new_keys_are_fetched_but_not_for_everybody(provider: Provider) -> None:
    async with secured(replace(provider.flags, oidc_username_prefix="-"), provider.clock) as api:
        assert (await whoami(api, authorization=provider.token()))["username"] == "jane"
        provider.issuer.rotate("second")
        # Just fetched: however many unknown keys are named, the issuer is left alone for a while.
        for number in range(20):
            assert await whoami(api, authorization=provider.token(key=f"invented-{number}")) == 401
        assert len(provider.server.asked) == 2
        provider.clock.advance(FETCH_SECONDS_MIN + 1)
        assert (await whoami(api, authorization=provider.token()))["username"] == "jane"
        assert len(provider.server.asked) == 4


async def test_tokens_that_lie(provider: Provider) -> None:
    async with secured(replace(provider.flags, oidc_username_prefix="-"), provider.clock) as api:
        good = provider.token().removeprefix("Bearer ")
        claims = jwt.decode(good, options={"verify_signature": False})
        public = provider.issuer.keys["first"].public_key()
        form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        assert (await whoami(api, authorization=f"Bearer {good}"))["username"] == "jane"
        confused = symmetric(claims, public.public_bytes(*form), "first")
        stranger = IdentityProvider()
        stranger.url = provider.issuer.url
        head, body, signature = good.split(".")
        for token in (
            jwt.encode(claims, "", algorithm="none"),
            jwt.encode(claims, "", algorithm="none", headers={"kid": "first"}),
            confused,
            symmetric(claims, b"secret", "shared"),
            # A good signature by an algorithm that is not configured.
            jwt.encode(claims, provider.issuer.keys["first"], algorithm="RS512", headers={"kid": "first"}),
            stranger.token(provider.clock, key="first"),
            f"{head}.{body}.",
            f"{head}.{body}.{signature[:-4]}AAAA",
            f"{head}.{body}",
            "..",
            "." * 10_000,
            "a" * 100_000,
            f"{base64.urlsafe_b64encode(b'[' * 3000).decode()}.{body}.{signature}",
            f"{head}.{base64.urlsafe_b64encode(b'[' * 3000).decode()}.{signature}",
            "\x00\xff",
        ):
            assert await whoami(api, authorization=f"Bearer {token}") == 401
        admin = await api.raw("POST", REVIEWS, {"spec": {"token": confused}})
        assert admin.status == 403


def symmetric(claims: Any, secret: bytes, key: str) -> str:
    """Signed with a secret that is none: libraries refuse to make such tokens, attackers do not."""
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "JWT", "kid": key}).encode()).rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    mac = hmac.new(secret, head + b"." + body, hashlib.sha256).digest()
    return b".".join((head, body, base64.urlsafe_b64encode(mac).rstrip(b"="))).decode()


async def test_an_issuer_that_does_not_answer_refuses_nobody_else(provider: Provider, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text("plain,joe,8\n")
    flags = replace(provider.flags, oidc_issuer_url="https://localhost:1", token_file=str(tokens))
    provider.issuer.url = "https://localhost:1"
    async with secured(flags, provider.clock) as api:
        assert await whoami(api, authorization=provider.token()) == 401
        assert (await whoami(api, authorization="Bearer plain"))["username"] == "joe"


async def test_by_file(provider: Provider, tmp_path: Path) -> None:
    config = provider.file(
        tmp_path / "a.json",
        claimMappings={
            "username": {"claim": "sub", "prefix": "o:"},
            "groups": {"claim": "roles", "prefix": "g:"},
            "uid": {"claim": "oid"},
        },
        claimValidationRules=[{"claim": "hd", "requiredValue": "acme.com"}],
    )
    async with secured(config, provider.clock) as api:
        found = await whoami(api, authorization=provider.token(aud="other", hd="acme.com", oid="7", roles=["a"]))
        assert found == {"username": "o:jane", "uid": "7", "groups": ["g:a", "system:authenticated"]}
        assert await whoami(api, authorization=provider.token(aud="other", oid="7")) == 401


async def test_by_expressions(provider: Provider, tmp_path: Path) -> None:
    config = provider.file(
        tmp_path / "a.json",
        claimMappings={
            "username": {"expression": "claims.email.split('@')[0]"},
            "groups": {"expression": "claims.roles.map(r, 'x:' + r)"},
            "extra": [{"key": "acme.com/tenant", "valueExpression": "claims.tenant"}],
        },
        claimValidationRules=[{"expression": "claims.hd == 'acme.com'", "message": "wrong house"}],
        userValidationRules=[{"expression": "!user.username.startsWith('system:')", "message": "reserved"}],
    )
    async with secured(config, provider.clock) as api:
        claims = {"email": "jane@acme.com", "roles": ["a"], "tenant": "t", "hd": "acme.com"}
        found = await whoami(api, authorization=provider.token(**claims))
        assert (found["username"], found["groups"]) == ("jane", ["x:a", "system:authenticated"])
        assert found["extra"] == {"acme.com/tenant": ["t"]}
        for change in ({"hd": "other"}, {"email": "system:admin@x"}, {"email": None}, {"roles": 7}):
            assert await whoami(api, authorization=provider.token(**{**claims, **change})) == 401


async def test_a_changed_file_is_in_effect_and_a_broken_one_is_not(provider: Provider, tmp_path: Path) -> None:
    made: list[security.Security] = []
    real = security.Security.__init__

    def kept(self: security.Security, *args: Any, **more: Any) -> None:
        real(self, *args, **more)
        made.append(self)

    path = tmp_path / "a.json"
    config = provider.file(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(security.Security, "__init__", kept)
        async with secured(config, provider.clock) as api:
            assert (await whoami(api, authorization=provider.token()))["username"] == "jane"
            provider.file(path, claimMappings={"username": {"claim": "sub", "prefix": "new:"}})
            await made[0].watched[0].look()
            assert (await whoami(api, authorization=provider.token()))["username"] == "new:jane"
            path.write_text("{}")
            await made[0].watched[0].look()
            assert (await whoami(api, authorization=provider.token()))["username"] == "new:jane"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"issuer": {"url": "http://x", "audiences": ["a"]}}, "URL scheme must be https"),
        ({"issuer": {"url": "https://x"}}, "at least one jwt[0].issuer.audiences is required"),
        ({"issuer": {"url": "https://x", "audiences": ["a", "b"]}}, "audienceMatchPolicy must be MatchAny for"),
        ({"claimMappings": {}}, "jwt[0].claimMappings.username: Required value: claim or expression is required"),
        ({"claimMappings": {"username": {"claim": "sub"}}}, "prefix is required when claim is set"),
        ({"claimMapings": {}}, "unknown field `claimMapings`"),
        ({"issuer": {"url": "https://kubernetes.default.svc.cluster.local", "audiences": ["a"]}}, "must not overlap"),
    ],
)
def test_files_are_checked(tmp_path: Path, change: Any, message: str) -> None:
    spec = {
        "issuer": {"url": "https://x", "audiences": ["a"]},
        "claimMappings": {"username": {"claim": "sub", "prefix": ""}},
    }
    kind = {"apiVersion": "apiserver.config.k8s.io/v1beta1", "kind": "AuthenticationConfiguration"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**kind, "jwt": [spec | change]}))
    with pytest.raises(ConfigurationProblem) as caught:
        configured(SecurityConfig(authentication_config=str(path)))
    assert message in str(caught.value)
