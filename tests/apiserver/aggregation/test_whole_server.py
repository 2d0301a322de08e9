"""Aggregation in a server with all of its security, over real TLS: upgrades, certificates, who is told what."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.aggregation.server import NAME, NAMESPACE, ROOT, Extension, api_service, extension, loopback
from tests.apiserver.secure import Secure, secured
from tiphys.apiserver import flags

SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[Secure]:
    async with secured(tmp_path) as running:
        yield running


async def connect(secure: Secure, server: Extension) -> None:
    await secure.ok("POST", f"/api/v1/namespaces/{NAMESPACE}/services", loopback())
    target = {"name": NAME, "namespace": NAMESPACE, "port": server.port}
    made = await secure.ok("POST", SERVICES, api_service(server.bundle, service=target))
    watch = {"watch": "1", "fieldSelector": f"metadata.name={made['metadata']['name']}"}
    async with secure.session.get(secure.url(SERVICES), params=watch) as events:
        async for line in events.content:
            if b'"Passed"' in line:
                return


async def test_upgrades_pass_through(secure: Secure, tmp_path: Path) -> None:
    async with extension(tmp_path, secure.files) as server:
        await connect(secure, server)
        async with secure.session.ws_connect(secure.url(f"{ROOT}/chat")) as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "echo hello"
        seen = server.last().headers
        assert seen["X-Remote-User"] == "kubernetes-admin"
        assert seen.getall("X-Remote-Group") == ["system:masters", "system:authenticated"]


async def test_callers_are_authorized_first(secure: Secure, tmp_path: Path) -> None:
    async with extension(tmp_path, secure.files) as server:
        await connect(secure, server)
        headers = {"X-Remote-User": "kubernetes-admin", "X-Remote-Group": "system:masters"}
        status, found = await secure.call("GET", f"{ROOT}/flunders", headers=headers, anonymous=True)
        assert status == 403
        assert found["message"].startswith(
            'flunders.wardle.example.com is forbidden: User "system:anonymous" cannot list'
        )
        assert not [one for one in server.seen if one.path.endswith("flunders")]
        # Impersonation ends here: the other server sees who it became.
        headers = {"Impersonate-User": "jane", "Impersonate-Group": "system:masters"}
        async with secure.session.get(secure.url(f"{ROOT}/flunders"), headers=headers) as answer:
            assert answer.status == 418
        assert server.last().headers["X-Remote-User"] == "jane"


async def test_aggregated_servers_are_told_whom_to_believe(tmp_path: Path) -> None:
    async with secured(tmp_path) as secure:
        proxy_ca = str(secure.files.front_proxy_ca)
    async with secured(tmp_path, requestheader_client_ca=proxy_ca) as secure:
        path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
        data: dict[str, Any] = (await secure.ok("GET", path))["data"]
        assert data == {
            "client-ca-file": secure.files.ca.read_text(),
            "requestheader-allowed-names": '["front-proxy-client"]',
            "requestheader-client-ca-file": secure.files.front_proxy_ca.read_text(),
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-uid-headers": '["X-Remote-Uid"]',
            "requestheader-username-headers": '["X-Remote-User"]',
        }


def test_flags() -> None:
    found = flags.parse(["--proxy-client-cert-file=/a.crt", "--proxy-client-key-file", "/a.key"], flags.Settings())
    assert (found.security.proxy_client_certificate, found.security.proxy_client_key) == ("/a.crt", "/a.key")
