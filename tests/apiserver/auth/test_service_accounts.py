"""Tokens of service accounts: several keys and issuers, bounds, tokens in Secrets."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.apiserver.auth.remotes import secured, signing, whoami
from tests.apiserver.server import Api
from tests.store.test_contract import HandClock
from tiphys.apiserver.authentication import keys
from tiphys.controllers.serviceaccounttoken.signing import signer

LAST_USED = "kubernetes.io/legacy-token-last-used"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"


async def token_of(api: Api, name: str = "bob", **spec: Any) -> Any:
    return await api.ok("POST", f"{ACCOUNTS}/{name}/token", {"spec": spec}, authorization="Bearer admin")


def admin(directory: Path) -> str:
    file = directory / "tokens.csv"
    file.write_text("admin,admin,1,system:masters\n")
    return str(file)


async def test_several_keys_check_and_are_published(tmp_path: Path) -> None:
    config = replace(signing(tmp_path), token_file=admin(tmp_path))
    old = tmp_path / "old.key"
    key = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    old.write_bytes(key.private_bytes(*form))
    config = replace(
        config,
        service_account_key_files=(config.service_account_key, str(old)),
        issuers=("https://new", "https://old"),
        service_account_jwks_uri="https://keys/jwks",
    )
    async with secured(config) as api:
        account = await api.ok("POST", ACCOUNTS, {"metadata": {"name": "bob"}}, authorization="Bearer admin")
        found = await token_of(api)
        claims = jwt.decode(found["status"]["token"], options={"verify_signature": False})
        assert (claims["iss"], claims["aud"]) == ("https://new", ["https://new", "https://old"])
        assert (await whoami(api, authorization=f"Bearer {found['status']['token']}"))["username"].endswith(":bob")
        who = {"namespace": "default", "serviceaccount": {"name": "bob", "uid": account["metadata"]["uid"]}}
        facts = {**claims, "iss": "https://old", "kubernetes.io": who}
        for headers in ({"kid": keys.key_id(key.public_key())}, {}):
            signed = jwt.encode(facts, key, "ES256", headers=headers)
            assert (await whoami(api, authorization=f"Bearer {signed}"))["username"].endswith(":bob")
        stranger = jwt.encode({**facts, "iss": "https://other"}, key, "ES256")
        assert await whoami(api, authorization=f"Bearer {stranger}") == 401
        published = await api.ok("GET", "/openid/v1/jwks", authorization="Bearer admin")
        assert [(one["kty"], one["alg"]) for one in published["keys"]] == [("RSA", "RS256"), ("EC", "ES256")]
        assert jwt.PyJWK(published["keys"][1]).key.public_numbers() == key.public_key().public_numbers()
        document = await api.ok("GET", "/.well-known/openid-configuration", authorization="Bearer admin")
        assert document["jwks_uri"] == "https://keys/jwks"
        assert document["id_token_signing_alg_values_supported"] == ["ES256", "RS256"]


async def test_tokens_live_no_longer_than_allowed(tmp_path: Path) -> None:
    config = replace(
        signing(tmp_path),
        token_file=admin(tmp_path),
        service_account_expiration_max_seconds=7200.0,
        api_audiences=("api",),
    )
    async with secured(config) as api:
        await api.ok("POST", ACCOUNTS, {"metadata": {"name": "bob"}}, authorization="Bearer admin")
        body = {"spec": {"expirationSeconds": 100_000}}
        answer = await api.raw("POST", f"{ACCOUNTS}/bob/token", body, authorization="Bearer admin")
        assert "requested expiration of 100000 seconds shortened to 7200 seconds" in answer.headers["Warning"]
        found = await token_of(api, expirationSeconds=100_000)
        claims = jwt.decode(found["status"]["token"], options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == found["spec"]["expirationSeconds"] == 7200
        assert claims["aud"] == ["api"]


async def test_tokens_in_secrets(tmp_path: Path) -> None:
    config = replace(signing(tmp_path), token_file=admin(tmp_path))
    async with secured(config) as api:
        sign = signer(Path(config.service_account_key).read_text())
        await api.ok("POST", ACCOUNTS, {"metadata": {"name": "bob"}}, authorization="Bearer admin")
        annotations = {"kubernetes.io/service-account.name": "bob"}
        secrets = "/api/v1/namespaces/default/secrets"
        body = {
            "metadata": {"name": "t", "annotations": annotations},
            "type": "kubernetes.io/service-account-token",
        }
        await api.ok("POST", secrets, body, authorization="Bearer admin")
        objects = api.server.objects
        token = sign(objects.find("", "serviceaccounts", "default", "bob"), objects.find("", "secrets", "default", "t"))
        merge = {"content_type": "application/merge-patch+json", "authorization": "Bearer admin"}
        bearer = f"Bearer {token}"
        # A good signature is not enough: the Secret must hold the token.
        assert await whoami(api, authorization=bearer) == 401
        await api.ok("PATCH", f"{secrets}/t", {"stringData": {"token": token}}, **merge)
        found = await whoami(api, authorization=bearer)
        assert found["groups"] == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
        await used(api)
        assert (await api.call("GET", "/api/v1/pods", authorization=bearer))[0] == 403
        listed = {"secrets": [{"name": "t"}]}
        await api.ok("PATCH", f"{ACCOUNTS}/bob", listed, **merge)
        answer = await api.raw("GET", "/version", authorization=bearer)
        assert "instead of auto-generated secret-based tokens" in answer.headers["Warning"]
        label = {"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": "2026-01-01"}}}
        await api.ok("PATCH", f"{secrets}/t", label, **merge)
        review = {"spec": {"token": token}}
        found = await api.ok(
            "POST", "/apis/authentication.k8s.io/v1/tokenreviews", review, authorization="Bearer admin"
        )
        assert "has been marked invalid" in found["status"]["error"]
        label = {"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": None}}}
        await api.ok("PATCH", f"{secrets}/t", label, **merge)
        assert (await api.raw("GET", "/version", authorization=bearer)).status == 200
        await api.ok("DELETE", f"{secrets}/t", authorization="Bearer admin")
        assert await whoami(api, authorization=bearer) == 401


async def used(api: Api) -> None:
    """Return once the use of the token has been written down."""
    changed = asyncio.Event()
    objects = api.server.objects
    objects.subscribe("", "secrets", lambda new, old: changed.set())
    async with asyncio.timeout(5):
        while LAST_USED not in objects.find("", "secrets", "default", "t").metadata.labels:
            changed.clear()
            await changed.wait()


async def test_when_tracking_of_old_tokens_began_is_written_down(tmp_path: Path) -> None:
    async with secured(signing(tmp_path)) as api:
        name = "kube-apiserver-legacy-service-account-token-tracking"
        found = api.server.objects.find("", "configmaps", "kube-system", name)
        assert len(found.data["since"]) == 10


async def test_a_token_ends_with_what_should_have_gone_long_ago(tmp_path: Path) -> None:
    clock = HandClock()
    config = replace(signing(tmp_path), token_file=admin(tmp_path))
    async with secured(config, clock) as api:
        body = {"metadata": {"name": "bob", "finalizers": ["example.com/kept"]}}
        await api.ok("POST", ACCOUNTS, body, authorization="Bearer admin")
        token = (await token_of(api))["status"]["token"]
        await api.ok("DELETE", f"{ACCOUNTS}/bob", authorization="Bearer admin")
        assert (await whoami(api, authorization=f"Bearer {token}"))["username"].endswith(":bob")
        await clock.advance(62)
        assert await whoami(api, authorization=f"Bearer {token}") == 401
