"""Who may ask the kubelet: known by certificate, allowed by name or by the API."""

import random
import ssl
from pathlib import Path

import aiohttp

from tests.kubelet.conftest import config_for
from tests.kubelet.fake_cri import FakeRuntime
from tiphys.apiserver import ApiServer, ApiServerConfig, pki, security
from tiphys.base.clock import RealClock
from tiphys.base.ids import Ids
from tiphys.client import Client, InProcessTransport
from tiphys.kubelet.loop import Kubelet
from tiphys.store.memory import MemoryStore


def context(files: pki.Pki, pair: pki.Pair | None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(files.ca))
    if pair is not None:
        made.load_cert_chain(pair.cert, pair.key)
    return made


async def status(port: int, tls: ssl.SSLContext, path: str = "/pods") -> int:
    url = f"https://127.0.0.1:{port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url, ssl=tls) as answer:
        return answer.status


async def test_who_may_ask(runtime: FakeRuntime, tmp_path: Path) -> None:
    files = pki.ensure(tmp_path / "pki", pki.PkiOptions(node_name="n1", node_addresses=("127.0.0.1",)))
    server = files.kubelet_server
    config = config_for(tmp_path, tls_cert=server.cert, tls_key=server.key, client_ca=files.ca)
    async with ApiServer(ApiServerConfig(), MemoryStore(), seams=security.seams()) as api:
        client = Client(InProcessTransport(api.handle))
        async with Kubelet(config, client, RealClock(), Ids(), random.Random(1)) as kubelet:
            port = kubelet.server.port
            assert await status(port, context(files, files.apiserver_kubelet_client)) == 200
            assert await status(port, context(files, files.admin)) == 200
            assert await status(port, context(files, files.proxy)) == 403
            assert await status(port, context(files, None)) == 401
            assert await status(port, context(files, None), "/healthz") == 200
