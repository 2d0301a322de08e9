"""``/livez``, ``/readyz`` and ``/healthz``: one word, or with ``?verbose`` one line per check.

Source: Kubernetes docs, "Kubernetes API health endpoints".
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

from tiphys.apiserver.instruments import head
from tiphys.apiserver.seams import Context, RawRoute
from tiphys.wire.exchange import Response

TEXT: Final = {
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache, private",
}
METRICS: Final = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"}
#: Says what is wrong; empty if nothing is. Those that have to ask somebody else are awaited.
Check = Callable[[], str | Awaitable[str]]
#: What kube-apiserver starts once it listens, by the name of its check. Here one start does it all.
HOOKS: Final = (
    "start-apiserver-admission-initializer",
    "generic-apiserver-start-informers",
    "priority-and-fairness-config-consumer",
    "priority-and-fairness-filter",
    "storage-object-count-tracker-hook",
    "start-apiextensions-informers",
    "start-apiextensions-controllers",
    "crd-informer-synced",
    "start-system-namespaces-controller",
    "start-cluster-authentication-info-controller",
    "start-kube-apiserver-identity-lease-controller",
    "start-kube-apiserver-identity-lease-garbage-collector",
    "start-legacy-token-tracking-controller",
    "start-service-ip-repair-controllers",
    "rbac/bootstrap-roles",
    "scheduling/bootstrap-system-priority-classes",
    "priority-and-fairness-config-producer",
    "bootstrap-controller",
    "start-kubernetes-service-cidr-controller",
    "aggregator-reload-proxy-client-cert",
    "start-kube-aggregator-informers",
    "apiservice-status-local-available-controller",
    "apiservice-status-remote-available-controller",
    "apiservice-registration-controller",
    "apiservice-discovery-controller",
    "kube-apiserver-autoregistration",
)
LATE_HOOKS: Final = ("apiservice-openapi-controller", "apiservice-openapiv3-controller")


def healthy() -> str:
    """The check that always passes: who answers at all is alive."""
    return ""


def hooks(started: Check) -> dict[str, Check]:
    """The checks of all that begins with the server, in kube-apiserver's order."""
    names = [f"poststarthook/{name}" for name in HOOKS]
    names += ["autoregister-completion", *(f"poststarthook/{name}" for name in LATE_HOOKS)]
    return dict.fromkeys(names, started)


class Health:
    """Named checks. ``ready`` are those of ``/readyz`` alone: first those before the hooks, last ``shutdown``."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        ready: Mapping[str, Check],
        started: Check = healthy,
        leaving: Check = healthy,
    ) -> None:
        base = {"ping": healthy, "log": healthy, **checks}
        begun = hooks(started)
        self._endpoints = {
            "healthz": {**base, **begun},
            "livez": {**base, **begun},
            "readyz": {**base, **ready, "informer-sync": started, **begun, "shutdown": leaving},
        }
        self._outcomes: Counter[tuple[str, str, str]] = Counter()
        #: By endpoint and check.
        self._latest: dict[tuple[str, str], str] = {}

    def routes(self) -> list[RawRoute]:
        found = [RawRoute("/metrics/slis", self._slis)]
        for name, checks in self._endpoints.items():
            found.append(RawRoute(f"/{name}", self._serve_all(name, checks)))
            found += [RawRoute(f"/{name}/{check}", self._serve_one(name, check, run)) for check, run in checks.items()]
        return found

    def _serve_all(self, name: str, checks: Mapping[str, Check]) -> Callable[[Context], Any]:
        async def serve(context: Context) -> Response:
            query = context.request.query
            excluded = {part for text in query.get("exclude", ()) for part in text.split(",") if part}
            problems = {
                check: "" if check in excluded else await self._run(name, check, run) for check, run in checks.items()
            }
            return report(name, problems, excluded, verbose="verbose" in query)

        return serve

    def _serve_one(self, name: str, check: str, run: Check) -> Callable[[Context], Any]:
        async def serve(context: Context) -> Response:
            problem = await self._run(name, check, run)
            if problem:
                return Response(500, TEXT, f"internal server error: {problem}\n".encode())
            return Response(200, TEXT, b"ok")

        return serve

    async def _run(self, name: str, check: str, run: Check) -> str:
        problem = run()
        found = problem if isinstance(problem, str) else await problem
        outcome = self._latest[name, check] = "error" if found else "success"
        self._outcomes[name, check, outcome] += 1
        return found

    async def _slis(self, context: Context) -> Response:
        # Those that nobody has asked yet are asked now.
        for name, checks in self._endpoints.items():
            for check, run in checks.items():
                await self._run(name, check, run)
        return Response(200, METRICS, "\n".join([*self._lines(), ""]).encode())

    def _lines(self) -> Iterator[str]:
        name = "kubernetes_healthcheck"
        yield from head(name, "gauge", "Whether a check passes.")
        for (endpoint, check), outcome in sorted(self._latest.items()):
            yield f'{name}{{name="{check}",type="{endpoint}"}} {int(outcome == "success")}'
        name = "kubernetes_healthchecks_total"
        yield from head(name, "counter", "Results of checks.")
        for (endpoint, check, outcome), count in sorted(self._outcomes.items()):
            yield f'{name}{{name="{check}",status="{outcome}",type="{endpoint}"}} {count}'


def report(name: str, problems: Mapping[str, str], excluded: set[str], *, verbose: bool) -> Response:
    """The answer of one endpoint, from what is wrong by check.

    Reasons of failures stay in the log, as they may tell too much.
    """
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
