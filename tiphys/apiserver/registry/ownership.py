"""Who owns which fields: what a write through the API books in ``metadata.managedFields``.

Source: Kubernetes docs, "Server-Side Apply", "Field management"; apiserver's field manager, by behaviour.
"""

from functools import lru_cache
from typing import Any, Final

from tiphys.api import meta_v1
from tiphys.apiserver import decoding
from tiphys.apiserver.registry.endpoint import Call, Endpoint
from tiphys.machinery import apply, codec, errors, fields, fieldsets, structure, times
from tiphys.resources.rules import Resource
from tiphys.resources.table import ALL

Entries = list[meta_v1.ManagedFieldsEntry]

MANAGER_MAX: Final = 128
_STATUS: Final = fieldsets.of_paths(("f:status",))
_SPEC: Final = fieldsets.of_paths(("f:spec",))
#: What a status endpoint does not change besides the spec. Source: the strategies' reset fields, by behaviour.
_KEPT_WITH_STATUS: Final = {
    ("", "pods"): fieldsets.of_paths(("f:metadata", "f:deletionTimestamp"), ("f:metadata", "f:ownerReferences")),
    ("apps", "deployments"): fieldsets.of_paths(("f:metadata", "f:labels")),
    ("storage.k8s.io", "volumeattachments"): fieldsets.of_paths(("f:metadata",)),
    ("apiextensions.k8s.io", "customresourcedefinitions"): fieldsets.of_paths(("f:metadata",)),
}


def excluded(row: Resource, subresource: str) -> fieldsets.Fields:
    """The paths that an endpoint does not let anybody change, and that nobody comes to own there."""
    if subresource == "status":
        return fieldsets.union(_SPEC, _KEPT_WITH_STATUS.get((row.group, row.plural), {}))
    return _STATUS if any(sub.name == "status" for sub in row.subresources) else {}


def manager_of(call: Call) -> str:
    """The name under which the caller writes: what he says, or what his program is called. Raises Invalid."""
    given = call.query("fieldManager")
    if not given:
        return _agent(call.request.headers.get("user-agent", ""))
    problems = manager_problems(given)
    if problems:
        kind = decoding.OPTIONS_KINDS.get(call.request.method, "PatchOptions")
        raise errors.Invalid(kind, "meta.k8s.io", "", problems)
    return given


@lru_cache(maxsize=256)
def _agent(text: str) -> str:
    """What stands before the first slash, as far as it is printable and short."""
    shown = "".join(letter for letter in text.partition("/")[0] if letter.isprintable())
    return shown.encode()[:MANAGER_MAX].decode(errors="ignore")


@lru_cache(maxsize=256)
def manager_problems(name: str) -> list[fields.FieldError]:
    """What is wrong with a fieldManager parameter."""
    found = []
    if len(name.encode()) > MANAGER_MAX:
        found.append(fields.too_long("fieldManager", name, MANAGER_MAX))
    at = 0
    for letter in name:
        if not letter.isprintable():
            shown = f"U+{ord(letter):04X}"
            found.append(fields.invalid("fieldManager", name, f"invalid character {shown} (at position {at})"))
        at += len(letter.encode())
    return found


def writer_of(call: Call, manager: str) -> apply.Writer:
    """The caller as a writer of the endpoint's objects."""
    row, subresource = call.endpoint.row, call.attributes.subresource
    now = _time(call.endpoint.services.clock.now().replace(microsecond=0))
    return apply.Writer(manager, row.api_version, subresource, now, excluded(row, subresource))


_time: Final = lru_cache(maxsize=4)(times.format_time)


def created(call: Call, obj: Any) -> Entries | None:
    """The entries of an object that is about to be created."""
    writer = writer_of(call, manager_of(call))
    given = obj.metadata.managedFields
    obj.metadata.managedFields = None
    cls = call.endpoint.row.cls
    node = structure.node_of(cls)
    managed = _checked(given) if given and not _is_reset(given) else None
    if not managed:
        try:
            return apply.encode(apply.create(node, obj, writer))
        except structure.BadItem:
            # A list whose items cannot be told apart: validation will refuse it, or nobody can own it.
            return None
    return apply.encode(apply.update(node, zero(cls), obj, managed, writer, converter(call.endpoint)))


def updated(call: Call, old: Any, new: Any) -> Entries | None:
    """The entries of ``new``, which a PUT or a patch is about to write over ``old``."""
    live: Entries | None = old.metadata.managedFields
    given: Entries | None = new.metadata.managedFields
    # Whatever differs there is not the change that is to be booked.
    new.metadata.managedFields = live
    managed = None
    if given and given != live and not call.attributes.subresource:
        if _is_reset(given):
            return None
        managed = _checked(given)
    if not managed:
        managed = apply.decode(live)
        given = live
    if not managed:
        # Nobody has been tracked so far, and only an apply begins to.
        return None
    node = structure.node_of(call.endpoint.row.cls)
    try:
        result = apply.update(node, old, new, managed, writer_of(call, manager_of(call)), converter(call.endpoint))
    except structure.BadItem:
        # As above.
        return live
    return given if result is managed and given is live else apply.encode(result)


def _is_reset(given: Entries) -> bool:
    """A client clears all managers by writing one entry that says nothing."""
    return len(given) == 1 and given[0] == meta_v1.ManagedFieldsEntry()


def _checked(given: Entries) -> apply.Managed | None:
    try:
        return apply.checked(given)
    except ValueError:
        # As in Kubernetes, what cannot be read is as if it had not been sent.
        return None


@lru_cache(maxsize=512)
def zero(cls: type[Any]) -> Any:
    """The object of a class that holds nothing; shared."""
    return cls()


def converter(endpoint: Endpoint) -> apply.Convert:
    """How entries of other versions see a change of the endpoint's objects."""
    row = endpoint.row

    def convert(version: str, old: Any, new: Any) -> apply.Versioned | None:
        for other in endpoint.siblings or ALL:
            if other.api_version == version and other.storage_resource == row.storage_resource:
                return apply.Versioned(
                    structure.node_of(other.cls), _converted(row, other, old), _converted(row, other, new)
                )
        return None

    return convert


def _converted(row: Resource, other: Resource, value: Any) -> Any:
    obj = codec.convert(row.cls, value) if type(value) is dict else value
    stored = obj if row.to_storage is None else row.to_storage(obj)
    return stored if other.from_storage is None else other.from_storage(stored)


# Replicas stand in the same place in a Scale and in what is scaled.
REPLICAS: Final = ("f:spec", "f:replicas")
_SCALED: Final = fieldsets.of_paths(REPLICAS)
SCALE_VERSION: Final = "autoscaling/v1"


def of_scale(entries: Entries | None, row: Resource, path: fieldsets.Path = REPLICAS) -> apply.Managed:
    """Who owns the replicas, which stand at ``path``, as owners of a Scale."""
    found: apply.Managed = {}
    for key, owner in apply.decode(entries).items():
        if owner.version == row.api_version and fieldsets.has(owner.fields, path):
            version = SCALE_VERSION if key.operation == apply.UPDATE else ""
            found[key._replace(version=version)] = apply.Owner(SCALE_VERSION, _SCALED, owner.time)
    return found


def after_scaling(
    entries: Entries | None, scale: apply.Managed, row: Resource, path: fieldsets.Path = REPLICAS
) -> Entries | None:
    """The entries of what is scaled, once the owners of its Scale are ``scale``."""
    replicas = fieldsets.of_paths(path)
    left = {key: owner for key, owner in scale.items() if fieldsets.has(owner.fields, REPLICAS)}
    found: apply.Managed = {}
    for key, owner in apply.decode(entries).items():
        if owner.version != row.api_version:
            continue
        in_scale = key._replace(version=SCALE_VERSION if key.operation == apply.UPDATE else "")
        if not fieldsets.has(owner.fields, path) or left.pop(in_scale, None) is not None:
            found[key] = owner
        elif rest := fieldsets.difference(owner.fields, replicas):
            found[key] = apply.Owner(owner.version, rest, owner.time)
    for key, owner in left.items():
        target = key._replace(version=row.api_version if key.operation == apply.UPDATE else "")
        there = found.get(target)
        fields_ = fieldsets.union(there.fields, replicas) if there else replicas
        found[target] = apply.Owner(row.api_version, fields_, owner.time)
    return apply.encode(found)
