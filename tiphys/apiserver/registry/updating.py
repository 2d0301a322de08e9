"""PUT and PATCH: a stored object replaced by a changed one, without losing anybody's write.

Every write names the revision that it was made from. If the object has changed
meanwhile, a client who named a resourceVersion is told so; for others the
change is made again on the newer object.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tiphys.apiserver.decoding import check_kind
from tiphys.apiserver.entries import Entry
from tiphys.apiserver.negotiation import content_type
from tiphys.apiserver.patching import APPLY_PATCH, patch_of
from tiphys.apiserver.registry import applying, objectmeta, ownership
from tiphys.apiserver.registry.allocation import allocating
from tiphys.apiserver.registry.creating import create_object, decode_body
from tiphys.apiserver.registry.endpoint import Call, Endpoint
from tiphys.machinery import errors, fields
from tiphys.resources import metadata as rules
from tiphys.resources.rules import Strategy
from tiphys.store.interface import Conflict
from tiphys.wire.exchange import Response

# Each lost race means that somebody else's write was taken; so many in a row are a fault of ours.
ATTEMPTS_MAX = 1000
# An apply that creates or changes begins anew if the object comes or goes under its hands.
APPLY_ATTEMPTS = 5

#: Makes the new object out of the stored one, which it must not change.
Change = Callable[[Any, Entry], Any]


async def update(call: Call) -> Response:
    """The replaced object; 201 where a PUT created it."""
    strategy = strategy_of(call)
    obj = decode_body(call)
    objectmeta.check_name(call, obj.metadata)
    objectmeta.check_namespace(call, obj.metadata)
    main = not call.attributes.subresource
    strategy.default(obj)
    row = call.endpoint.row
    asked: str = obj.metadata.resourceVersion
    await call.endpoint.services.cache.catch_up()
    found = call.endpoint.cache.find(call.attributes.namespace, call.attributes.name)
    if found is None and main and strategy.create_on_update:
        if asked:
            raise call.endpoint.conflict(call.attributes.name)
        await _authorize_creation(call)
        entry = await create_object(call, obj)
        return call.answer(entry, 201)
    if not asked and not strategy.unconditional_update:
        problem = fields.invalid("metadata.resourceVersion", 0, "must be specified for an update")
        raise errors.Invalid(row.kind, row.group, call.attributes.name, [problem])
    attempts: list[Any] = []

    def change(old: Any, entry: Entry) -> Any:
        if asked and asked != str(entry.revision):
            raise call.endpoint.conflict(call.attributes.name)
        if obj.metadata.uid and obj.metadata.uid != old.metadata.uid:
            raise call.endpoint.conflict(call.attributes.name, _other_uid(entry, obj, old))
        # The body is decoded anew for a second attempt: the first has filled the object in.
        attempts.append(obj)
        if len(attempts) == 1:
            new = obj
        else:
            new = decode_body(call)
            objectmeta.check_namespace(call, new.metadata)
            strategy.default(new)
        new.metadata.managedFields = ownership.updated(call, old, new)
        return new

    return call.answer(await change_object(call, strategy, change))


def _other_uid(entry: Entry, obj: Any, old: Any) -> str:
    return (
        f"StorageError: invalid object, Code: 4, Key: {entry.key}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: {obj.metadata.uid}, UID in object meta: {old.metadata.uid}"
    )


async def patch(call: Call) -> Response:
    """The patched object."""
    strategy = strategy_of(call)
    if content_type(call.request) == APPLY_PATCH:
        return await _apply(call, strategy)
    applying.check_options(call.request)
    apply = patch_of(call)
    endpoint = call.endpoint
    view = endpoint.view
    name = call.attributes.name
    # Who owns what is not the patch's business, unless it says so.
    about_owners = b"managedFields" in call.request.body

    def change(old: Any, entry: Entry) -> Any:
        obj = apply(view.body(entry) if about_owners else view.head + view.plain(entry))
        # What is stored is taken to begin with them.
        check_kind(obj, endpoint.row.api_version, endpoint.row.kind)
        if obj.metadata.name != name:
            objectmeta.check_name(call, obj.metadata)
        objectmeta.check_namespace(call, obj.metadata)
        version = obj.metadata.resourceVersion
        if version and version != str(entry.revision):
            raise endpoint.conflict(name)
        if obj.metadata.uid and obj.metadata.uid != old.metadata.uid:
            raise endpoint.conflict(name, _other_uid(entry, obj, old))
        strategy.default(obj)
        obj.metadata.managedFields = ownership.updated(call, old, obj)
        return obj

    return call.answer(await change_object(call, strategy, change))


async def _authorize_creation(call: Call) -> None:
    """Who may update or patch may not create for that; raises Forbidden."""
    authorize = call.endpoint.services.authorize
    if authorize is not None:
        await authorize(replace(call.attributes, verb="create"))


async def _apply(call: Call, strategy: Strategy[Any]) -> Response:
    """The object with a configuration applied to it; 201 where it was not there."""
    applied = applying.read(call)
    endpoint = call.endpoint
    attributes = call.attributes
    applying.check_config(applied.config, endpoint.row.api_version, attributes.kind)

    def change(old: Any, entry: Entry) -> Any:
        return applying.changed_object(call, applied, strategy.default, old, entry)

    problem: errors.StatusError = endpoint.not_found(attributes.name)
    for _ in range(APPLY_ATTEMPTS):
        await endpoint.services.cache.catch_up()
        try:
            if endpoint.cache.find(attributes.namespace, attributes.name) is not None:
                return call.answer(await change_object(call, strategy, change))
            if attributes.subresource:
                break
            await _authorize_creation(call)
            obj, managed = applying.new_object(call, applied, strategy.default)
            entry = await create_object(call, obj, managed)
            await endpoint.prepare(entry)
            return call.answer(entry, 201)
        except (errors.NotFound, errors.AlreadyExists) as lost:
            # Somebody has deleted or created it meanwhile.
            problem = lost
    raise problem


def strategy_of(call: Call) -> Strategy[Any]:
    """The rules of the endpoint or of its subresource."""
    row = call.endpoint.row
    name = call.attributes.subresource
    if not name:
        return row.strategy
    for subresource in row.subresources:
        if subresource.name == name and subresource.strategy is not None:
            return subresource.strategy
    raise errors.UnknownPath


async def change_object(call: Call, strategy: Strategy[Any], change: Change, *, admitted: bool = False) -> Entry:
    """Read, change, write; again if somebody else was quicker. Returns what is stored then.

    ``admitted`` says that the caller has called admission with an object of its own.
    """
    endpoint = call.endpoint
    attributes = call.attributes
    cache = endpoint.services.cache
    await cache.catch_up()
    entry = endpoint.cache.find(attributes.namespace, attributes.name)
    attributes.operation = "UPDATE"
    warnings = list(attributes.warnings)
    for _ in range(ATTEMPTS_MAX):
        if entry is None:
            raise endpoint.missing(attributes)
        attributes.warnings[:] = warnings
        await endpoint.prepare(entry)
        old = endpoint.view.fresh(entry)
        try:
            done = await _attempt(call, strategy, entry, old, change(old, entry), admitted)
            await endpoint.prepare(done)
            return done
        except Conflict as lost:
            entry = endpoint.cache.entry_of(lost.current) if lost.current else None
    raise endpoint.conflict(attributes.name)


async def _attempt(call: Call, strategy: Strategy[Any], entry: Entry, old: Any, obj: Any, admitted: bool) -> Entry:
    """Write ``obj`` over ``entry``; raises the store's Conflict if that is no longer the newest."""
    endpoint = call.endpoint
    attributes = call.attributes
    services = endpoint.services
    objectmeta.keep_on_update(obj.metadata, old.metadata)
    strategy.prepare_for_update(obj, old)
    if not admitted:
        await services.admission.admit(attributes, obj, old)
    async with allocating(endpoint, obj, old) as allocation:
        _validate_update(endpoint, strategy, obj, old)
        if not admitted:
            await services.admission.validate(attributes, obj, old)
        attributes.warnings += strategy.warnings(obj, old)
        gone = _is_finished(endpoint, obj, old)
        if not (call.dry_run or gone):
            await allocation.hold()
        value = await endpoint.stored(obj)
        made = endpoint.entry(entry.key, value, entry.revision)
        if call.dry_run:
            return made
        if gone:
            revision = await services.store.delete(entry.key, expected=entry.revision)
            await services.cache.wait(revision)
            if endpoint.allocator is not None:
                await endpoint.allocator.gone(old)
            return made
        if endpoint.same(entry, made) and not services.store.stale(entry.key):
            return entry
        revision = await services.store.put(entry.key, value, expected=entry.revision, ttl_seconds=endpoint.ttl_seconds)
        await services.cache.wait(revision)
    return endpoint.written(entry.key, value, revision)


def _is_finished(endpoint: Endpoint, obj: Any, old: Any) -> bool:
    """Whether this update removes the last thing that kept a deleted object."""
    metadata = obj.metadata
    if not old.metadata.deletionTimestamp or metadata.finalizers or metadata.deletionGracePeriodSeconds:
        return False
    return not (endpoint.row.group_resource == "namespaces" and obj.spec.finalizers)


def _validate_update(endpoint: Endpoint, strategy: Strategy[Any], obj: Any, old: Any) -> None:
    row = endpoint.row
    found = rules.validate_update(row, obj, old) + strategy.validate_update(obj, old)
    if found:
        raise errors.Invalid(row.kind, row.group, obj.metadata.name, found)
