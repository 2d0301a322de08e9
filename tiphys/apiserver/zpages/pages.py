"""``/statusz`` and ``/flagz``: text, or objects of ``config.k8s.io`` for those who ask for them by name.

Source: Kubernetes docs, "Kubernetes z-pages".
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tiphys.apiserver.discovery import version_info
from tiphys.apiserver.seams import Context, RawRoute
from tiphys.base.clock import Clock
from tiphys.machinery import times
from tiphys.wire.exchange import Response

COMPONENT: Final = "kube-apiserver"
WARNING: Final = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is "
    "for debugging purposes only."
)
TEXT: Final = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
GROUP: Final = "config.k8s.io"
VERSIONS: Final = frozenset({"v1alpha1", "v1beta1"})
UNACCEPTABLE: Final = Response(
    406,
    TEXT,
    b"only the following media types are accepted: text/plain, application/json with v, g and as\n",
)
#: What ``/statusz`` points at.
PATHS: Final = ("/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/flagz", "/version")


class Pages:
    """``flags`` gives names and values as they are written on a command line."""

    def __init__(self, clock: Clock, flags: Callable[[], Mapping[str, str]]) -> None:
        self._clock = clock
        self._flags = flags
        self._started = clock.now()

    def routes(self) -> list[RawRoute]:
        return [RawRoute("/statusz", self._statusz), RawRoute("/flagz", self._flagz)]

    async def _statusz(self, context: Context) -> Response:
        form = wanted(context.request.headers.get("accept", ""), "Statusz")
        uptime = int((self._clock.now() - self._started).total_seconds())
        info = version_info()
        binary = info.gitVersion.removeprefix("v")
        emulated = f"{info.major}.{info.minor}"
        paths = sorted(PATHS)
        if form == "text":
            lines = (
                f"Started: {self._started:%a %b %e %H:%M:%S UTC %Y}",
                f"Up: {uptime // 3600} hr {uptime // 60 % 60:02d} min {uptime % 60:02d} sec",
                f"Go version: {info.goVersion}",
                f"Binary version: {binary}",
                f"Emulation version: {emulated}",
                f"Paths: {' '.join(paths)}",
            )
            return _text("statusz", lines)
        facts = {
            "startTime": str(times.format_time(self._started)),
            "uptimeSeconds": uptime,
            "goVersion": info.goVersion,
            "binaryVersion": binary,
            "emulationVersion": emulated,
            "paths": paths,
        }
        return _object("Statusz", form, facts)

    async def _flagz(self, context: Context) -> Response:
        form = wanted(context.request.headers.get("accept", ""), "Flagz")
        flags = dict(sorted(self._flags().items()))
        if form == "text":
            return _text("flagz", [f"{name}={value}" for name, value in flags.items()])
        return _object("Flagz", form, {"flags": flags})


def wanted(accept: str, kind: str) -> str:
    """``text``, the version of an object, or nothing where neither is acceptable."""
    if not accept.strip():
        return "text"
    for part in accept.split(","):
        media_type, *pairs = (piece.strip() for piece in part.split(";"))
        if media_type in ("text/plain", "text/*", "*/*"):
            return "text"
        given = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if (
            media_type == "application/json"
            and given.get("g") == GROUP
            and given.get("as") == kind
            and given.get("v") in VERSIONS
        ):
            return given["v"]
    return ""


def _text(page: str, lines: Sequence[str]) -> Response:
    return Response(200, TEXT, "\n".join(["", f"{COMPONENT} {page}", WARNING, "", *lines, ""]).encode())


def _object(kind: str, version: str, facts: Mapping[str, Any]) -> Response:
    if not version:
        return UNACCEPTABLE
    head = {"kind": kind, "apiVersion": f"{GROUP}/{version}", "metadata": {"name": COMPONENT}}
    return Response(200, {"Content-Type": "application/json"}, msgspec.json.encode({**head, **facts}))
