"""Server-side apply and field ownership, as pure functions over objects and their managers.

A manager is known by its name, operation, subresource and (for updates) API
version. ``update`` books a change that was made by create, update or patch;
``apply`` makes the change that an applied configuration asks for, or names the
conflicts. Neither changes its arguments.
Source: Kubernetes docs, "Server-Side Apply"; KEP-555; apimachinery's managedfields, by behaviour.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from tiphys.api import meta_v1
from tiphys.api.scalars import Time
from tiphys.machinery import codec, errors, fieldsets, merging, structure
from tiphys.machinery.fieldsets import Fields, Path
from tiphys.machinery.goformat import quote
from tiphys.machinery.structure import Node

APPLY: Final = "Apply"
UPDATE: Final = "Update"
FIELDS_TYPE: Final = "FieldsV1"
BEFORE_FIRST_APPLY: Final = "before-first-apply"
ANCIENT_CHANGES: Final = "ancient-changes"
#: More entries of updates than these are merged, oldest first.
UPDATERS_MAX: Final = 10

#: What the system sets, and what says which object it is, belongs to nobody.
STRIPPED: Final = fieldsets.of_paths(
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    ),
)


class Key(NamedTuple):
    """Who: entries of one key are one entry. ``version`` is empty for appliers."""

    manager: str
    operation: str
    version: str
    subresource: str


class Owner(NamedTuple):
    """What a manager owns. ``entry`` is the entry that says so, as long as it is still true."""

    version: str
    fields: Fields
    time: Time | None
    entry: meta_v1.ManagedFieldsEntry | None = None


Managed = dict[Key, Owner]


class Versioned(NamedTuple):
    """An object, or plain data of one, in some API version."""

    node: Node
    old: Any
    new: Any


#: The old and the new object in another API version; None if there is no such version.
Convert = Callable[[str, Any, Any], Versioned | None]


class Writer(NamedTuple):
    """Who writes, when and through which endpoint.

    ``excluded`` are the paths that the endpoint does not let anybody change.
    """

    manager: str
    version: str
    subresource: str
    now: Time
    excluded: Fields = {}

    def key(self, operation: str) -> Key:
        return Key(self.manager or "unknown", operation, "" if operation == APPLY else self.version, self.subresource)


class Conflicts(Exception):
    """Others own what is to be changed: paths by manager, in the order of messages."""

    def __init__(self, found: Mapping[Key, Fields]) -> None:
        super().__init__("conflicts")
        self.found = found

    def status(self) -> errors.StatusError:
        """The 409 that names them."""
        pairs = [(key, path) for key in sorted(self.found) for path in fieldsets.members(self.found[key])]
        causes = [
            meta_v1.StatusCause(
                reason="FieldManagerConflict", message=f"conflict with {_shown(key)}", field=fieldsets.show(path)
            )
            for key, path in pairs
        ]
        return errors.from_status(
            meta_v1.Status(
                status="Failure",
                code=409,
                reason="Conflict",
                message=_message(pairs),
                details=meta_v1.StatusDetails(causes=causes),
            )
        )


def _message(pairs: Sequence[tuple[Key, Path]]) -> str:
    if len(pairs) == 1:
        key, path = pairs[0]
        return f"Apply failed with 1 conflict: conflict with {_shown(key)}: {fieldsets.show(path)}"
    lines: dict[Key, list[str]] = {}
    for key, path in pairs:
        lines.setdefault(key, [f"conflicts with {_shown(key)}:"]).append(f"- {fieldsets.show(path)}")
    return f"Apply failed with {len(pairs)} conflicts: " + "\n".join(line for group in lines.values() for line in group)


def _shown(key: Key) -> str:
    text = quote(key.manager)
    if key.subresource:
        text = f"{text} with subresource {quote(key.subresource)}"
    return f"{text} using {key.version}" if key.operation == UPDATE else text


def decode(entries: Iterable[meta_v1.ManagedFieldsEntry] | None) -> Managed:
    """The managers of a stored object."""
    found: Managed = {}
    for entry in entries or ():
        version = entry.apiVersion or ""
        operation = entry.operation or ""
        key = Key(entry.manager or "", operation, "" if operation == APPLY else version, entry.subresource or "")
        there = found.get(key)
        fields = entry.fieldsV1 or {}
        if there is None:
            found[key] = Owner(version, fields, entry.time, entry)
        else:
            # Scaling may leave two entries of one updater.
            found[key] = Owner(version, fieldsets.union(there.fields, fields), entry.time or there.time)
    return found


def checked(entries: Iterable[meta_v1.ManagedFieldsEntry]) -> Managed:
    """The managers that a client has written. Raises ValueError."""
    found = []
    for entry in entries:
        if entry.operation not in (APPLY, UPDATE):
            raise ValueError(f"invalid operation {entry.operation!r}")
        if entry.fieldsType != FIELDS_TYPE:
            raise ValueError(f"invalid fieldsType {entry.fieldsType!r}")
        fields = fieldsets.parse(entry.fieldsV1 or {})
        found.append(
            meta_v1.ManagedFieldsEntry(
                apiVersion=entry.apiVersion,
                fieldsType=FIELDS_TYPE,
                fieldsV1=fields,
                manager=entry.manager,
                operation=entry.operation,
                subresource=entry.subresource,
                time=entry.time,
            )
        )
    return decode(found)


def encode(managed: Managed) -> list[meta_v1.ManagedFieldsEntry] | None:
    """The entries to store, in Kubernetes' order."""
    entries = [owner.entry or _entry(key, owner) for key, owner in managed.items() if owner.fields]
    if len(entries) > 1:
        entries.sort(key=_place)
    return entries or None


def _entry(key: Key, owner: Owner) -> meta_v1.ManagedFieldsEntry:
    return meta_v1.ManagedFieldsEntry(
        apiVersion=owner.version,
        fieldsType=FIELDS_TYPE,
        fieldsV1=owner.fields,
        manager=key.manager,
        operation=key.operation,
        subresource=key.subresource or None,
        time=owner.time,
    )


def _place(entry: meta_v1.ManagedFieldsEntry) -> tuple[str, ...]:
    return (
        entry.operation or "",
        entry.time or "",
        entry.manager or "",
        entry.apiVersion or "",
        entry.subresource or "",
    )


def differ_in_time_only(
    one: Sequence[meta_v1.ManagedFieldsEntry] | None, other: Sequence[meta_v1.ManagedFieldsEntry] | None
) -> bool:
    """Whether two lists of entries say the same but for when."""
    if one is None or other is None or len(one) != len(other):
        return one is other

    def timeless(entry: meta_v1.ManagedFieldsEntry) -> tuple[Any, ...]:
        key = (entry.manager, entry.operation, entry.apiVersion, entry.subresource)
        return (*key, entry.fieldsType, entry.fieldsV1)

    left = sorted(map(timeless, one), key=lambda item: tuple(map(str, item[:4])))
    right = sorted(map(timeless, other), key=lambda item: tuple(map(str, item[:4])))
    return left == right


def update(node: Node, old: Any, new: Any, managed: Managed, writer: Writer, convert: Convert) -> Managed:
    """The managers after ``new`` has been written over ``old`` by a create, update or patch."""
    compared = structure.compare(node, old, new).without(writer.excluded)
    if compared == structure.NOTHING:
        return managed
    key = writer.key(UPDATE)
    # What the writer changes is his again at once, so nothing but what is gone is taken from him.
    result, _ = _changed(compared, old, new, managed, key, writer, convert)
    taken = fieldsets.difference(compared.changed, STRIPPED)
    previous = result.get(key)
    if previous is not None and compared.removed:
        left = fieldsets.difference(previous.fields, compared.removed)
        if left != previous.fields:
            previous = result[key] = Owner(writer.version, left, previous.time)
    if taken:
        fields = fieldsets.union(previous.fields, taken) if previous else taken
        result[key] = Owner(writer.version, fields, writer.now)
    elif previous is not None and not previous.fields:
        del result[key]
    return _capped(result)


def create(node: Node, obj: Any, writer: Writer) -> Managed:
    """The managers of a new object."""
    taken = _taken(node, obj, writer.excluded)
    return {writer.key(UPDATE): Owner(writer.version, taken, writer.now)} if taken else {}


TAKEN_MAX: Final = 256
#: What the makers of objects came to own, by class and bytes of all but the name; and what was excluded then.
_taken_of: Final[dict[tuple[type[Any], bytes], tuple[Fields, Fields]]] = {}


def _taken(node: Node, obj: Any, excluded: Fields) -> Fields:
    """What the maker of ``obj`` comes to own.

    Its name belongs to nobody, and objects are made in great numbers out of few templates.
    """
    if not isinstance(obj, msgspec.Struct):
        # Classes of custom objects come and go, and are not to be held on to.
        return fieldsets.difference(structure.made(node, obj, excluded), STRIPPED)
    metadata: Any = obj.metadata  # type: ignore[attr-defined]
    name, metadata.name = metadata.name, ""
    key = (obj.__class__, codec.encode(obj))
    metadata.name = name
    found = _taken_of.get(key)
    if found is None or found[0] != excluded:
        if len(_taken_of) >= TAKEN_MAX:
            _taken_of.clear()
        found = (excluded, fieldsets.difference(structure.made(node, obj, excluded), STRIPPED))
        _taken_of[key] = found
    return found[1]


def _changed(
    compared: structure.Comparison,
    old: Any,
    new: Any,
    managed: Managed,
    me: Key | None,
    writer: Writer,
    convert: Convert,
) -> tuple[Managed, dict[Key, Fields]]:
    """The managers without what was taken from them (all but ``me``), and what was taken by a change of value."""
    by_version: dict[str, structure.Comparison | None] = {writer.version: compared}
    result: Managed = {}
    conflicts: dict[Key, Fields] = {}
    for key, owner in managed.items():
        if key == me:
            result[key] = owner
            continue
        if owner.version not in by_version:
            other = convert(owner.version, old, new)
            # An entry of a version that is served no more is dropped.
            by_version[owner.version] = other and structure.compare(*other).without(writer.excluded)
        seen = by_version[owner.version]
        if seen is None:
            continue
        lost = fieldsets.intersection(owner.fields, seen.changed)
        rest = owner.fields
        if lost:
            conflicts[key] = lost
            rest = fieldsets.difference(rest, lost)
        if seen.removed:
            rest = fieldsets.difference(rest, seen.removed)
        if rest == owner.fields:
            result[key] = owner
        elif rest:
            result[key] = Owner(owner.version, rest, owner.time)
    return result, conflicts


def _capped(managed: Managed) -> Managed:
    """The same with the oldest updaters of each version merged, if there are too many."""
    updaters = [key for key in managed if key.operation == UPDATE]
    excess = len(updaters) - UPDATERS_MAX
    if excess <= 0:
        return managed
    result = dict(managed)
    updaters.sort(key=lambda key: (managed[key].time or "", key))
    first_of: dict[str, Key] = {}
    for key in updaters:
        if excess <= 0:
            break
        owner = managed[key]
        first = first_of.setdefault(owner.version, key)
        if first == key:
            continue
        bucket = Key(ANCIENT_CHANGES, UPDATE, owner.version, "")
        if bucket not in result:
            result[bucket] = result.pop(first)
        if key != bucket:
            fields = fieldsets.union(owner.fields, result[bucket].fields)
            del result[key]
            result[bucket] = Owner(owner.version, fields, owner.time)
        excess -= 1
    return result


def apply(
    node: Node, live: Any, config: Any, managed: Managed, writer: Writer, convert: Convert, *, force: bool = False
) -> tuple[Any, Managed]:
    """The merged object as plain data (None if it is the live one) and its managers.

    ``live`` and ``config`` are plain data; a live object that is to be created
    is one without fields. Raises merging.Misfit and Conflicts.
    """
    merging.check(node, config)
    merged = merging.merge(node, live, config) or {}
    key = writer.key(APPLY)
    last = managed.get(key)
    fields = fieldsets.without(structure.configured(node, config), writer.excluded)
    managed = {**managed, key: Owner(writer.version, fields, last.time if last else None)}
    if last is not None and last.fields and last.version == writer.version:
        merged = _pruned(node, merged, managed, writer.version, last.fields)
    compared = structure.compare(node, live, merged).without(writer.excluded)
    result, conflicts = _changed(compared, live, merged, managed, key, writer, convert)
    if conflicts and not force:
        raise Conflicts(conflicts)
    same = live == merged
    owned = fieldsets.difference(fields, STRIPPED)
    result.pop(key, None)
    if owned:
        if last is not None and same and last.fields == owned:
            result[key] = last
        else:
            result[key] = Owner(writer.version, owned, (last.time if last else None) if same else writer.now)
    return None if same else merged, result


def _pruned(node: Node, merged: Any, managed: Managed, version: str, last: Fields) -> Any:
    """``merged`` without what the applier no longer applies and nobody else owns."""
    named = structure.with_named
    pruned = structure.remove(node, merged, named(node, last)) or {}
    every = named(node, structure.configured(node, merged))
    owned: Fields = {}
    for owner in managed.values():
        if owner.version == version:
            owned = fieldsets.union(owned, owner.fields)
    left = named(node, structure.configured(node, pruned))
    kept = fieldsets.union(left, named(node, owned))
    pruned = structure.remove(node, merged, fieldsets.difference(every, kept)) or {}
    # Only what was the applier's own goes: what stood under a removed item and belongs to nobody stays.
    left = named(node, structure.configured(node, pruned))
    gone = fieldsets.intersection(fieldsets.difference(every, left), named(node, last))
    return structure.remove(node, merged, gone) or {}
