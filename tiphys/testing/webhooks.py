"""Webhooks that are functions of the test, named by a Service or a URL as real ones are.

The API server asks them with real reviews and reads real answers; only the
network between them is missing. For an admission webhook the function is given
the request (``request.object.spec…``) and returns

- None or True: allowed; False or a text: refused, with that message
- an object: allowed, and this is what it should be instead
- a list: allowed, with these JSON patch operations
- any other dict: the fields of the response themselves (``warnings``, ``status`` …)

and for conversion the object and the version that is wanted, and returns the
object. It may be a coroutine function, and then takes the virtual time that it
sleeps. Source: Kubernetes docs, "Dynamic Admission Control", "Versions in
CustomResourceDefinitions".
"""

import asyncio
import base64
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tiphys.apiserver.webhooks.client import CallError, ClientConfig, shown_url
from tiphys.machinery import codec
from tiphys.testing.views import Fields, View

Function = Callable[..., Any]
OBJECTS = ("object", "oldObject")


@dataclass(slots=True)
class Hook:
    """One webhook. Its fields may be changed at any time."""

    function: Function
    #: How late it answers; longer than its ``timeoutSeconds`` is a time-out.
    delay_seconds: float = 0.0
    #: Nobody listens.
    down: bool = False
    #: What it was asked, in order.
    requests: list[Any] = field(default_factory=list)


class Webhooks:
    """All of a cluster, by address. ``ask`` is what the API server asks before it goes to the network."""

    def __init__(self) -> None:
        self._hooks: dict[str, Hook] = {}

    def add(self, function: Function, service: str = "", path: str = "/", url: str = "") -> Hook:
        """``service`` is ``name`` or ``namespace/name``; it need not exist."""
        namespace, _, name = service.rpartition("/")
        place = url or f"{name}.{namespace or 'default'}{_rooted(path)}"
        hook = self._hooks[place] = Hook(function)
        return hook

    def ask(self, config: ClientConfig, body: bytes) -> Awaitable[bytes] | None:
        """The answer to come; None if the address is none of ours."""
        service = config.service
        place = config.url if service is None else f"{service.name}.{service.namespace}{_rooted(service.path or '')}"
        hook = self._hooks.get(place or "")
        return None if hook is None else _asked(hook, config, body)


def _rooted(path: str) -> str:
    return "/" + path.strip("/")


async def _asked(hook: Hook, config: ClientConfig, body: bytes) -> bytes:
    if hook.down:
        raise CallError(f'Post "{shown_url(config)}": connect: connection refused')
    if hook.delay_seconds:
        await asyncio.sleep(hook.delay_seconds)
    review = codec.decode_builtins(body)
    answer = await (_converted if review["kind"] == "ConversionReview" else _admitted)(hook, review["request"])
    head = {"apiVersion": review["apiVersion"], "kind": review["kind"]}
    return codec.encode(head | {"response": {"uid": review["request"]["uid"]} | answer})


async def _called(hook: Hook, *arguments: Any) -> Any:
    found = hook.function(*arguments)
    return await found if inspect.isawaitable(found) else found


async def _converted(hook: Hook, request: dict[str, Any]) -> dict[str, Any]:
    wanted = request["desiredAPIVersion"]
    hook.requests.append(Fields(request))
    made = [codec.to_builtins(await _called(hook, View(one), wanted)) for one in request["objects"]]
    objects = [{"apiVersion": wanted} | one | {"apiVersion": wanted} for one in made]
    return {"result": {"status": "Success"}, "convertedObjects": objects}


async def _admitted(hook: Hook, request: dict[str, Any]) -> dict[str, Any]:
    # The function may change what it is shown; what that means is told by comparing.
    shown = Fields(codec.copy(request))
    shown.update((name, View(shown[name])) for name in OBJECTS if shown.get(name))
    hook.requests.append(shown)
    said = await _called(hook, shown)
    if said is None or isinstance(said, bool):
        return {"allowed": said is not False}
    if isinstance(said, str):
        return {"allowed": False, "status": {"message": said, "code": 403, "reason": "Forbidden"}}
    if isinstance(said, list):
        return _patched(said)
    found: dict[str, Any] = codec.to_builtins(said)
    if "apiVersion" in found:
        return _patched(_operations(request.get("object") or {}, found))
    return {"allowed": True} | found


def _patched(operations: list[Any]) -> dict[str, Any]:
    patch = base64.b64encode(codec.encode(operations)).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": patch} if operations else {"allowed": True}


def _operations(old: dict[str, Any], new: dict[str, Any]) -> list[dict[str, Any]]:
    """What makes ``new`` of ``old``, field by field at the root."""
    changed = [{"op": "add", "path": f"/{key}", "value": new[key]} for key in new if new[key] != old.get(key)]
    return [*changed, *({"op": "remove", "path": f"/{key}"} for key in old if key not in new)]
