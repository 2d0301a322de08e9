"""Get and list, from the cache wherever it can answer.

Without a resourceVersion the answer is at least as new as every write that was
answered before (KEP-2340 Consistent reads from cache); pages of one list show
one revision, from the store's history once the cache has moved on.
"""

import asyncio
from collections.abc import Iterable

from tiphys.api import meta_v1
from tiphys.apiserver import pagination
from tiphys.apiserver.entries import Entry, Unprepared
from tiphys.apiserver.matching import Matcher, matcher
from tiphys.apiserver.registry.endpoint import Call, Endpoint, headers_of
from tiphys.apiserver.registry.options import ListOptions, list_options, revision_of
from tiphys.apiserver.shapes import Page
from tiphys.machinery import errors
from tiphys.store.interface import Compacted, FutureRevision
from tiphys.wire.exchange import Response

# How long a reader waits for a revision that has not been reached. Source: apiserver's cacher.
FRESHNESS_TIMEOUT_SECONDS = 3.0


async def get(call: Call) -> Response:
    """One object."""
    endpoint = call.endpoint
    cache = endpoint.services.cache
    version = call.query("resourceVersion")
    if not version:
        await cache.catch_up()
    elif revision := revision_of(version):
        await _reach(endpoint, revision)
    attributes = call.attributes
    entry = endpoint.cache.find(attributes.namespace, attributes.name)
    if entry is None:
        raise endpoint.missing(attributes)
    await endpoint.prepare(entry)
    return call.answer(entry)


async def list_(call: Call) -> Response:
    """A list, or one page of it."""
    endpoint = call.endpoint
    page = await list_page(call)
    body = endpoint.shaper.list(page, call.form, endpoint.services.clock.now(), call.include)
    return Response(200, headers_of(call.form), body)


async def list_page(call: Call) -> Page:
    """The entries that a list (or the deletion of a collection) asks for."""
    attributes = call.attributes
    options = list_options(call)
    select = matcher(call.endpoint.view, attributes.label_selector, attributes.field_selector)
    endpoint = call.endpoint
    if endpoint.conversion is None:
        return await _page(endpoint, attributes.namespace, options, select)
    while True:
        try:
            page = await _page(endpoint, attributes.namespace, options, select)
        except Unprepared as found:
            # A field selector has met an object that no webhook has converted yet.
            await endpoint.conversion.prepare([*endpoint.cache.entries.values(), found.entry])
            continue
        await endpoint.conversion.prepare(page.entries)
        return page


async def _page(endpoint: Endpoint, namespace: str, options: ListOptions, select: Matcher) -> Page:
    prefix = endpoint.cache.span(namespace)
    if options.continue_token:
        return await _next_page(endpoint, prefix, options, select)
    cache = endpoint.services.cache
    if options.revision is None:
        await cache.catch_up()
    elif options.revision:
        await _reach(endpoint, options.revision)
        exact = options.match == "Exact" or (options.limit > 0 and not options.match)
        if exact and endpoint.cache.changed > options.revision:
            entries = await _past(endpoint, prefix, "", options.revision)
            return _cut(entries, prefix, options.limit, select, options.revision)
        if exact:
            return await _from_cache(endpoint, prefix, "", options, select, options.revision)
    chosen = candidates(endpoint, namespace, select)
    if chosen is not None:
        return _cut(chosen, prefix, options.limit, select, cache.revision)
    return await _from_cache(endpoint, prefix, "", options, select, cache.revision)


def candidates(endpoint: Endpoint, namespace: str, select: Matcher) -> list[Entry] | None:
    """The few entries among which all matching ones are, if the selector tells; None: all."""
    if select.name and (namespace or not endpoint.row.namespaced):
        found = endpoint.cache.find(namespace, select.name)
        return [found] if found else []
    return endpoint.cache.indexed(endpoint.cache.span(namespace), select.exact)


async def _from_cache(
    endpoint: Endpoint, prefix: str, start: str, options: ListOptions, select: Matcher, revision: int
) -> Page:
    """A page of what is there now. It costs what the page holds, not what there is."""
    cache, limit = endpoint.cache, options.limit
    if not limit or endpoint.conversion is not None:
        return _cut(cache.within(prefix, start), prefix, limit, select, revision)
    if not select.empty:
        return _first(cache.walk(prefix, start), prefix, limit, select, revision)
    entries = cache.within(prefix, start, limit)
    left = cache.count(prefix, start) - len(entries)
    return Page(entries, revision, _token(entries[-1], prefix, revision), left) if left else Page(entries, revision)


async def _next_page(endpoint: Endpoint, prefix: str, options: ListOptions, select: Matcher) -> Page:
    if options.revision:
        raise errors.BadRequest("specifying resource version is not allowed when using continue")
    position = pagination.decode(options.continue_token)
    start = prefix + position.start
    cache = endpoint.services.cache
    if not position.revision:
        await cache.catch_up()
        return await _from_cache(endpoint, prefix, start, options, select, cache.revision)
    if endpoint.cache.changed <= position.revision <= cache.revision:
        return await _from_cache(endpoint, prefix, start, options, select, position.revision)
    try:
        entries = await _past(endpoint, prefix, start, position.revision)
    except errors.Expired as problem:
        raise pagination.ExpiredPage(position.start) from problem
    return _cut(entries, prefix, options.limit, select, position.revision)


async def _past(endpoint: Endpoint, prefix: str, start: str, revision: int) -> list[Entry]:
    """Entries as they were at ``revision``."""
    try:
        found = await endpoint.services.store.range(prefix, start=start, revision=revision)
    except Compacted as problem:
        raise errors.Expired("The resourceVersion for the provided list is too old.") from problem
    except FutureRevision as problem:
        raise too_large(revision, endpoint.services.cache.revision) from problem
    return list(endpoint.cache.entries_of(found.items))


def _cut(entries: list[Entry], prefix: str, limit: int, select: Matcher, revision: int) -> Page:
    """The first ``limit`` entries that match, and where the next page begins."""
    if not limit:
        matching = entries if select.empty else [entry for entry in entries if select.matches(entry)]
        return Page(matching, revision)
    if select.empty:
        if len(entries) <= limit:
            return Page(entries, revision)
        token = _token(entries[limit - 1], prefix, revision)
        return Page(entries[:limit], revision, token, len(entries) - limit)
    return _first(entries, prefix, limit, select, revision)


def _first(entries: Iterable[Entry], prefix: str, limit: int, select: Matcher, revision: int) -> Page:
    """The first ``limit`` entries that match, without looking at those behind them."""
    page: list[Entry] = []
    for entry in entries:
        if select.matches(entry):
            if len(page) == limit:
                return Page(page, revision, _token(page[-1], prefix, revision))
            page.append(entry)
    return Page(page, revision)


def _token(last: Entry, prefix: str, revision: int) -> str:
    """Leads to the first key behind ``last``."""
    return pagination.encode(pagination.Position(revision, last.key[len(prefix) :] + "\0"))


async def _reach(endpoint: Endpoint, revision: int) -> None:
    """Wait a little for ``revision``; raises Timeout."""
    cache = endpoint.services.cache
    if cache.revision >= revision:
        return
    try:
        async with asyncio.timeout(FRESHNESS_TIMEOUT_SECONDS):
            await cache.wait(revision)
    except TimeoutError as problem:
        raise too_large(revision, cache.revision) from problem


def too_large(revision: int, current: int) -> errors.StatusError:
    """A client is ahead of this server."""
    problem = errors.Timeout(f"Too large resource version: {revision}, current: {current}", 1)
    cause = meta_v1.StatusCause(reason="ResourceVersionTooLarge", message="Too large resource version")
    assert problem.details is not None
    problem.details.causes = [cause]
    return problem
