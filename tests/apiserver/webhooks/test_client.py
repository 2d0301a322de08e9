"""How webhooks are reached, and what is said when they are not."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.apiserver.server import config_map
from tests.apiserver.webhooks.server import MAPS, Admitting, Hooks, admitting, certificate, webhook

SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
FAILED = 'Internal error occurred: failed calling webhook "a.example.com": failed to call webhook: '


async def refusal(api: Admitting) -> str:
    status, found = await api.call("POST", MAPS, config_map("web"))
    assert (status, found["reason"]) == (500, "InternalError")
    return str(found["message"])


async def add_service(api: Admitting, remote: Hooks, *, ready: bool = True) -> dict[str, Any]:
    """A Service whose endpoint is the webhook; the part of a configuration that names it."""
    service = {"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 8443, "targetPort": 1}]}}
    await api.ok("POST", "/api/v1/namespaces/default/services", service)
    one = {
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
        "addressType": "IPv4",
        "ports": [{"port": remote.port, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.9.8.7"], "conditions": {"ready": ready}}],
    }
    await api.ok("POST", SLICES, one)
    await to_loopback(api)
    reference = {"name": "hook", "namespace": "default", "path": "/a", "port": 8443}
    return {"service": reference, "caBundle": remote.bundle}


async def to_loopback(api: Admitting) -> None:
    """No endpoint may be on loopback, but that is where tests listen: what is stored is changed behind the API."""
    (stored,) = (await api.store.range("/registry/endpointslices.discovery.k8s.io/default/hook-1")).items
    await api.store.put(stored.key, stored.value.replace(b"10.9.8.7", b"127.0.0.1"), expected=stored.mod_revision)


async def test_connections_are_kept_and_the_time_is_told(api: Admitting, remote: Hooks) -> None:
    await api.configure("validating", "v", webhook(remote.config("a"), timeoutSeconds=7))
    for name in ("a", "b", "c"):
        await api.ok("POST", MAPS, config_map(name))
    assert len(remote.asked["a"]) == 3
    assert len(remote.connections) == 1
    assert remote.queries == ["timeout=7s"] * 3


async def test_a_service_is_reached_at_its_endpoint_by_its_name(api: Admitting, remote: Hooks) -> None:
    await api.configure("validating", "v", webhook(await add_service(api, remote)))
    await api.ok("POST", MAPS, config_map("web"))
    assert len(remote.asked["a"]) == 1


async def test_a_service_without_endpoints(api: Admitting, remote: Hooks) -> None:
    await api.configure("validating", "v", webhook(await add_service(api, remote, ready=False)))
    url = 'Post "https://hook.default.svc:8443/a?timeout=10s"'
    assert await refusal(api) == f'{FAILED}{url}: no endpoints available for service "hook"'
    await api.ok("DELETE", "/api/v1/namespaces/default/services/hook")
    assert await refusal(api) == f'{FAILED}{url}: service "hook" not found'


async def test_a_certificate_must_have_the_name(api: Admitting, remote: Hooks) -> None:
    config = await add_service(api, remote)
    other = {"metadata": {"name": "other"}, "spec": {"ports": [{"port": 8443, "targetPort": 1}]}}
    await api.ok("POST", "/api/v1/namespaces/default/services", other)
    slice_ = await api.ok("GET", f"{SLICES}/hook-1")
    slice_["metadata"]["labels"]["kubernetes.io/service-name"] = "other"
    slice_["endpoints"][0]["addresses"] = ["10.9.8.7"]
    await api.ok("PUT", f"{SLICES}/hook-1", slice_)
    await to_loopback(api)
    config["service"]["name"] = "other"
    await api.configure("validating", "v", webhook(config))
    assert await refusal(api) == (
        f'{FAILED}Post "https://other.default.svc:8443/a?timeout=10s": tls: failed to verify certificate: x509: '
        "certificate is not valid for other.default.svc"
    )


async def test_a_certificate_must_be_signed_by_the_bundle(api: Admitting, remote: Hooks, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    _, pem = certificate(tmp_path / "other")
    config = remote.config("a") | {"caBundle": base64.b64encode(pem).decode()}
    await api.configure("validating", "v", webhook(config))
    assert (await refusal(api)).endswith(
        "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    )
    # Ignored failures let the request through.
    await api.configure("validating", "v", webhook(config, failurePolicy="Ignore"))
    await api.ok("POST", MAPS, config_map("web"))


async def test_nobody_listens(api: Admitting, remote: Hooks) -> None:
    config = {"url": "https://127.0.0.1:1/a", "caBundle": remote.bundle}
    await api.configure("mutating", "m", webhook(config))
    expected = f'{FAILED}Post "https://127.0.0.1:1/a?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused'
    assert await refusal(api) == expected
    await api.configure("mutating", "m", webhook(config, failurePolicy="Ignore"))
    await api.ok("POST", MAPS, config_map("web"))


async def test_time_runs_out(api: Admitting, remote: Hooks) -> None:
    async def never() -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    remote.raw["a"] = never
    await api.configure("mutating", "m", webhook(remote.config("a"), timeoutSeconds=1))
    found = await refusal(api)
    assert found == f'{FAILED}Post "https://127.0.0.1:{remote.port}/a?timeout=1s": context deadline exceeded'


async def test_who_the_server_is_to_a_webhook(remote: Hooks, tmp_path: Path) -> None:
    users = [
        {"name": f"127.0.0.1:{remote.port}", "user": {"token": "by-address"}},
        {"name": "*.default.svc:8443", "user": {"username": "u", "password": "p"}},
        {"name": "*", "user": {"token": "anybody"}},
    ]
    (tmp_path / "kubeconfig").write_text(json.dumps({"users": users}))
    part = {"kind": "WebhookAdmissionConfiguration", "kubeConfigFile": str(tmp_path / "kubeconfig")}
    plugins = [{"name": "ValidatingAdmissionWebhook", "configuration": part}]
    whole = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins}
    (tmp_path / "admission").write_text(json.dumps(whole))
    async with admitting(admission_config_file=str(tmp_path / "admission")) as api:
        at_service = webhook(await add_service(api, remote), "b.example.com")
        await api.configure("validating", "v", webhook(remote.config("a")), at_service)
        await api.configure("mutating", "m", webhook(remote.config("a")))
        await api.ok("POST", MAPS, config_map("web"))
    basic = f"Basic {base64.b64encode(b'u:p').decode()}"
    assert remote.credentials[0] is None
    assert sorted(map(str, remote.credentials[1:])) == [basic, "Bearer by-address"]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, "no", f"{FAILED}the server could not find the requested resource"),
        (500, "boom", f'{FAILED}an error on the server ("boom") has prevented the request from succeeding'),
        (503, "", f"{FAILED}the server is currently unable to handle the request"),
        (400, '{"kind":"Status","message":"bad question"}', f"{FAILED}bad question"),
        (
            200,
            "{}",
            'Internal error occurred: failed calling webhook "a.example.com": received invalid webhook response: '
            "webhook response was absent",
        ),
        (
            200,
            '{"response":{"uid":"UID","allowed":true}}',
            'Internal error occurred: failed calling webhook "a.example.com": received invalid webhook response: '
            "expected response.uid=",
        ),
    ],
)
async def test_answers_that_are_none(api: Admitting, remote: Hooks, status: int, body: str, expected: str) -> None:
    async def answer() -> web.Response:
        return web.Response(status=status, text=body)

    remote.raw["a"] = answer
    await api.configure("validating", "v", webhook(remote.config("a")))
    assert (await refusal(api)).startswith(expected)
