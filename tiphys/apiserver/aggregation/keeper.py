"""Watches over one aggregated server: is it there, what does it serve.

One task per APIService, so that a server that does not answer delays nobody
else's. It looks when its APIService, Service or EndpointSlices change and from
time to time, because the rest of the way is not to be seen from here.
Source: kube-aggregator's remote availability controller, by behaviour.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from tiphys.apiserver.aggregation import remote_documents, services
from tiphys.apiserver.aggregation.catalog import Catalog, Freshness, Remote
from tiphys.apiserver.aggregation.priorities import Priority
from tiphys.apiserver.aggregation.registration import PLURAL, APIService
from tiphys.apiserver.aggregation.services import PASSED, Address, Condition
from tiphys.apiserver.aggregation.upstream import Upstream
from tiphys.apiserver.relay.connect import Unreachable
from tiphys.apiserver.seams import Objects
from tiphys.base.clock import Clock
from tiphys.machinery import codec, errors
from tiphys.machinery.conditions import find_condition, set_condition
from tiphys.resources.apiregistration.api_service import AVAILABLE, GROUP
from tiphys.wire.exchange import Response

log = logging.getLogger(__name__)

CHECK_SECONDS: Final = 30.0
RETRY_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 5.0
ATTEMPTS: Final = 5


class Keeper:
    """Of one APIService. ``told`` is called when what the server says of its schemas is another."""

    def __init__(
        self,
        name: str,
        upstream: Upstream,
        objects: Objects,
        catalog: Catalog,
        clock: Clock,
        told: Callable[[str], None],
        before: Keeper | None = None,
    ) -> None:
        self.upstream = upstream
        #: Address of the server's document of OpenAPI v3, empty if it has none, and its part of v2.
        self.openapi_v3 = ""
        self.openapi_v2: Mapping[str, Any] = {}
        self._name = name
        self._objects = objects
        self._catalog = catalog
        self._clock = clock
        self._told = told
        self._changed = asyncio.Event()
        self._etags: dict[str, str] = {}
        # The same server with another priority or certificate serves what it did.
        self._resources: remote_documents.Entries = before._resources if before is not None else ()
        self.upstream.addresses = self._place().addresses
        self._link("Stale")
        self._task = asyncio.create_task(self._run(), name=f"apiservice-{name}")

    @property
    def group(self) -> str:
        return self.upstream.spec.group or ""

    @property
    def version(self) -> str:
        return self.upstream.spec.version or ""

    def look(self) -> None:
        """Something about it may have changed."""
        self._changed.set()

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        failures = 0
        while True:
            self._changed.clear()
            try:
                failures = 0 if await self._check() else failures + 1
            except Exception as problem:
                # Whatever the other side has sent, or the store refused: the next look may be luckier.
                failures += 1
                log.warning("APIService cannot be checked", extra={"api_service": self._name}, exc_info=problem)
            await self._wait(CHECK_SECONDS if not failures else min(CHECK_SECONDS, RETRY_SECONDS * 2 ** (failures - 1)))

    async def _wait(self, seconds: float) -> None:
        """Until something changes, at most so long."""
        waits = {asyncio.ensure_future(self._changed.wait()), asyncio.ensure_future(self._clock.sleep(seconds))}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _check(self) -> bool:
        """Look, write down what was found, and learn what is served. False: look again soon."""
        service = self._objects.find(GROUP, PLURAL, "", self._name)
        if service is None or service.spec.service is None:
            return True
        place = self._place()
        self.upstream.addresses = place.addresses
        condition = place.problem or await self._asked(place.addresses)
        await self._write(service, condition)
        if condition is PASSED:
            return await self._learn()
        self._link("Stale")
        return place.problem is not None

    def _place(self) -> services.Place:
        reference = self.upstream.spec.service
        assert reference is not None
        namespace = reference.namespace or ""
        return services.place_of(
            reference,
            self._objects.find("", "services", namespace, reference.name or ""),
            self._objects.all("discovery.k8s.io", "endpointslices", namespace),
        )

    async def _asked(self, addresses: Sequence[Address]) -> Condition:
        """Whether any of the addresses answers."""
        chosen = list(addresses)[:ATTEMPTS]
        tasks = [asyncio.ensure_future(self._problem_of(address)) for address in chosen]
        problem = ""
        try:
            for task in asyncio.as_completed(tasks):
                problem = await task
                if not problem:
                    return PASSED
        finally:
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return services.unavailable("FailedDiscoveryCheck", problem)

    async def _problem_of(self, address: Address) -> str:
        path = f"/apis/{self.group}/{self.version}"
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        url = f"https://{host}:{address[1]}{path}"
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self.upstream.fetch(path, {"accept": "application/json"}, address)
        except TimeoutError:
            return f"timed out waiting for {url}"
        except Unreachable as problem:
            return f'failing or missing response from {url}: Get "{url}": {problem}'
        if not 200 <= answer.status < 300:
            return f"failing or missing response from {url}: bad status from {url}: {answer.status}"
        return ""

    async def _write(self, service: APIService, condition: Condition) -> None:
        """The status, if it says anything else. A lost race is no problem: the change brings us here again."""
        old = find_condition(service.status.conditions, AVAILABLE)
        facts = (condition.status, condition.reason, condition.message)
        if old is not None and (old.status, old.reason, old.message) == facts:
            self.upstream.available = condition.status == "True"
            return
        mine = codec.copy(service)
        mine.status.conditions = set_condition(service.status.conditions, condition, self._clock.now())
        with suppress(errors.NotFound, errors.Conflict):
            await self._objects.update(mine, "status")

    async def _learn(self) -> bool:
        """Read its documents again, as far as they have changed."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._learn_resources()
        except (TimeoutError, Unreachable, ValueError) as problem:
            log.warning("discovery of an aggregated server failed: %s", problem, extra={"api_service": self._name})
            self._link("Stale")
            return False
        self._link("Current")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._learn_schemas()
        except (TimeoutError, Unreachable, ValueError) as problem:
            log.warning("OpenAPI of an aggregated server failed: %s", problem, extra={"api_service": self._name})
            return False
        return True

    async def _learn_resources(self) -> None:
        answer = await self._fetched("/apis", remote_documents.DISCOVERY_FORMS)
        if answer is not None and answer.status == 304:
            return
        found: remote_documents.Entries | None = None
        if answer is not None and "as=APIGroupDiscoveryList" in answer.headers.get("content-type", ""):
            found = remote_documents.from_aggregated(answer.body, self.group, self.version)
        if found is None:
            # The other list may change while this one does not.
            self._etags.pop("/apis", None)
            plain = await self._fetched(f"/apis/{self.group}/{self.version}", "application/json")
            if plain is None:
                raise ValueError("it does not say what it serves")
            if plain.status == 304:
                return
            found = remote_documents.from_list(plain.body, self.group, self.version)
        self._resources = found

    async def _learn_schemas(self) -> None:
        before = (self.openapi_v3, self.openapi_v2)
        index = await self._fetched("/openapi/v3", "application/json")
        if index is None or index.status == 200:
            path = f"apis/{self.group}/{self.version}"
            self.openapi_v3 = remote_documents.openapi_v3_address(index.body, path) if index is not None else ""
        whole = await self._fetched("/openapi/v2", "application/json")
        if whole is None or whole.status == 200:
            part = remote_documents.openapi_v2_part
            # A document of megabytes is not taken apart on the event loop.
            self.openapi_v2 = (
                {} if whole is None else await asyncio.to_thread(part, whole.body, self.group, self.version)
            )
        if before != (self.openapi_v3, self.openapi_v2):
            self._told(self.group)

    async def _fetched(self, path: str, accept: str) -> Response | None:
        """An answer with 200, or with 304 if it is the one we know; None for any other."""
        headers = {"accept": accept}
        if path in self._etags:
            headers["if-none-match"] = self._etags[path]
        answer = await self.upstream.fetch(path, headers)
        if answer.status == 200:
            etag = answer.headers.get("etag", "")
            self._etags.pop(path, None)
            if etag:
                self._etags[path] = etag
        return answer if answer.status in (200, 304) else None

    def _link(self, freshness: Freshness) -> None:
        spec = self.upstream.spec
        priority = Priority(spec.groupPriorityMinimum, spec.versionPriority)
        self._catalog.link(self.group, self.version, Remote(priority, tuple(self._resources), freshness))
