"""Users by file, by bootstrap token, by a proxy's word; strangers."""

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.apiserver.auth.remotes import ShiftedClock, basic, secured, whoami
from tests.apiserver.server import Api
from tiphys.api import core_v1, meta_v1
from tiphys.apiserver import ApiServer, ApiServerConfig, pki, security
from tiphys.apiserver.authentication.files import FileProblem, Passwords, StaticTokens
from tiphys.apiserver.config import SecurityConfig
from tiphys.machinery import times
from tiphys.store.memory import MemoryStore


async def test_passwords_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text('secret,jane,7,"a,b"\nother,joe,8\n')
    async with secured(SecurityConfig(basic_auth_file=str(file))) as api:
        jane = await whoami(api, authorization=basic("jane", "secret"))
        assert jane == {"username": "jane", "uid": "7", "groups": ["a", "b", "system:authenticated"]}
        for name, password in (("jane", "other"), ("nobody", "secret"), ("jane", ""), ("", "")):
            assert await whoami(api, authorization=basic(name, password)) == 401
        assert await whoami(api, authorization="Basic %%%") == 401


def test_passwords_are_compared_by_digest_and_unknown_users_are_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import hmac

    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
    users = Passwords("secret,jane,7\n")
    assert users.user("jane", "secret").name == "jane"
    for name in ("jane", "nobody"):
        with pytest.raises(Exception, match="invalid username/password combination"):
            users.user(name, "wrong")
    assert len(compared) == 3
    assert all(len(a) == len(b) == 32 for a, b in compared)


def test_files_of_users_with_short_lines_are_refused() -> None:
    with pytest.raises(FileProblem, match="line 2"):
        StaticTokens("t,jane,7\nbroken\n")


async def add_bootstrap_token(api: Api, **data: str) -> None:
    values = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:workers,system:bootstrappers:a",
    }
    values |= {key.replace("_", "-"): value for key, value in data.items()}
    secret = core_v1.Secret(
        metadata=meta_v1.ObjectMeta(name="bootstrap-token-abcdef", namespace="kube-system"),
        type="bootstrap.kubernetes.io/token",
        data={key: value.encode() for key, value in values.items()},
    )
    await api.server.objects.create(secret)


async def test_bootstrap_tokens() -> None:
    clock = ShiftedClock()
    async with secured(SecurityConfig(bootstrap_tokens=True), clock) as api:
        await add_bootstrap_token(api, expiration=times.format_time(clock.now() + timedelta(hours=1)))
        found = await whoami(api, authorization="Bearer abcdef.0123456789abcdef")
        assert found["username"] == "system:bootstrap:abcdef"
        groups = ["system:bootstrappers", "system:bootstrappers:a", "system:bootstrappers:workers"]
        assert found["groups"] == [*groups, "system:authenticated"]
        for token in ("abcdef.0123456789abcdeg", "abcdeg.0123456789abcdef", "abcdef.0123456789abcdef0", "abcdef."):
            assert await whoami(api, authorization=f"Bearer {token}") == 401
        clock.advance(3601)
        assert await whoami(api, authorization="Bearer abcdef.0123456789abcdef") == 401


@pytest.mark.parametrize(
    "change",
    [
        {"usage_bootstrap_authentication": "false"},
        {"auth_extra_groups": "system:masters"},
        {"token_id": "other1"},
        {"expiration": "soon"},
    ],
)
async def test_bootstrap_tokens_that_do_not_fit(change: dict[str, str]) -> None:
    async with secured(SecurityConfig(bootstrap_tokens=True)) as api:
        await add_bootstrap_token(api, **change)
        assert await whoami(api, authorization="Bearer abcdef.0123456789abcdef") == 401


async def test_strangers_may_be_kept_out() -> None:
    async with secured(SecurityConfig(anonymous=False)) as api:
        assert (await api.call("GET", "/version"))[0] == 401
    async with secured(SecurityConfig()) as api:
        assert (await api.call("GET", "/version"))[0] == 200
        assert (await api.call("GET", "/api/v1/pods"))[0] == 403


async def test_strangers_may_see_some_paths_only(tmp_path: Path) -> None:
    file = tmp_path / "authentication.yaml"
    file.write_text(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n"
        "anonymous: {enabled: true, conditions: [{path: /livez}]}\n"
    )
    async with secured(SecurityConfig(authentication_config=str(file))) as api:
        assert (await api.raw("GET", "/livez")).status == 200
        assert (await api.raw("GET", "/readyz")).status == 401
        assert (await api.raw("GET", "/livez/ping")).status == 401


class Listening:
    """A server behind which a proxy may stand, on a real socket."""

    def __init__(self, server: ApiServer, files: pki.Pki, front: pki.Pki) -> None:
        self.server = server
        self.files = files
        self.front = front

    async def whoami(self, pair: pki.Pair, *headers: tuple[str, str]) -> Any:
        tls = ssl.create_default_context(cafile=str(self.files.ca))
        tls.load_cert_chain(pair.cert, pair.key)
        url = f"https://127.0.0.1:{self.server.port}/apis/authentication.k8s.io/v1/selfsubjectreviews"
        async with aiohttp.ClientSession() as session, session.post(url, json={}, headers=headers, ssl=tls) as answer:
            found = await answer.json()
            return found["status"]["userInfo"] if answer.status == 201 else answer.status


async def test_an_authenticating_proxy_names_users(tmp_path: Path) -> None:
    files = pki.ensure(tmp_path / "own", pki.PkiOptions("n1"))
    front = pki.ensure(tmp_path / "front", pki.PkiOptions("n1"))
    config = ApiServerConfig(
        port=0,
        certificate=str(files.apiserver.cert),
        private_key=str(files.apiserver.key),
        client_ca=str(files.ca),
        requestheader_client_ca=str(front.ca),
    )
    settings = SecurityConfig(
        requestheader_allowed_names=("system:kube-proxy",),
        requestheader_username_headers=("X-Remote-User",),
        requestheader_uid_headers=("X-Remote-Uid",),
        requestheader_group_headers=("X-Remote-Group",),
        requestheader_extra_prefixes=("X-Remote-Extra-",),
    )
    async with ApiServer(config, MemoryStore(), seams=security.seams(settings)) as server:
        await server.serve()
        listening = Listening(server, files, front)
        named = (
            ("X-Remote-User", "jane"),
            ("X-Remote-Uid", "7"),
            ("X-Remote-Group", "dev"),
            ("X-Remote-Group", "a,system:masters"),
            ("X-Remote-Extra-Acme.com%2FProject", "x"),
        )
        # A comma in a group's name does not make two groups of it.
        assert await listening.whoami(front.proxy, *named) == {
            "username": "jane",
            "uid": "7",
            "groups": ["dev", "a,system:masters", "system:authenticated"],
            "extra": {"acme.com/project": ["x"]},
        }
        # A proxy's authority names no users by itself, and the clients' authority no proxies.
        assert await listening.whoami(front.admin) == 401
        assert await listening.whoami(front.admin, *named) == 401
        assert (await listening.whoami(files.admin))["username"] == "kubernetes-admin"
        assert (await listening.whoami(files.proxy, *named))["username"] == "system:kube-proxy"
        found = server.objects.find("", "configmaps", "kube-system", "extension-apiserver-authentication")
        assert found.data == {
            "client-ca-file": files.ca.read_text(),
            "requestheader-client-ca-file": front.ca.read_text(),
            "requestheader-allowed-names": '["system:kube-proxy"]',
            "requestheader-username-headers": '["X-Remote-User"]',
            "requestheader-uid-headers": '["X-Remote-Uid"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        }


async def test_a_new_client_authority_counts_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiphys.apiserver.tls.LOOK_SECONDS", 0.0)
    files = pki.ensure(tmp_path / "own", pki.PkiOptions("n1"))
    others = pki.ensure(tmp_path / "others", pki.PkiOptions("n1"))
    authority = tmp_path / "clients.crt"
    authority.write_bytes(files.ca.read_bytes())
    config = ApiServerConfig(
        port=0,
        certificate=str(files.apiserver.cert),
        private_key=str(files.apiserver.key),
        client_ca=str(authority),
    )
    async with ApiServer(config, MemoryStore(), seams=security.seams()) as server:
        await server.serve()
        listening = Listening(server, files, others)
        assert (await listening.whoami(files.admin))["username"] == "kubernetes-admin"
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await listening.whoami(others.scheduler)
        await asyncio.to_thread(pki.write_atomically, authority, others.ca.read_bytes())
        assert (await listening.whoami(others.scheduler))["username"] == "system:kube-scheduler"
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await listening.whoami(files.admin)
