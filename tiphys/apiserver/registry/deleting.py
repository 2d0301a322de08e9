"""DELETE: at once, gracefully, or after finalizers; one object or all that match.

Source: apiserver's generic registry and rest.BeforeDelete, by behaviour;
Kubernetes docs, "Garbage Collection", "Cascading deletion".

One step differs on purpose: a graceful deletion with a period of 0 is one
write, not an update followed by a delete.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from tiphys.api import meta_v1
from tiphys.apiserver import decoding
from tiphys.apiserver.entries import Entry
from tiphys.apiserver.registry.endpoint import Call, headers_of, success
from tiphys.apiserver.registry.reading import list_page
from tiphys.apiserver.registry.updating import ATTEMPTS_MAX
from tiphys.machinery import errors, fields, times
from tiphys.store.interface import Conflict, StoreError
from tiphys.wire.exchange import Response

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
COLLECTION_WORKERS = 32
# The others are answered with a Status. Source: which registries set ReturnDeletedObject.
RETURNED_WHEN_DELETED = frozenset(
    {
        ("", "namespaces"),
        ("", "pods"),
        ("", "podtemplates"),
        ("", "resourcequotas"),
        ("", "serviceaccounts"),
        ("", "services"),
        ("", "persistentvolumes"),
        ("", "persistentvolumeclaims"),
        ("storage.k8s.io", "csidrivers"),
        ("storage.k8s.io", "csinodes"),
        ("storage.k8s.io", "storageclasses"),
        ("storage.k8s.io", "volumeattachments"),
    }
)
NAMESPACE_BUSY = (
    "The system is ensuring all content is removed from this namespace.  Upon completion, this namespace will "
    "automatically be purged by the system."
)

#: What nobody does by accident: an option, and a verb of its own.
UNSAFE_OPTION = "ignoreStoreReadErrorWithClusterBreakingPotential"
UNSAFE_VERB = "unsafe-delete-ignore-read-errors"

Outcome = Literal["deleted", "marked", "unchanged"]


@dataclass(slots=True)
class Deleted:
    """What became of an object: ``entry`` is its last state."""

    entry: Entry
    outcome: Outcome


async def delete(call: Call) -> Response:
    """The object if it is still there (or of a kind that returns it), a Status otherwise."""
    options = options_of(call)
    if options.ignoreStoreReadErrorWithClusterBreakingPotential:
        return await unsafe_delete(call, options)
    done = await delete_object(call, options)
    await call.endpoint.prepare(done.entry)
    row = call.endpoint.row
    if done.outcome != "deleted":
        waits = options.orphanDependents is False or options.propagationPolicy == "Foreground"
        return call.answer(done.entry, 202 if waits else 200)
    if (row.group, row.plural) in RETURNED_WHEN_DELETED:
        return call.answer(done.entry)
    uid = done.entry.object.metadata.uid
    return success(
        details=meta_v1.StatusDetails(name=done.entry.name, group=row.group or None, kind=row.plural, uid=uid or None)
    )


async def delete_collection(call: Call) -> Response:
    """Delete all that match; the answer lists them."""
    options = options_of(call)
    page = await list_page(call)
    await delete_entries(call, page.entries, options)
    endpoint = call.endpoint
    body = endpoint.shaper.list(page, call.form, endpoint.services.clock.now(), call.include)
    return Response(200, headers_of(call.form), body)


async def delete_entries(call: Call, entries: Any, options: meta_v1.DeleteOptions) -> None:
    """Delete each of ``entries``, several at a time so that they share commits; absent ones do not matter.

    All are tried; then the first refusal is raised.
    """
    waiting = iter(entries)
    refused: list[errors.StatusError | StoreError] = []

    async def work() -> None:
        for entry in waiting:
            attributes = replace(call.attributes, namespace=entry.namespace, name=entry.name)
            one = Call(call.request, attributes, call.endpoint, call.form)
            try:
                await delete_object(one, options)
            except errors.NotFound:
                continue
            except (errors.StatusError, StoreError) as problem:
                refused.append(problem)

    async with asyncio.TaskGroup() as group:
        for number in range(min(COLLECTION_WORKERS, len(entries))):
            group.create_task(work(), name=f"delete-collection-{number}")
    if refused:
        raise refused[0]


def options_of(call: Call) -> meta_v1.DeleteOptions:
    """DeleteOptions from the body or, without one, from the query; raises BadRequest and Invalid."""
    options = _decoded(call) if call.request.body else _queried(call)
    if options.dryRun:
        call.attributes.dry_run = True
    problems = _problems(options)
    if problems:
        raise errors.Invalid("DeleteOptions", "meta.k8s.io", "", problems)
    call.attributes.options = options
    return options


def _decoded(call: Call) -> meta_v1.DeleteOptions:
    options: meta_v1.DeleteOptions = decoding.decode_options(meta_v1.DeleteOptions, call.request, "DeleteOptions")
    if options.kind not in (None, "", "DeleteOptions"):
        raise errors.BadRequest(f"decoded object cannot be converted to DeleteOptions: {options.kind}")
    return options


def _queried(call: Call) -> meta_v1.DeleteOptions:
    options = meta_v1.DeleteOptions()
    if not call.request.query:
        return options
    period = call.query("gracePeriodSeconds")
    if period:
        try:
            options.gracePeriodSeconds = int(period)
        except ValueError as problem:
            raise errors.BadRequest(f'strconv.ParseInt: parsing "{period}": invalid syntax') from problem
    options.propagationPolicy = call.query("propagationPolicy") or None
    if orphan := call.query("orphanDependents"):
        options.orphanDependents = orphan.lower() in ("true", "1")
    options.dryRun = list(call.request.query.get("dryRun", ())) or None
    options.ignoreStoreReadErrorWithClusterBreakingPotential = (
        call.query(UNSAFE_OPTION).lower() in ("true", "1") or None
    )
    return options


def _problems(options: meta_v1.DeleteOptions) -> list[fields.FieldError]:
    found = []
    policy = options.propagationPolicy
    if policy is not None and options.orphanDependents is not None:
        found.append(
            fields.invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set")
        )
    elif policy is not None and policy not in ("Background", "Foreground", "Orphan"):
        found.append(fields.not_supported("propagationPolicy", policy, ["Background", "Foreground", "Orphan", "nil"]))
    if any(value != "All" for value in options.dryRun or ()):
        found.append(fields.not_supported("dryRun", options.dryRun, ["All"]))
    if options.ignoreStoreReadErrorWithClusterBreakingPotential:
        others = ("dryRun", "propagationPolicy", "orphanDependents", "gracePeriodSeconds", "preconditions")
        found += [
            fields.invalid(UNSAFE_OPTION, True, f"cannot be set together with .{name}")
            for name in others
            if getattr(options, name) is not None
        ]
    return found


async def unsafe_delete(call: Call, options: meta_v1.DeleteOptions) -> Response:
    """Take an object that cannot be read out of the store: nothing is asked of it, and nobody is told of it.

    Raises Forbidden, NotFound, and Invalid for an object that can be read.
    Source: KEP-3926; Kubernetes docs, "Kubernetes API Concepts", "Force deletion".
    """
    endpoint, attributes = call.endpoint, call.attributes
    services = endpoint.services
    if services.authorize is not None:
        await services.authorize(replace(attributes, verb=UNSAFE_VERB))
    await services.cache.catch_up()
    key = endpoint.cache.key(attributes.namespace, attributes.name)
    revision = endpoint.cache.unreadable.get(key)
    if revision is None:
        if endpoint.cache.find(attributes.namespace, attributes.name) is None:
            raise endpoint.not_found(attributes.name)
        why = "the object can be read and is deleted without this option"
        problem = fields.invalid(UNSAFE_OPTION, True, why)
        raise errors.Invalid("DeleteOptions", "meta.k8s.io", attributes.name, [problem])
    attributes.operation = "DELETE"
    await services.admission.validate(attributes, None, None)
    try:
        await services.cache.wait(await services.store.delete(key, expected=revision))
    except Conflict as lost:
        raise endpoint.conflict(attributes.name) from lost
    return success(
        details=meta_v1.StatusDetails(name=attributes.name, group=endpoint.row.group or None, kind=endpoint.row.plural)
    )


async def delete_object(call: Call, options: meta_v1.DeleteOptions, *, admitted: bool = False) -> Deleted:
    """Delete or begin to delete one object. Raises NotFound, Conflict.

    ``admitted`` says that the caller has called admission with an object of its own.
    """
    endpoint = call.endpoint
    attributes = call.attributes
    attributes.operation = "DELETE"
    await endpoint.services.cache.catch_up()
    entry = endpoint.cache.find(attributes.namespace, attributes.name)
    for _ in range(ATTEMPTS_MAX):
        if entry is None:
            raise endpoint.missing(attributes)
        await endpoint.prepare(entry)
        obj = endpoint.view.fresh(entry)
        _check_preconditions(call, options, obj)
        if not admitted:
            await endpoint.services.admission.admit(attributes, None, obj)
            await endpoint.services.admission.validate(attributes, None, obj)
        try:
            return await _attempt(call, options, entry, obj)
        except Conflict as lost:
            entry = endpoint.cache.entry_of(lost.current) if lost.current else None
    raise endpoint.conflict(attributes.name)


def _check_preconditions(call: Call, options: meta_v1.DeleteOptions, obj: Any) -> None:
    wanted = options.preconditions
    if wanted is None:
        return
    metadata = obj.metadata
    if wanted.uid is not None and wanted.uid != metadata.uid:
        raise call.endpoint.conflict(
            metadata.name,
            f"the UID in the precondition ({wanted.uid}) does not match the UID in record ({metadata.uid}). "
            "The object might have been deleted and then recreated",
        )
    if wanted.resourceVersion is not None and wanted.resourceVersion != metadata.resourceVersion:
        raise call.endpoint.conflict(
            metadata.name,
            f"the ResourceVersion in the precondition ({wanted.resourceVersion}) does not match the ResourceVersion "
            f"in record ({metadata.resourceVersion}). The object might have been modified",
        )


async def _attempt(call: Call, options: meta_v1.DeleteOptions, entry: Entry, obj: Any) -> Deleted:
    endpoint = call.endpoint
    outcome = _mark_namespace(call, obj) if endpoint.row.kind == "Namespace" and not endpoint.row.group else None
    if not obj.metadata.deletionTimestamp:
        endpoint.row.strategy.prepare_for_delete(obj, endpoint.services.clock.now())
    outcome = outcome or _mark(call, options, obj)
    if outcome == "unchanged" or (call.dry_run and outcome == "deleted"):
        return Deleted(entry, outcome)
    store = endpoint.services.store
    if outcome == "deleted":
        revision = await store.delete(entry.key, expected=entry.revision)
        await endpoint.services.cache.wait(revision)
        if endpoint.allocator is not None:
            await endpoint.allocator.gone(obj)
        # What is answered is what was deleted, with the mark it would have had.
        return Deleted(entry.at(revision), outcome)
    value = await endpoint.stored(obj)
    made = endpoint.entry(entry.key, value, entry.revision)
    if call.dry_run or endpoint.same(entry, made):
        return Deleted(made, outcome)
    revision = await store.put(entry.key, value, expected=entry.revision, ttl_seconds=endpoint.ttl_seconds)
    await endpoint.services.cache.wait(revision)
    return Deleted(endpoint.written(entry.key, value, revision), outcome)


def _mark_namespace(call: Call, obj: Any) -> Outcome | None:
    """Namespaces go in phases; None once nothing but an ordinary deletion is left to do."""
    if not obj.metadata.deletionTimestamp and (obj.spec.finalizers or obj.metadata.finalizers):
        obj.metadata.deletionTimestamp = times.format_time(call.endpoint.services.clock.now())
        obj.metadata.deletionGracePeriodSeconds = obj.metadata.deletionGracePeriodSeconds or None
        obj.status.phase = "Terminating"
        return "marked"
    if obj.spec.finalizers:
        raise call.endpoint.conflict(obj.metadata.name, NAMESPACE_BUSY)
    return None


def _mark(call: Call, options: meta_v1.DeleteOptions, obj: Any) -> Outcome:
    """Change ``obj`` as the deletion demands and say what is to be done with it."""
    endpoint = call.endpoint
    now = endpoint.services.clock.now()
    metadata = obj.metadata
    period = endpoint.row.strategy.grace_period_seconds(obj, options.gracePeriodSeconds)
    graceful = False
    if metadata.deletionTimestamp:
        pending = metadata.deletionGracePeriodSeconds
        if pending:
            asked = options.gracePeriodSeconds
            if asked is None or asked >= pending:
                return "unchanged"
            began = times.parse(metadata.deletionTimestamp) - timedelta(seconds=pending)
            metadata.deletionTimestamp = times.format_time(began + timedelta(seconds=max(asked, 0)))
            metadata.deletionGracePeriodSeconds = max(asked, 0)
            graceful = True
    elif period is not None:
        metadata.deletionTimestamp = times.format_time(now + timedelta(seconds=period))
        metadata.deletionGracePeriodSeconds = period
        metadata.generation = metadata.generation + 1 if metadata.generation else metadata.generation
        graceful = True
    metadata.finalizers = _finalizers(options, metadata.finalizers)
    if metadata.finalizers:
        if not metadata.deletionTimestamp:
            metadata.deletionTimestamp = times.format_time(now)
            metadata.generation = metadata.generation + 1 if metadata.generation else metadata.generation
        if not graceful:
            metadata.deletionGracePeriodSeconds = 0
        return "marked"
    return "marked" if graceful and metadata.deletionGracePeriodSeconds else "deleted"


def _finalizers(options: meta_v1.DeleteOptions, present: list[str]) -> list[str]:
    """The finalizers with those that the propagation policy adds, and without those that it takes away."""
    policy = options.propagationPolicy
    if options.orphanDependents is not None:
        policy = "Orphan" if options.orphanDependents else "Background"
    if policy is None:
        return present
    kept = [name for name in present if name not in (FOREGROUND, ORPHAN)]
    if policy == "Foreground":
        kept.append(FOREGROUND)
    elif policy == "Orphan":
        kept.append(ORPHAN)
    return kept
