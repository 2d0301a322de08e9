"""Watch requests: where they begin, and the stream that they are answered with."""

import asyncio
import logging

from tiphys.apiserver.cache import ROOT, Change
from tiphys.apiserver.matching import matcher
from tiphys.apiserver.registry.endpoint import Call, Endpoint, headers_of
from tiphys.apiserver.registry.options import ListOptions, list_options
from tiphys.apiserver.registry.reading import FRESHNESS_TIMEOUT_SECONDS, candidates, too_large
from tiphys.apiserver.shapes import error_event
from tiphys.apiserver.watch import Watcher
from tiphys.machinery import errors
from tiphys.store.interface import Compacted
from tiphys.wire.exchange import Response, Sink

log = logging.getLogger(__name__)


async def watch(call: Call) -> Response:
    """A stream of events, from where the client says."""
    endpoint = call.endpoint
    attributes = call.attributes
    options = list_options(call, watch=True)
    selector = attributes.field_selector
    if attributes.name and not selector:
        selector = f"metadata.name={attributes.name}"
    select = matcher(endpoint.view, attributes.label_selector, selector)
    if attributes.name and select.name != attributes.name:
        # The name in the path is what was authorized.
        raise errors.BadRequest("fieldSelector metadata.name doesn't match requested name")
    places = (attributes.namespace if endpoint.row.namespaced else "", select.name)
    watcher = Watcher(endpoint.shaper, select, call.form, call.include, endpoint.services.clock.now, places)

    async def stream(sink: Sink) -> None:
        await _serve(endpoint, watcher, options, sink)

    return Response(200, headers_of(call.form, stream=True), stream=stream)


async def _serve(endpoint: Endpoint, watcher: Watcher, options: ListOptions, sink: Sink) -> None:
    try:
        lines = await _initial(endpoint, watcher, options)
    except errors.StatusError as problem:
        sink.write(error_event(problem, watcher.form))
        return
    try:
        await watcher.begin(sink, lines)
        await _until_end(endpoint, watcher, options, sink)
    except ConnectionError:
        log.debug("watcher left", extra={"resource": endpoint.row.plural})
    finally:
        endpoint.hub.remove(watcher)


async def _initial(endpoint: Endpoint, watcher: Watcher, options: ListOptions) -> list[bytes]:
    """The first lines of the stream. From the same moment on the watcher is told of changes."""
    cache = endpoint.services.cache
    asked = options.revision
    initial = options.send_initial_events
    state = asked in (None, 0) if initial is None else initial
    if asked is None or (initial and asked == 0):
        await cache.catch_up()
    elif initial and asked > cache.revision:
        try:
            async with asyncio.timeout(FRESHNESS_TIMEOUT_SECONDS):
                await cache.wait(asked)
        except TimeoutError as problem:
            raise too_large(asked, cache.revision) from problem
    await _prepare_state(endpoint)
    if state or not asked:
        return _state(endpoint, watcher, options, with_objects=state)
    return await _resumed(endpoint, watcher, asked)


async def _prepare_state(endpoint: Endpoint) -> None:
    """Let the view show what is there; what comes meanwhile too."""
    conversion = endpoint.conversion
    if conversion is None:
        return
    while missing := conversion.missing(endpoint.cache.entries.values()):
        await conversion.prepare(missing)


async def _prepare_changes(endpoint: Endpoint, changes: list[Change]) -> None:
    if endpoint.conversion is not None:
        await endpoint.conversion.prepare([entry for change in changes for entry in (change.new, change.old)])


def _state(endpoint: Endpoint, watcher: Watcher, options: ListOptions, *, with_objects: bool) -> list[bytes]:
    """What is there now; no await between reading and joining the hub."""
    revision = endpoint.services.cache.revision
    namespace, _ = watcher.places
    lines: list[bytes] = []
    if with_objects:
        entries = candidates(endpoint, namespace, watcher.matcher)
        if entries is None:
            entries = endpoint.cache.within(endpoint.cache.span(namespace))
        lines = [watcher.added(entry) for entry in entries if watcher.matcher.matches(entry)]
    if options.send_initial_events and options.bookmarks:
        lines.append(endpoint.shaper.bookmark(revision, watcher.form, initial_events_end=True))
    watcher.revision = revision
    endpoint.hub.add(watcher)
    return lines


async def _resumed(endpoint: Endpoint, watcher: Watcher, asked: int) -> list[bytes]:
    """What happened since ``asked``, from the cache or, further back, from the store."""
    cache = endpoint.cache
    older: list[Change] = []
    reached = asked
    while reached < cache.history_after:
        # While the store answers the cache goes on, so that its history may again begin later.
        until = cache.history_after
        older += await _from_store(endpoint, reached, until)
        reached = until
    await _prepare_changes(endpoint, older)
    changes = [*older, *cache.since(reached)]
    while endpoint.conversion is not None and endpoint.conversion.missing(
        entry for change in changes for entry in (change.new, change.old)
    ):
        await _prepare_changes(endpoint, changes)
        changes = [*older, *cache.since(reached)]
    watcher.revision = max(asked, endpoint.services.cache.revision)
    endpoint.hub.add(watcher)
    namespace, name = watcher.places
    lines = []
    for change in changes:
        entry = change.new or change.old
        if entry is None or (namespace and entry.namespace != namespace) or (name and entry.name != name):
            continue
        frame = watcher.frame(change)
        if frame is not None:
            lines.append(frame)
    return lines


async def _from_store(endpoint: Endpoint, after: int, until: int) -> list[Change]:
    """Changes of this resource in ``(after, until]``; raises Expired.

    It follows the whole store: nearly every revision is a change of something
    there, so that the change with the revision ``until`` ends it.
    """
    found: list[Change] = []
    prefix = endpoint.cache.prefix
    try:
        history = endpoint.services.store.watch(ROOT, after)
        try:
            async for batch in history:
                found.extend(
                    endpoint.cache.past_change(event)
                    for event in batch
                    if event.key.startswith(prefix) and event.mod_revision <= until
                )
                if history.revision >= until:
                    break
        finally:
            history.close()
    except Compacted as problem:
        raise errors.Expired(f"too old resource version: {after} ({problem.compact_revision})") from problem
    return found


async def _until_end(endpoint: Endpoint, watcher: Watcher, options: ListOptions, sink: Sink) -> None:
    """Wait for the time-out, the client's leaving, or the end of the server; bookmarks meanwhile."""
    config = endpoint.services.config
    loop = asyncio.get_running_loop()
    timeout = float(options.timeout_seconds)
    if not timeout:
        part = int(endpoint.services.ids.uid()[:8], 16) / 2**32
        timeout = config.watch_timeout_seconds_min * (1 + part)
    end = loop.time() + timeout
    gone = asyncio.ensure_future(sink.wait_closed())
    try:
        while (left := end - loop.time()) > 0:
            pause = min(left, config.bookmark_period_seconds) if options.bookmarks else left
            done, _ = await asyncio.wait({gone, watcher.closed}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return
            if options.bookmarks:
                endpoint.hub.deliver()
                settled = endpoint.hub.settled(endpoint.services.cache.revision)
                sink.write(endpoint.shaper.bookmark(settled, watcher.form))
    finally:
        gone.cancel()
