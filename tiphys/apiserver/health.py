"""``/livez``, ``/readyz`` and ``/healthz``: one word, or with ``?verbose`` one line per check.

Source: Kubernetes docs, "Kubernetes API health endpoints".
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from tiphys.apiserver.seams import Context, RawRoute
from tiphys.wire.exchange import Response

TEXT: Final = {
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache, private",
}
#: Says what is wrong; empty if nothing is. Those that have to ask somebody else are awaited.
Check = Callable[[], str | Awaitable[str]]


def healthy() -> str:
    """The check that always passes: who answers at all is alive."""
    return ""


class Health:
    """Named checks. All endpoints run them; ``/readyz`` adds those of ``ready``."""

    def __init__(self, checks: Mapping[str, Check], ready: Mapping[str, Check]) -> None:
        self._checks = {"ping": healthy, "log": healthy, **checks}
        self._ready = ready

    def routes(self) -> list[RawRoute]:
        found = []
        for name in ("healthz", "livez", "readyz"):
            checks = {**self._checks, **self._ready} if name == "readyz" else self._checks
            found.append(RawRoute(f"/{name}", self._serve_all(name, checks)))
            found += [RawRoute(f"/{name}/{check}", self._serve_one(run)) for check, run in checks.items()]
        return found

    def _serve_all(self, name: str, checks: Mapping[str, Check]) -> Callable[[Context], Any]:
        async def serve(context: Context) -> Response:
            query = context.request.query
            excluded = {part for text in query.get("exclude", ()) for part in text.split(",") if part}
            problems = {check: "" if check in excluded else await _run(run) for check, run in checks.items()}
            return report(name, problems, excluded, verbose="verbose" in query)

        return serve

    def _serve_one(self, check: Check) -> Callable[[Context], Any]:
        async def serve(context: Context) -> Response:
            problem = await _run(check)
            if problem:
                return Response(500, TEXT, f"internal server error: {problem}\n".encode())
            return Response(200, TEXT, b"ok")

        return serve


async def _run(check: Check) -> str:
    problem = check()
    return problem if isinstance(problem, str) else await problem


def report(name: str, problems: Mapping[str, str], excluded: set[str], *, verbose: bool) -> Response:
    """The answer of one endpoint, from what is wrong by check. Reasons of failures stay in the log, as they may tell too much."""
    lines = []
    failed = False
    for check, problem in problems.items():
        if check in excluded:
            lines.append(f"[+]{check} excluded: ok")
        elif problem:
            failed = True
            lines.append(f"[-]{check} failed: reason withheld")
        else:
            lines.append(f"[+]{check} ok")
    unknown = sorted(excluded - set(problems))
    if unknown:
        listed = ",".join(f'"{one}"' for one in unknown)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {listed}")
    if failed:
        return Response(500, TEXT, "\n".join([*lines, f"{name} check failed", ""]).encode())
    if not verbose:
        return Response(200, TEXT, b"ok")
    return Response(200, TEXT, "\n".join([*lines, f"{name} check passed", ""]).encode())
