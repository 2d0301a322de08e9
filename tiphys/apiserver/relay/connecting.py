"""Connections before they are made: admission is asked, and sees the request's query as the options that it is.

Source: Kubernetes API reference, PodExecOptions, PodAttachOptions, PodPortForwardOptions and the proxies' options.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tiphys.apiserver.seams import Context

#: Fields by kind of options: how each is read from the values of its parameter.
FLAGS: Final = ("stdin", "stdout", "stderr", "tty")
#: On unless switched off.
SHOWN: Final = ("stdout", "stderr")
TRUE: Final = ("1", "t", "T", "true", "TRUE", "True")


async def admit(context: Context) -> None:
    """Raises StatusError if admission refuses."""
    attributes = context.attributes
    attributes.operation = "CONNECT"
    options = options_of(attributes.kind, context.request.query or {}, context.request.path)
    await context.admission.admit(attributes, options, None)
    await context.admission.validate(attributes, options, None)


def options_of(kind: str, query: Mapping[str, Sequence[str]], path: str) -> dict[str, Any] | None:
    """The options as JSON; what is empty or false is left out. None for what has none."""
    if not kind.endswith("Options"):
        return None
    found: dict[str, Any] = {"kind": kind, "apiVersion": "v1"}
    if kind.endswith("ProxyOptions"):
        return found | {"path": path.partition("/proxy")[2] or "/"}
    if kind == "PodPortForwardOptions":
        ports = [int(port) for value in query.get("ports", ()) for port in value.split(",") if port.isdecimal()]
        return found | ({"ports": ports} if ports else {})
    for name in FLAGS:
        given = query.get(name)
        if (given[0] in TRUE) if given else name in SHOWN:
            found[name] = True
    if query.get("container"):
        found["container"] = query["container"][0]
    if kind == "PodExecOptions" and query.get("command"):
        found["command"] = list(query["command"])
    return found
