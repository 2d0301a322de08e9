"""The server that is fuzzed, and one request to it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.apiserver.server import Lines
from tests.fuzz import driver
from tiphys.apiserver import ApiServer, ApiServerConfig, security
from tiphys.store.memory import MemoryStore
from tiphys.wire.exchange import Request, Response, UserInfo

ROOT = UserInfo("root", groups=("system:masters", "system:authenticated"))
#: Longer than any answer that is not a stream may take.
SECONDS_MAX = 20.0
KNOWN_MAX = 200
BODY_MAX = 20_000


@asynccontextmanager
async def fuzzed_server() -> AsyncIterator[ApiServer]:
    config = ApiServerConfig(port=0, request_timeout_seconds=5.0, logs_directory="")
    async with ApiServer(config, MemoryStore(), seams=security.seams()) as api:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "d"}}
        headers = {"content-type": "application/json"}
        await api.handle(Request("POST", "/api/v1/namespaces", {}, headers, json.dumps(body).encode(), user=ROOT))
        for path, obj in driver.OBJECTS:
            await api.handle(Request("POST", path, {}, headers, json.dumps(obj).encode(), user=ROOT))
        yield api


async def one(api: ApiServer, request: Request, known: dict[str, bytes]) -> str:
    """What is wrong with the answer; empty if nothing is. Objects that are shown are added to ``known``."""
    request.user = ROOT
    async with asyncio.timeout(SECONDS_MAX):
        response = await api.handle(request)
    if response.stream is not None and "profile" not in request.path:
        task = asyncio.create_task(response.stream(Lines()))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError, ValueError):
            await task
    _learn(request, response, known)
    return driver.problem_of(request, response)


def _learn(request: Request, response: Response, known: dict[str, bytes]) -> None:
    if request.method == "DELETE" and response.status == 200:
        known.pop(request.path, None)
    if request.method != "POST" or response.status != 201 or len(response.body) > BODY_MAX:
        return
    with suppress(ValueError, KeyError, TypeError):
        name = json.loads(response.body)["metadata"]["name"]
        if len(known) < KNOWN_MAX and name:
            known[f"{request.path}/{name}"] = response.body
