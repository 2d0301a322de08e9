"""Puts together what stands around every request: flow control, audit, metrics, health, pages for the curious."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from tiphys.apiserver import process
from tiphys.apiserver.audit import metrics as audit_metrics
from tiphys.apiserver.audit.assembly import auditor_of
from tiphys.apiserver.config import ApiServerConfig, SecurityConfig
from tiphys.apiserver.flowcontrol import FlowControl, InFlight, maintenance
from tiphys.apiserver.flowcontrol import metrics as flow_metrics
from tiphys.apiserver.flowcontrol.dump import Dumps
from tiphys.apiserver.health import Check, Health
from tiphys.apiserver.lifecycle import Lifecycle
from tiphys.apiserver.metrics import Metrics
from tiphys.apiserver.seams import Objects, RawRoute
from tiphys.apiserver.zpages.flags import values_of
from tiphys.apiserver.zpages.logs import Logs
from tiphys.apiserver.zpages.pages import Pages
from tiphys.apiserver.zpages.pprof import Pprof
from tiphys.base.clock import Clock


class Flow:
    """Of one server. Raises what ``auditor_of`` raises."""

    def __init__(
        self,
        config: ApiServerConfig,
        security: SecurityConfig,
        objects: Objects,
        clock: Clock,
        stored: Callable[[], Mapping[str, int]],
    ) -> None:
        self._config = config
        self._security = security
        self._objects = objects
        self._clock = clock
        self._begun = False
        self.lifecycle = Lifecycle()
        self.metrics = Metrics(clock, stored)
        self.auditor = auditor_of(config.audit, clock)
        if self.auditor is not None:
            audit = self.auditor
            self.metrics.add(lambda: audit_metrics.lines(audit))
        self.metrics.add(lambda: process.feature_lines(config.feature_gates))
        self.gate = self._made_gate()

    def _made_gate(self) -> FlowControl | InFlight:
        config = self._config
        reading, mutating = config.requests_in_flight_max, config.mutating_in_flight_max
        if not config.priority_and_fairness:
            return InFlight(reading, mutating)
        control = FlowControl(self._objects, self._clock, reading + mutating, config.request_timeout_seconds)

        def lines() -> Iterator[str]:
            return flow_metrics.lines(control)

        self.metrics.add(lines)
        return control

    def routes(self, checks: Mapping[str, Check], ready: Mapping[str, Check]) -> list[RawRoute]:
        """``checks`` are those of what the server stands on, ``ready`` those of ``/readyz`` alone."""
        config = self._config
        routes = Health(checks, ready, self._not_begun, self._leaving).routes()
        routes += self.metrics.routes()
        routes += Pages(self._clock, lambda: values_of(config, self._security)).routes()
        if isinstance(self.gate, FlowControl):
            routes += Dumps(self.gate).routes()
        if config.profiling:
            routes += Pprof().routes()
        if config.logs_directory:
            routes += Logs(config.logs_directory).routes()
        return routes

    def _not_begun(self) -> str:
        return "" if self._begun else "not finished"

    def _leaving(self) -> str:
        return "process is shutting down" if self.lifecycle.leaving else ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Entered last of all that starts: from then on the server is ready."""
        async with contextlib.AsyncExitStack() as stack:
            if self.auditor is not None:
                stack.push_async_callback(self.auditor.close)
            if isinstance(self.gate, FlowControl):
                await stack.enter_async_context(maintenance.keeping(self._objects, self._clock))
            self._begun = True
            yield
