"""Bootstrap tokens and token Secrets: signed, filled in, cleaned up, against the API server in memory."""

import base64
import hashlib
import hmac
from datetime import date, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.controllers.cluster import Cluster
from tests.controllers.test_desired import NOW
from tests.controllers.test_rights import MANAGER
from tiphys.api import core_v1, meta_v1
from tiphys.apiserver.security import seams
from tiphys.controllers.config import Config
from tiphys.controllers.legacytokencleaner import desired as cleaning
from tiphys.machinery import times

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


def bootstrap_token(identity: str, **data: str) -> core_v1.Secret:
    values = {"token-id": identity, "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true", **data}
    return core_v1.Secret(
        metadata=meta_v1.ObjectMeta(name=f"bootstrap-token-{identity}", namespace="kube-system"),
        type="bootstrap.kubernetes.io/token",
        data={key.replace("_", "-"): value.encode() for key, value in values.items()},
    )


async def test_the_public_description_is_signed_with_each_token_while_it_lasts() -> None:
    async with Cluster(user=MANAGER, seams=seams()) as cluster:
        metadata = meta_v1.ObjectMeta(name="cluster-info", namespace="kube-public")
        await cluster.create(core_v1.ConfigMap(metadata=metadata, data={"kubeconfig": "hello", "other": "stays"}))
        await cluster.create(bootstrap_token("abcdef"))
        soon = times.format_time(cluster.clock.now() + timedelta(hours=1))
        await cluster.create(bootstrap_token("uvwxyz", expiration=soon))
        await cluster.create(bootstrap_token("nosign", usage_bootstrap_signing="false"))

        def data() -> dict[str, str]:
            found = [m.data for m in cluster.all(core_v1.ConfigMap) if m.metadata.name == "cluster-info"]
            return found[0] if found else {}

        signed = ["jws-kubeconfig-abcdef", "jws-kubeconfig-uvwxyz", "kubeconfig", "other"]
        await cluster.until(lambda: sorted(data()) == signed, core_v1.ConfigMap)
        header, payload, mac = data()["jws-kubeconfig-abcdef"].split(".")
        assert payload == ""
        assert base64.urlsafe_b64decode(header + "==") == b'{"alg":"HS256","kid":"abcdef"}'
        content = base64.urlsafe_b64encode(b"hello").rstrip(b"=").decode()
        expected = hmac.new(b"0123456789abcdef", f"{header}.{content}".encode(), hashlib.sha256).digest()
        assert base64.urlsafe_b64decode(mac + "=") == expected
        cluster.clock.advance(3601)
        await cluster.until(lambda: len(cluster.all(core_v1.Secret)) == 2, core_v1.Secret)
        await cluster.until(lambda: "jws-kubeconfig-uvwxyz" not in data(), core_v1.ConfigMap)


async def test_a_token_that_cannot_tell_its_end_is_deleted() -> None:
    async with Cluster(user=MANAGER, seams=seams()) as cluster:
        await cluster.create(bootstrap_token("forever"[:6]))
        await cluster.create(bootstrap_token("broken", expiration="tomorrow"))
        await cluster.until(
            lambda: [s.metadata.name for s in cluster.all(core_v1.Secret)] == ["bootstrap-token-foreve"], core_v1.Secret
        )


async def test_token_secrets_are_filled_in_and_go_with_their_account() -> None:
    config = Config(root_ca="-----BEGIN CERTIFICATE-----\n", service_account_key=PEM)
    async with Cluster(config, user=MANAGER, seams=seams()) as cluster:
        metadata = meta_v1.ObjectMeta(name="bob", namespace="default")
        account = await cluster.create(core_v1.ServiceAccount(metadata=metadata))
        metadata = meta_v1.ObjectMeta(
            name="bob-token", namespace="default", annotations={"kubernetes.io/service-account.name": "bob"}
        )
        await cluster.create(core_v1.Secret(metadata=metadata, type="kubernetes.io/service-account-token"))
        await cluster.until(
            lambda: any((s.data or {}).get("token") for s in cluster.all(core_v1.Secret)), core_v1.Secret
        )
        secret = cluster.all(core_v1.Secret)[0]
        assert secret.metadata.annotations["kubernetes.io/service-account.uid"] == account.metadata.uid
        assert (secret.data["namespace"], secret.data["ca.crt"]) == (b"default", config.root_ca.encode())
        claims = jwt.decode(secret.data["token"].decode(), KEY.public_key(), algorithms=["RS256"])
        assert claims == {
            "iss": "kubernetes/serviceaccount",
            "kubernetes.io/serviceaccount/namespace": "default",
            "kubernetes.io/serviceaccount/secret.name": "bob-token",
            "kubernetes.io/serviceaccount/service-account.name": "bob",
            "kubernetes.io/serviceaccount/service-account.uid": account.metadata.uid,
            "sub": "system:serviceaccount:default:bob",
        }
        await cluster.client.of(core_v1.ServiceAccount).delete("bob", "default")
        await cluster.until(lambda: not cluster.all(core_v1.Secret), core_v1.Secret)


def days(count: int) -> str:
    return (NOW - timedelta(days=count)).date().isoformat()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, cleaning.Action.MARK),
        ({"labels": {cleaning.INVALID_SINCE: days(10)}}, None),
        ({"labels": {cleaning.INVALID_SINCE: days(400)}}, cleaning.Action.DELETE),
        ({"labels": {cleaning.LAST_USED: days(10), cleaning.INVALID_SINCE: days(400)}}, None),
        ({"labels": {cleaning.LAST_USED: days(400)}}, cleaning.Action.MARK),
        ({"created": 100}, None),
        ({"mounted": {"t"}}, None),
        ({"listed": False}, None),
        ({"since": NOW.date()}, None),
        ({"since": None}, None),
    ],
)
def test_unused_generated_tokens_are_marked_and_then_deleted(change: dict, expected: cleaning.Action | None) -> None:
    created = times.format_time(NOW - timedelta(days=change.get("created", 500)))
    metadata = meta_v1.ObjectMeta(name="t", namespace="n", creationTimestamp=created, labels=change.get("labels", {}))
    listed = [core_v1.ObjectReference(name="t")] if change.get("listed", True) else []
    account = core_v1.ServiceAccount(metadata=meta_v1.ObjectMeta(name="a", namespace="n"), secrets=listed)
    since = change.get("since", date(2000, 1, 1))
    secret = core_v1.Secret(metadata=metadata)
    assert cleaning.desired(secret, account, change.get("mounted", ()), since, NOW) == expected
