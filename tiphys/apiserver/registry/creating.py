"""POST: a new object."""

from typing import Any

from tiphys.apiserver import decoding
from tiphys.apiserver.entries import Entry
from tiphys.apiserver.registry import objectmeta, ownership
from tiphys.apiserver.registry.allocation import allocating
from tiphys.apiserver.registry.endpoint import Call, Endpoint
from tiphys.machinery import errors
from tiphys.resources import metadata as rules
from tiphys.resources.rules import Strategy
from tiphys.store.interface import Conflict, KeyValue
from tiphys.wire.exchange import Response

# Source: KEP-4420 Retry Generate Name.
GENERATE_NAME_ATTEMPTS = 8
# What is left of a generateName that would be too long with its suffix.
GENERATED_PREFIX_MAX = 63 - 5


async def create(call: Call) -> Response:
    """The new object, 201."""
    obj = decode_body(call)
    if call.attributes.name and obj.metadata.name != call.attributes.name:
        objectmeta.check_name(call, obj.metadata)
    entry = await create_object(call, obj)
    await call.endpoint.prepare(entry)
    return call.answer(entry, 201)


def decode_body(call: Call) -> Any:
    """The object that the body holds."""
    row = call.endpoint.row
    return decoding.decode(row.cls, call.request, row.api_version, row.kind, call.attributes.warnings)


async def create_object(call: Call, obj: Any, managed: ownership.Entries | None = None) -> Entry:
    """Write ``obj``, which no other part keeps; returns what was written.

    ``managed`` says who owns its fields, where that is not the writer.
    """
    endpoint = call.endpoint
    if endpoint.closed:
        closed = errors.MethodNotAllowed(endpoint.row.plural, "create", endpoint.row.group)
        closed.message = endpoint.closed
        raise closed
    metadata = obj.metadata
    if metadata.resourceVersion:
        # Kubernetes answers 500 without a reason here, and clients know the sentence.
        raise errors.UnknownError("resourceVersion should not be set on objects to be created", reason="")
    endpoint.row.strategy.default(obj)
    objectmeta.check_namespace(call, metadata)
    metadata.managedFields = ownership.created(call, obj) if managed is None else managed
    prefix = metadata.generateName if not metadata.name else ""
    objectmeta.fill_for_create(endpoint, metadata)
    there: KeyValue | None = None
    for attempt in range(GENERATE_NAME_ATTEMPTS if prefix else 1):
        if prefix:
            metadata.name = prefix[:GENERATED_PREFIX_MAX] + endpoint.services.ids.suffix()
        try:
            return await _prepared(call, obj) if attempt == 0 else await _written(call, obj)
        except Conflict as lost:
            there = lost.current
    if prefix:
        raise errors.GenerateNameConflict(endpoint.row.plural, metadata.name, endpoint.row.group)
    raise _already_exists(endpoint, metadata.name, there)


def _already_exists(endpoint: Endpoint, name: str, there: KeyValue | None) -> errors.StatusError:
    problem = errors.AlreadyExists(endpoint.row.plural, name, endpoint.row.group)
    found = next(endpoint.cache.entries_of([there]), None) if there is not None else None
    if found is not None and found.object.metadata.deletionTimestamp:
        problem.message = f"object is being deleted: {problem.message}"
    return problem


async def _prepared(call: Call, obj: Any) -> Entry:
    endpoint = call.endpoint
    strategy: Strategy[Any] = endpoint.row.strategy
    attributes = call.attributes
    attributes.operation = "CREATE"
    attributes.name = obj.metadata.name
    strategy.prepare_for_create(obj)
    objects = endpoint.services.objects
    if attributes.namespace and objects and objects.find("", "namespaces", "", attributes.namespace) is None:
        # Another server may have made it: admission is to judge by the newest state.
        await endpoint.services.cache.catch_up()
    await endpoint.services.admission.admit(attributes, obj, None)
    # What was authorized, and is counted, is an object of this namespace: webhooks and policies may not move it.
    objectmeta.check_namespace(call, obj.metadata)
    return await _written(call, obj)


async def _written(call: Call, obj: Any) -> Entry:
    endpoint = call.endpoint
    async with allocating(endpoint, obj, None) as allocation:
        validate_create(endpoint, obj)
        await endpoint.services.admission.validate(call.attributes, obj, None)
        call.attributes.warnings += endpoint.row.strategy.warnings(obj, None)
        metadata = obj.metadata
        key = endpoint.cache.key(metadata.namespace, metadata.name)
        if not call.dry_run:
            if endpoint.allocator is not None and key in endpoint.cache.entries:
                # Nothing is held for what is there already.
                raise Conflict(key, await endpoint.services.store.get(key))
            await allocation.hold()
        value = await endpoint.stored(obj)
        store = endpoint.services.store
        if call.dry_run:
            if endpoint.cache.entries.get(key) is not None:
                raise Conflict(key, None)
            return endpoint.entry(key, value, 0)
        revision = await store.put(key, value, expected=0, ttl_seconds=endpoint.ttl_seconds)
        await endpoint.services.cache.wait(revision)
    return endpoint.written(key, value, revision)


def validate_create(endpoint: Endpoint, obj: Any) -> None:
    """Raises Invalid with all that is wrong."""
    row = endpoint.row
    found = rules.validate_create(row, obj) + row.strategy.validate_create(obj)
    if found:
        raise errors.Invalid(row.kind, row.group, obj.metadata.name, found)
