"""How parts of a simulated cluster reach its API server: in memory, with faults on demand.

Watches last as long as their reader does unless a fault ends them. Over HTTPS
they end every few minutes, to be spread over connections; here that would only
cost time, thousands of times in a virtual month.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from tiphys.api import meta_v1
from tiphys.apiserver.requestinfo import attributes_of
from tiphys.client import InProcessTransport, TransportError
from tiphys.client.transport import Stream
from tiphys.machinery import codec
from tiphys.testing import stale
from tiphys.wire.exchange import Handler, Request, Response, Sink, UserInfo

#: Tells the other half of the transport how late a watch's events are to come.
DELAY = "x-simulated-delay"
#: Why the API refuses, by code.
REASONS = {
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(slots=True)
class Fault:
    """Calls that match meet it; empty fields match all. ``met`` counts how many have."""

    #: The status of the refusal; 0 loses the connection before the server has seen the call.
    code: int = 0
    #: Lost after the server has acted, so that the caller does not know.
    after: bool = False
    #: How late the call arrives; of a watch, how late each of its events does.
    delay_seconds: float = 0.0
    #: Reads are answered as they would have been at this revision; 0: as they are.
    stale_revision: int = 0
    verb: str = ""
    resource: str = ""
    #: Whose calls: ``controllers``, ``scheduler``, a node's name, ``test``.
    component: str = ""
    #: How many calls it is for.
    times: float = 1
    met: int = 0


@dataclass(slots=True)
class Faults:
    """What goes wrong between the components and the API server."""

    _active: list[Fault] = field(default_factory=list)
    #: Running watches: resource, whose, and the task that serves it.
    watches: list[tuple[str, str, "asyncio.Task[None]"]] = field(default_factory=list)
    #: Components that reach nobody.
    partitioned: set[str] = field(default_factory=set)

    def inject(self, fault: Fault) -> Fault:
        """Have it met by the next calls that match; returned, for its count."""
        self._active.append(fault)
        return fault

    def end(self, fault: Fault) -> None:
        """From here on no call meets it."""
        if fault in self._active:
            self._active.remove(fault)

    def clear(self) -> None:
        """From here on all goes well."""
        self._active.clear()
        self.partitioned.clear()

    def partition(self, component: str) -> None:
        """Cut the component off: its watches end and its calls fail until ``heal``."""
        self.partitioned.add(component)
        self.cut_watches(component=component)

    def heal(self, component: str) -> None:
        self.partitioned.discard(component)

    def cut_watches(self, resource: str = "", component: str = "") -> int:
        """End the running watches of a resource, or all; how many that were."""
        cut = [entry for entry in self.watches if resource in ("", entry[0]) and component in ("", entry[1])]
        for _, _, task in cut:
            task.cancel()
        return len(cut)

    def find(self, component: str, verb: str, resource: str) -> Fault | None:
        """The fault that this call meets."""
        if component in self.partitioned:
            return Fault()
        for fault in self._active:
            if fault.stale_revision and verb not in ("get", "list"):
                continue
            wanted = (fault.component in ("", component), fault.verb in ("", verb), fault.resource in ("", resource))
            if all(wanted):
                fault.met += 1
                if fault.met >= fault.times:
                    self._active.remove(fault)
                return fault
        return None

    @property
    def any(self) -> bool:
        return bool(self._active or self.partitioned)


class LateSink:
    """What is written arrives ``seconds`` later, in order."""

    def __init__(self, sink: Sink, seconds: float) -> None:
        self._sink = sink
        self._seconds = seconds
        # Timers of one instant come in any order.
        self._late: deque[bytes] = deque()

    def write(self, data: bytes) -> None:
        self._late.append(data)
        asyncio.get_running_loop().call_later(self._seconds, lambda: self._sink.write(self._late.popleft()))

    def buffered_bytes(self) -> int:
        return self._sink.buffered_bytes()

    async def drain(self) -> None:
        await self._sink.drain()

    async def wait_closed(self) -> None:
        await self._sink.wait_closed()


class SimulatedTransport(InProcessTransport):
    """One component's way to the API server."""

    def __init__(
        self, handler: Handler, user: UserInfo | None, component: str, faults: Faults, called: Callable[[], None]
    ) -> None:
        super().__init__(self._handle, user)
        self._server = handler
        self._component = component
        self._faults = faults
        self._called = called

    async def send(self, request: Request) -> Response:
        self._called()
        fault = self._meet(request) if self._faults.any else None
        if fault is None:
            return await super().send(request)
        if fault.stale_revision:
            return await stale.answer(super().send, request, fault.stale_revision)
        if fault.delay_seconds:
            await asyncio.sleep(fault.delay_seconds)
            if not fault.code and not fault.after:
                return await super().send(request)
        if fault.after:
            await super().send(request)
            raise TransportError(f"{request.method} {request.path}: the answer was lost", sent=True)
        if not fault.code:
            raise TransportError(f"{request.method} {request.path}: the connection was lost", sent=False)
        return _refusal(fault.code)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Stream]:
        fault = self._meet(request) if self._faults.any else None
        headers = dict(request.headers)
        if fault is not None and fault.delay_seconds:
            headers[DELAY] = str(fault.delay_seconds)
        elif fault is not None:
            if not fault.code:
                raise TransportError(f"{request.path}: the connection was lost", sent=False)
            refusal = _refusal(fault.code)
            yield Stream(refusal.status, refusal.headers, _chunks(refusal.body))
            return
        query = {name: values for name, values in request.query.items() if name != "timeoutSeconds"}
        async with super().stream(replace(request, query=query, headers=headers)) as answer:
            yield answer

    async def _handle(self, request: Request) -> Response:
        """The server's answer; a watch is noted, so that it can be cut."""
        response = await self._server(request)
        serve = response.stream
        if serve is None:
            return response

        async def watched(sink: Sink) -> None:
            task = asyncio.current_task()
            assert task is not None
            entry = (attributes_of(request).resource, self._component, task)
            self._faults.watches.append(entry)
            delay = float(request.headers.get(DELAY, "0"))
            try:
                await serve(LateSink(sink, delay) if delay else sink)
            finally:
                self._faults.watches.remove(entry)

        return Response(response.status, response.headers, stream=watched)

    def _meet(self, request: Request) -> Fault | None:
        found = attributes_of(request)
        return self._faults.find(self._component, found.verb, found.resource)


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _refusal(code: int) -> Response:
    reason = REASONS.get(code, "Unknown")
    status = meta_v1.Status(status="Failure", message=f"simulated: {reason}", reason=reason, code=code)
    headers = {"Content-Type": "application/json"} | ({"Retry-After": "1"} if code == 429 else {})
    return Response(code, headers, codec.encode(status))
