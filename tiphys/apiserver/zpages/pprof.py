"""``/debug/pprof``: the paths of Go's, answered with what Python has.

``profile`` runs the profiler for ``?seconds=`` (30 by default) and gives its
table as text; ``goroutine`` lists tasks with where they stand, ``threadcreate``
threads, ``heap`` and ``allocs`` what the process holds. One profile at a time.
"""

import asyncio
import gc
import io
import sys
import threading
import traceback
from collections import Counter
from typing import Final

from tiphys.apiserver.requestinfo import first
from tiphys.apiserver.seams import Context, RawRoute
from tiphys.machinery import errors
from tiphys.wire.exchange import Response

TEXT: Final = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
HTML: Final = {"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff"}
SECONDS: Final = 30
SECONDS_MAX: Final = 120
NAMES: Final = (
    "allocs",
    "block",
    "cmdline",
    "goroutine",
    "heap",
    "mutex",
    "profile",
    "symbol",
    "threadcreate",
    "trace",
)
LINES_MAX: Final = 200


class Pprof:
    """The routes."""

    def __init__(self) -> None:
        self._profiling = False

    def routes(self) -> list[RawRoute]:
        pages = {
            "cmdline": _cmdline,
            "profile": self._profile,
            "goroutine": _tasks,
            "threadcreate": _threads,
            "heap": _objects,
            "allocs": _objects,
        }
        named = [RawRoute(f"/debug/pprof/{name}", pages.get(name, _nothing)) for name in NAMES]
        return [RawRoute("/debug/pprof", _index), RawRoute("/debug/pprof/", _index), *named]

    async def _profile(self, context: Context) -> Response:
        # Late: few ever look.
        import cProfile  # noqa: PLC0415
        import pstats  # noqa: PLC0415

        text = first(context.request.query, "seconds") or str(SECONDS)
        if not text.isdecimal() or not 0 < int(text[:9]) <= SECONDS_MAX:
            raise errors.BadRequest(f"seconds must be a number from 1 to {SECONDS_MAX}")
        if self._profiling:
            raise errors.TooManyRequests("a profile is being taken already")
        profile = cProfile.Profile()
        self._profiling = True
        try:
            profile.enable()
            await context.clock.sleep(int(text))
        finally:
            profile.disable()
            self._profiling = False
        out = io.StringIO()
        pstats.Stats(profile, stream=out).sort_stats("tottime").print_stats(LINES_MAX)
        return Response(200, TEXT, out.getvalue().encode())


async def _index(context: Context) -> Response:
    rows = "".join(f"<li><a href='{name}'>{name}</a></li>" for name in NAMES)
    page = f"<html><head><title>/debug/pprof/</title></head><body>/debug/pprof/<ul>{rows}</ul></body></html>\n"
    return Response(200, HTML, page.encode())


async def _cmdline(context: Context) -> Response:
    return Response(200, TEXT, "\0".join(sys.argv).encode())


async def _nothing(context: Context) -> Response:
    return Response(200, TEXT, b"Python keeps no record of this.\n")


async def _tasks(context: Context) -> Response:
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    parts = [f"{len(tasks)} tasks\n"]
    for task in tasks[:LINES_MAX]:
        stack = task.get_stack(limit=8)
        parts.append(f"\n{task.get_name()}\n")
        parts += [f"  {frame.f_code.co_qualname} {frame.f_code.co_filename}:{frame.f_lineno}\n" for frame in stack]
    return Response(200, TEXT, "".join(parts).encode())


async def _threads(context: Context) -> Response:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():
        parts.append(f"{names.get(ident, ident)}\n{''.join(traceback.format_stack(frame, limit=8))}\n")
    return Response(200, TEXT, "".join(parts).encode())


async def _objects(context: Context) -> Response:
    counts = Counter(type(each).__qualname__ for each in gc.get_objects())
    lines = [f"{count:>10} {name}\n" for name, count in counts.most_common(LINES_MAX)]
    return Response(200, TEXT, "".join(lines).encode())
