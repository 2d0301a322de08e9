"""What the API server counts, under Kubernetes' names, in Prometheus' text format.

A request costs one dictionary look-up and a few additions: series are plain
lists, and text is made only when somebody asks for ``/metrics``.
Source: Kubernetes docs, "Kubernetes Metrics Reference"; Prometheus docs,
"Exposition formats".
"""

import os
import resource
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tiphys.apiserver.discovery import version_info
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

Key = tuple[str, str, str, str, str, str, str]


class Histogram:
    """Counts per bucket, not summed up yet."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str, labels: str) -> Iterator[str]:
        total = 0
        for bound, count in zip((*self.bounds, None), self.counts, strict=True):
            total += count
            edge = "+Inf" if bound is None else f"{bound:g}"
            yield f'{name}_bucket{{{labels},le="{edge}"}} {total}'
        yield f"{name}_sum{{{labels}}} {self.sum:.9g}"
        yield f"{name}_count{{{labels}}} {total}"


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
        self._clock = clock
        self._stored = stored
        self._started = clock.now().timestamp()
        self._series: defaultdict[Key, _Series] = defaultdict(_Series)
        self._known = {(row.group, row.version, row.plural) for row in table.RESOURCES}
        self._subresources = {sub.name for row in table.RESOURCES for sub in row.subresources}
        self._running = {"mutating": 0, "readOnly": 0}

    def begun(self, attributes: Attributes) -> tuple[_Series, str]:
        kind = "readOnly" if attributes.verb in READING else "mutating"
        self._running[kind] += 1
        series = self._series[self._key(attributes)]
        series.running += 1
        return series, kind

    def finished(self, begun: tuple[_Series, str], response: Response, seconds: float) -> None:
        series, kind = begun
        self._running[kind] -= 1
        series.running -= 1
        series.codes[response.status] = series.codes.get(response.status, 0) + 1
        series.duration.observe(seconds)
        if response.body:
            series.size.observe(len(response.body))

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
        lines = [*self._requests(), *self._gauges(), *_build(), *self._process()]
        return "\n".join([*lines, ""])

    def _requests(self) -> Iterator[str]:
        shown = [(_labels(key), series) for key, series in sorted(self._series.items())]
        yield from _head("apiserver_request_total", "counter", "Requests by what they asked for and were answered.")
        for labels, series in shown:
            for code, count in sorted(series.codes.items()):
                yield f'apiserver_request_total{{code="{code}",component="apiserver",{labels}}} {count}'
        name = "apiserver_request_duration_seconds"
        yield from _head(name, "histogram", "Seconds until the answer; for streams, until it begins.")
        for labels, series in shown:
            yield from series.duration.lines(name, f'component="apiserver",{labels}')
        name = "apiserver_response_sizes"
        yield from _head(name, "histogram", "Bytes of answers that are not streams.")
        for labels, series in shown:
            if any(series.size.counts):
                yield from series.size.lines(name, f'component="apiserver",{labels}')
        name = "apiserver_longrunning_requests"
        yield from _head(name, "gauge", "Streams that are being begun.")
        for key, series in sorted(self._series.items()):
            if key[0] in LONG:
                yield f'{name}{{component="apiserver",{_labels(key)}}} {series.running}'

    def _gauges(self) -> Iterator[str]:
        name = "apiserver_current_inflight_requests"
        yield from _head(name, "gauge", "Requests that are being served.")
        for kind, count in self._running.items():
            yield f'{name}{{request_kind="{kind}"}} {count}'
        name = "apiserver_storage_objects"
        yield from _head(name, "gauge", "Stored objects by resource.")
        for plural, count in sorted(self._stored().items()):
            yield f'{name}{{resource="{plural}"}} {count}'

    def _process(self) -> Iterator[str]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        pages = _statm()
        size = resource.getpagesize()
        files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
        for name, kind, help_, value in (
            ("process_cpu_seconds_total", "counter", "CPU time.", f"{usage.ru_utime + usage.ru_stime:.3f}"),
            ("process_open_fds", "gauge", "Open file descriptors.", str(files)),
            ("process_max_fds", "gauge", "Most open files.", str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])),
            ("process_virtual_memory_bytes", "gauge", "Virtual memory.", str(pages[0] * size)),
            ("process_resident_memory_bytes", "gauge", "Resident memory.", str(pages[1] * size)),
            ("process_start_time_seconds", "gauge", "When the server was made.", f"{self._started:.2f}"),
        ):
            yield from _head(name, kind, help_)
            yield f"{name} {value}"


def _statm() -> tuple[int, int]:
    """Virtual and resident pages; zeros where the kernel does not tell."""
    try:
        fields = Path("/proc/self/statm").read_text().split()
    except OSError:
        return 0, 0
    return int(fields[0]), int(fields[1])


def _build() -> Iterator[str]:
    info = version_info()
    yield from _head("kubernetes_build_info", "gauge", "The Kubernetes that this server behaves like.")
    pairs = (("git_version", info.gitVersion), ("major", info.major), ("minor", info.minor))
    facts = ",".join(f'{name}="{value}"' for name, value in (*pairs, ("platform", info.platform)))
    yield f"kubernetes_build_info{{{facts}}} 1"


def _head(name: str, kind: str, help_: str) -> Iterator[str]:
    yield f"# HELP {name} {help_}"
    yield f"# TYPE {name} {kind}"


def _labels(key: Key) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(LABELS, key, strict=True))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
