"""Reads of the past: what a server would answer that has not heard of the newest changes yet.

The API answers lists of any revision it remembers; a single object is looked up in such a list.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tiphys.api import meta_v1
from tiphys.apiserver.requestinfo import attributes_of
from tiphys.machinery import codec
from tiphys.wire.exchange import Request, Response


async def answer(send: Callable[[Request], Awaitable[Response]], request: Request, revision: int) -> Response:
    """``request`` reads an object or a list; the answer as of ``revision``."""
    found = attributes_of(request)
    exact: Mapping[str, Sequence[str]] = {"resourceVersion": (str(revision),), "resourceVersionMatch": ("Exact",)}
    if found.verb == "list":
        # Later pages name their revision themselves.
        later = "continue" in request.query
        return await send(request if later else replace(request, query={**request.query, **exact}))
    if found.subresource or not found.name:
        return await send(request)
    path = request.path.rsplit("/", 1)[0]
    query = {**exact, "fieldSelector": (f"metadata.name={found.name}",)}
    listed = await send(replace(request, path=path, query=query))
    if listed.status != 200:
        return listed
    content = codec.decode_builtins(listed.body)
    if not content["items"]:
        return _missing(found.group, found.resource, found.name)
    head = {"apiVersion": content["apiVersion"], "kind": content["kind"].removesuffix("List")}
    return Response(200, listed.headers, codec.encode(head | content["items"][0]))


def _missing(group: str, resource: str, name: str) -> Response:
    what = f"{resource}.{group}" if group else resource
    details: dict[str, Any] = {"name": name, "group": group or None, "kind": resource}
    status = meta_v1.Status(
        status="Failure",
        message=f'{what} "{name}" not found',
        reason="NotFound",
        code=404,
        details=codec.convert(meta_v1.StatusDetails, {k: v for k, v in details.items() if v}),
    )
    return Response(404, {"Content-Type": "application/json"}, codec.encode(status))
