"""What the API server counts, under Kubernetes' names, in Prometheus' text format.

A request costs one dictionary look-up and a few additions: series are plain
lists, and text is made only when somebody asks for ``/metrics``. Other parts
contribute by ``add``: a function that yields their lines.
Source: Kubernetes docs, "Kubernetes Metrics Reference"; Prometheus docs,
"Exposition formats".
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tiphys.apiserver import process
from tiphys.apiserver.instruments import Histogram, escaped, head, labelled
from tiphys.apiserver.seams import Attributes, Context, RawRoute
from tiphys.base.clock import Clock
from tiphys.resources import table
from tiphys.wire.exchange import Response

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
DURATION_BUCKETS: Final = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0),
    *(3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0),
)
SIZE_BUCKETS: Final = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
VERBS: Final = {"create": "POST", "update": "PUT", "get": "GET"}
READING: Final = frozenset({"get", "list", "watch", "head", "options"})
KNOWN: Final = READING | {"create", "update", "patch", "delete", "deletecollection", "post", "put"}
CONNECTING: Final = frozenset({"attach", "exec", "portforward", "proxy"})
LONG: Final = frozenset({"WATCH", "CONNECT"})
LABELS: Final = ("verb", "dry_run", "group", "version", "resource", "subresource", "scope")
#: Codes of requests that were not served but cut off.
TERMINATED: Final = frozenset({429, 503, 504})

Key = tuple[str, str, str, str, str, str, str]


class _Series:
    """All that is counted for one kind of request."""

    __slots__ = ("codes", "duration", "running", "size")

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.duration = Histogram(DURATION_BUCKETS)
        self.size = Histogram(SIZE_BUCKETS)
        self.running = 0


class Metrics:
    """``seams.Observer``, and the route that shows what it saw. ``stored`` counts objects per resource."""

    def __init__(self, clock: Clock, stored: Callable[[], Mapping[str, int]]) -> None:
        self._stored = stored
        self._started = clock.now().timestamp()
        self._series: defaultdict[Key, _Series] = defaultdict(_Series)
        self._known = {(row.group, row.version, row.plural) for row in table.RESOURCES}
        self._subresources = {sub.name for row in table.RESOURCES for sub in row.subresources}
        self._running = {"mutating": 0, "readOnly": 0}
        self._more: list[Callable[[], Iterator[str]]] = []

    def add(self, lines: Callable[[], Iterator[str]]) -> None:
        """Show these lines too, each time somebody asks."""
        self._more.append(lines)

    def begun(self, attributes: Attributes) -> tuple[_Series, str]:
        kind = "readOnly" if attributes.verb in READING else "mutating"
        self._running[kind] += 1
        series = self._series[self._key(attributes)]
        series.running += 1
        return series, kind

    def finished(self, begun: tuple[_Series, str], response: Response, seconds: float) -> None:
        series, kind = begun
        self._running[kind] -= 1
        if response.stream is None:
            series.running -= 1
        series.codes[response.status] = series.codes.get(response.status, 0) + 1
        series.duration.observe(seconds)
        if response.body:
            series.size.observe(len(response.body))

    def stream_ended(self, begun: tuple[_Series, str]) -> None:
        begun[0].running -= 1

    def _key(self, asked: Attributes) -> Key:
        verb = asked.verb
        dry_run = "All" if asked.dry_run else ""
        # Anybody can invent names; they must not fill the memory.
        if not asked.is_resource_request or (asked.group, asked.version, asked.resource) not in self._known:
            return (VERBS.get(verb, verb.upper()) if verb in KNOWN else "OTHER", dry_run, "", "", "", "", "")
        shown = "CONNECT" if asked.subresource in CONNECTING else VERBS.get(verb, verb.upper())
        scope = "resource" if asked.name else "namespace" if asked.namespace else "cluster"
        subresource = asked.subresource if asked.subresource in self._subresources else ""
        return (shown, dry_run, asked.group, asked.version, asked.resource, subresource, scope)

    def routes(self) -> list[RawRoute]:
        return [RawRoute("/metrics", self._serve)]

    async def _serve(self, context: Context) -> Response:
        return Response(200, {"Content-Type": CONTENT_TYPE}, self.text().encode())

    def text(self) -> str:
        """Everything, as Prometheus reads it."""
        lines = [*self._requests(), *self._gauges(), *self._authentication()]
        for more in self._more:
            lines += more()
        lines += [*process.build_lines(), *process.lines(self._started)]
        return "\n".join([*lines, ""])

    def _requests(self) -> Iterator[str]:
        shown = [(_labels(key), series) for key, series in sorted(self._series.items())]
        name = "apiserver_request_total"
        yield from head(name, "counter", "Requests by what they asked for and were answered.")
        for labels, series in shown:
            for code, count in sorted(series.codes.items()):
                yield f'{name}{{code="{code}",component="apiserver",{labels}}} {count}'
        for name in ("apiserver_request_duration_seconds", "apiserver_request_sli_duration_seconds"):
            yield from head(name, "histogram", "Seconds until the answer; for streams, until it begins.")
            for labels, series in shown:
                yield from series.duration.lines(name, f'component="apiserver",{labels}')
        name = "apiserver_response_sizes"
        yield from head(name, "histogram", "Bytes of answers that are not streams.")
        for labels, series in shown:
            if any(series.size.counts):
                yield from series.size.lines(name, f'component="apiserver",{labels}')
        yield from self._cut_off(shown)

    def _cut_off(self, shown: list[tuple[str, _Series]]) -> Iterator[str]:
        name = "apiserver_request_terminations_total"
        yield from head(name, "counter", "Requests that were cut off, to protect the server or by time.")
        for labels, series in shown:
            for code in sorted(TERMINATED & set(series.codes)):
                yield f'{name}{{code="{code}",component="apiserver",{labels}}} {series.codes[code]}'
        name = "apiserver_request_aborts_total"
        yield from head(name, "counter", "Requests whose client has left before there was an answer.")
        for labels, series in shown:
            if 0 in series.codes:
                yield f"{name}{{{labels}}} {series.codes[0]}"

    def _gauges(self) -> Iterator[str]:
        name = "apiserver_longrunning_requests"
        yield from head(name, "gauge", "Watches and other long answers that are under way.")
        for key, series in sorted(self._series.items()):
            if key[0] in LONG:
                yield f'{name}{{component="apiserver",{_labels(key)}}} {series.running}'
        name = "apiserver_current_inflight_requests"
        yield from head(name, "gauge", "Requests that are being served.")
        for kind, count in self._running.items():
            yield f'{name}{{request_kind="{kind}"}} {count}'
        stored = sorted(self._stored().items())
        name = "apiserver_storage_objects"
        yield from head(name, "gauge", "Stored objects by resource.")
        for plural, count in stored:
            yield f'{name}{{resource="{plural}"}} {count}'
        name = "apiserver_resource_objects"
        yield from head(name, "gauge", "Stored objects by group and resource.")
        for full, count in stored:
            plural, _, group = full.partition(".")
            yield f'{name}{{group="{group}",resource="{plural}"}} {count}'

    def _authentication(self) -> Iterator[str]:
        """Whoever was not told that he is nobody was somebody."""
        totals: defaultdict[bool, int] = defaultdict(int)
        for series in self._series.values():
            for code, count in series.codes.items():
                totals[code == 401] += count
        yield from head("authentication_attempts", "counter", "Requests by whether their credentials were good.")
        for failed, result in ((False, "success"), (True, "failure")):
            yield f'authentication_attempts{{result="{result}"}} {totals[failed]}'


def watch_lines(told: Mapping[tuple[str, str, str], int]) -> Iterator[str]:
    """Events by group, version and plural of what is watched."""
    name = "apiserver_watch_events_total"
    yield from head(name, "counter", "Events that watchers were told.")
    for (group, version, resource), count in sorted(told.items()):
        if count:
            labels = labelled({"group": group, "resource": resource, "version": version})
            yield f"{name}{{{labels}}} {count}"


def _labels(key: Key) -> str:
    return ",".join(f'{name}="{escaped(value)}"' for name, value in zip(LABELS, key, strict=True))
