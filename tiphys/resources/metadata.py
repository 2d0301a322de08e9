"""Validation of ObjectMeta, which the registry does for every object, before its strategy's own.

Source: apimachinery, package api/validation, by behaviour and messages.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from tiphys.api import meta_v1
from tiphys.machinery import fields, goformat
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.rules import Resource

ANNOTATIONS_MAX_BYTES = 256 * 1024
FINALIZER_ORPHAN = "orphan"
FINALIZER_FOREGROUND = "foregroundDeletion"
FIELD_MANAGER_MAX_LENGTH = 128


def validate_create(row: Resource, obj: Any) -> Errors:
    """All that is wrong with the metadata of a new object whose name and namespace are settled."""
    errs: Errors = []
    meta: meta_v1.ObjectMeta = obj.metadata
    if meta.generateName:
        for message in row.name_problems(_as_prefix(meta.generateName)):
            errs.append(fields.invalid("metadata.generateName", meta.generateName, message))
    if not meta.name:
        errs.append(fields.required("metadata.name", "name or generateName is required"))
    else:
        for message in row.name_problems(meta.name):
            errs.append(fields.invalid("metadata.name", meta.name, message))
    _namespace(errs, row, meta)
    if meta.generation is not None and meta.generation < 0:
        errs.append(fields.invalid("metadata.generation", meta.generation, checks.NOT_NEGATIVE))
    _common(errs, meta)
    return errs


def validate_update(row: Resource, obj: Any, old: Any) -> Errors:
    """All that is wrong with changed metadata; resource versions are compared by the registry."""
    errs: Errors = []
    new: meta_v1.ObjectMeta = obj.metadata
    before: meta_v1.ObjectMeta = old.metadata
    if before.deletionTimestamp is not None:
        added = sorted(set(new.finalizers) - set(before.finalizers))
        if added:
            listed = ", ".join(goformat.quote(name) for name in added)
            detail = (
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{listed}}}"
            )
            errs.append(fields.forbidden("metadata.finalizers", detail))
    if (new.generation or 0) < (before.generation or 0):
        errs.append(fields.invalid("metadata.generation", new.generation or 0, "must not be decremented"))
    for field in IMMUTABLE:
        value = getattr(new, field)
        if value != getattr(before, field):
            errs.append(fields.invalid(f"metadata.{field}", value, checks.IMMUTABLE))
    _common(errs, new)
    return errs


IMMUTABLE = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def _as_prefix(generate_name: str) -> str:
    """What is checked of a prefix: it may end in a dash, because something follows."""
    return generate_name[:-1] + "a" if len(generate_name) > 1 and generate_name.endswith("-") else generate_name


def _namespace(errs: Errors, row: Resource, meta: meta_v1.ObjectMeta) -> None:
    if not row.namespaced:
        if meta.namespace:
            errs.append(fields.forbidden("metadata.namespace", "not allowed on this type"))
    elif not meta.namespace:
        errs.append(fields.required("metadata.namespace"))
    else:
        checks.form(errs, "metadata.namespace", meta.namespace, checks.dns1123_label)


def _common(errs: Errors, meta: meta_v1.ObjectMeta) -> None:
    if meta.labels:
        checks.labels(errs, "metadata.labels", meta.labels)
    if meta.annotations:
        validate_annotations(errs, "metadata.annotations", meta.annotations)
    if meta.ownerReferences:
        _owners(errs, "metadata.ownerReferences", meta.ownerReferences)
    if meta.finalizers:
        _finalizers(errs, "metadata.finalizers", meta.finalizers)
    for index, entry in enumerate(meta.managedFields or ()):
        _managed(errs, f"metadata.managedFields[{index}]", entry)


@lru_cache(maxsize=4096)
def _annotation_key(key: str) -> tuple[str, ...]:
    return checks.qualified_name(key.lower())


def validate_annotations(errs: Errors, path: str, annotations: Mapping[str, str]) -> None:
    size = 0
    for key, value in annotations.items():
        for message in _annotation_key(key):
            errs.append(fields.invalid(path, key, message))
        # A character is four bytes at most, so most values need no encoding to be measured.
        size += 4 * (len(key) + len(value))
    if size > ANNOTATIONS_MAX_BYTES:
        exact = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
        if exact > ANNOTATIONS_MAX_BYTES:
            errs.append(fields.too_long(path, "", ANNOTATIONS_MAX_BYTES))


def _owners(errs: Errors, path: str, owners: Sequence[meta_v1.OwnerReference]) -> None:
    controller = ""
    for owner in owners:
        group, _, version = owner.apiVersion.rpartition("/")
        if not version:
            errs.append(fields.invalid(f"{path}.apiVersion", owner.apiVersion, "version must not be empty"))
        for field in ("kind", "name", "uid"):
            if not getattr(owner, field):
                errs.append(fields.invalid(f"{path}.{field}", "", "must not be empty"))
        if (group, version, owner.kind) == ("", "v1", "Event"):
            errs.append(fields.invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner"))
        if not owner.controller:
            continue
        name = f"{owner.kind}/{owner.name}"
        if controller:
            detail = (
                "Only one reference can have Controller set to true. "
                f'Found "true" in references for {controller} and {name}'
            )
            errs.append(fields.invalid(path, list(owners), detail))
        controller = controller or name


def _finalizers(errs: Errors, path: str, finalizers: Sequence[str]) -> None:
    for finalizer in finalizers:
        checks.form(errs, path, finalizer, checks.qualified_name)
    if FINALIZER_ORPHAN in finalizers and FINALIZER_FOREGROUND in finalizers:
        detail = f"finalizer {FINALIZER_ORPHAN} and {FINALIZER_FOREGROUND} cannot be both set"
        errs.append(fields.invalid(path, list(finalizers), detail))


def _managed(errs: Errors, path: str, entry: meta_v1.ManagedFieldsEntry) -> None:
    if entry.operation not in ("Apply", "Update"):
        errs.append(fields.invalid(f"{path}.operation", entry.operation or "", "must be `Apply` or `Update`"))
    if entry.fieldsType and entry.fieldsType != "FieldsV1":
        errs.append(fields.invalid(f"{path}.fieldsType", entry.fieldsType, "must be `FieldsV1`"))
    if len(entry.manager or "") > FIELD_MANAGER_MAX_LENGTH:
        errs.append(fields.too_long(f"{path}.manager", entry.manager, FIELD_MANAGER_MAX_LENGTH))
