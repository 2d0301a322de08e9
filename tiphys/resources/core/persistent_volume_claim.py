"""PersistentVolumeClaim."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from tiphys.api import core_v1
from tiphys.machinery import fields, quantity
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
SHORT_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
VOLUME_MODES = ("Block", "Filesystem")
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
FROZEN = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


def default(claim: core_v1.PersistentVolumeClaim) -> None:
    if not claim.status.phase:
        claim.status.phase = "Pending"
    if claim.spec.volumeMode is None:
        claim.spec.volumeMode = "Filesystem"


def validate_access_modes(errs: Errors, path: str, modes: Sequence[str]) -> None:
    if not modes:
        errs.append(fields.required(path, "at least 1 access mode is required"))
    for mode in modes:
        checks.one_of(errs, path, mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        detail = "may not use ReadWriteOncePod with other access modes"
        errs.append(fields.forbidden(path, detail))


def validate(claim: core_v1.PersistentVolumeClaim) -> Errors:
    errs: Errors = []
    spec = claim.spec
    validate_access_modes(errs, "spec.accessModes", spec.accessModes or [])
    checks.label_selector(errs, "spec.selector", spec.selector)
    storage = (spec.resources.requests or {}).get("storage")
    if storage is None:
        errs.append(fields.required("spec.resources[storage]"))
    elif quantity.compare(storage, "0") <= 0:
        errs.append(fields.invalid("spec.resources[storage]", storage, "must be greater than zero"))
    if spec.storageClassName:
        checks.form(errs, "spec.storageClassName", spec.storageClassName, checks.dns1123_subdomain)
    checks.one_of(errs, "spec.volumeMode", spec.volumeMode, VOLUME_MODES)
    _sources(errs, spec)
    return errs


def _sources(errs: Errors, spec: core_v1.PersistentVolumeClaimSpec) -> None:
    """What the volume is filled from, in its two spellings."""
    for name in ("dataSource", "dataSourceRef"):
        given = getattr(spec, name)
        if given is not None:
            _source(errs, f"spec.{name}", given)
    one, other = spec.dataSource, spec.dataSourceRef
    if other is not None and other.namespace:
        checks.form(errs, "spec.dataSourceRef.namespace", other.namespace, checks.dns1123_label)
        if one is not None:
            detail = "may not be specified when dataSourceRef.namespace is specified"
            errs.append(fields.invalid("spec", "spec.dataSource", detail))
    elif one is not None and other is not None and _identity(one) != _identity(other):
        errs.append(fields.invalid("spec", "spec.dataSource", "must match dataSourceRef"))


def _identity(source: core_v1.TypedLocalObjectReference | core_v1.TypedObjectReference) -> tuple[str, str, str]:
    return source.apiGroup or "", source.kind, source.name


def _source(errs: Errors, path: str, source: core_v1.TypedLocalObjectReference | core_v1.TypedObjectReference) -> None:
    for name in ("name", "kind"):
        if not getattr(source, name):
            errs.append(fields.required(f"{path}.{name}"))
    if source.apiGroup:
        checks.form(errs, f"{path}.apiGroup", source.apiGroup, checks.dns1123_subdomain)
    elif source.kind != "PersistentVolumeClaim":
        detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        errs.append(fields.invalid(path, source.kind, detail))


def pair_sources(spec: core_v1.PersistentVolumeClaimSpec) -> None:
    """Each spelling says what the other does. Source: KEP-1495 Volume Data Populators."""
    one, other = spec.dataSource, spec.dataSourceRef
    if one is not None and other is None:
        spec.dataSourceRef = core_v1.TypedObjectReference(apiGroup=one.apiGroup, kind=one.kind, name=one.name)
    elif other is not None and one is None and not other.namespace:
        spec.dataSource = core_v1.TypedLocalObjectReference(apiGroup=other.apiGroup, kind=other.kind, name=other.name)


def validate_change(claim: core_v1.PersistentVolumeClaim, old: core_v1.PersistentVolumeClaim) -> Errors:
    errs: Errors = []
    kept: dict[str, Any] = {"volumeAttributesClassName": old.spec.volumeAttributesClassName}
    if not old.spec.volumeName:
        kept["volumeName"] = old.spec.volumeName
    if old.spec.storageClassName is None and CLASS_ANNOTATION not in old.metadata.annotations:
        # The default class may come after the claim.
        kept["storageClassName"] = None
    if old.status.phase == "Bound":
        kept["resources"] = old.spec.resources
        new_size = (claim.spec.resources.requests or {}).get("storage", "0")
        old_size = (old.spec.resources.requests or {}).get("storage", "0")
        # Down to what the volume has, so that an expansion that failed can be taken back.
        size = (old.status.capacity or {}).get("storage", "0")
        if quantity.compare(new_size, old_size) < 0 and quantity.compare(new_size, size) <= 0:
            detail = "field can not be less than status.capacity"
            errs.append(fields.forbidden("spec.resources.requests.storage", detail))
    if msgspec.structs.replace(claim.spec, **kept) != old.spec:
        errs.append(fields.forbidden("spec", FROZEN))
    return errs


class ClaimStrategy(FunctionStrategy):
    """The main endpoint."""

    def prepare_for_create(self, obj: core_v1.PersistentVolumeClaim) -> None:
        obj.status = core_v1.PersistentVolumeClaimStatus(phase="Pending")
        pair_sources(obj.spec)

    def prepare_for_update(self, obj: core_v1.PersistentVolumeClaim, old: core_v1.PersistentVolumeClaim) -> None:
        super().prepare_for_update(obj, old)
        pair_sources(obj.spec)

    def warnings(self, obj: core_v1.PersistentVolumeClaim, old: core_v1.PersistentVolumeClaim | None) -> list[str]:
        amounts = obj.spec.resources.requests or {}
        return [
            f'spec.resources.requests[{name}]: fractional byte value "{amount}" is invalid, must be an integer'
            for name, amount in amounts.items()
            if name == "storage" and not checks.is_whole(amount)
        ]


def validate_status(claim: core_v1.PersistentVolumeClaim) -> Errors:
    errs: Errors = []
    if not claim.spec.accessModes:
        errs.append(fields.required("Spec.accessModes"))
    checks.quantities(errs, "status.capacity", claim.status.capacity)
    return errs


def short_modes(modes: Sequence[str] | None) -> str:
    return ",".join(SHORT_MODES.get(mode, mode) for mode in dict.fromkeys(modes or ()))


def _status(claim: core_v1.PersistentVolumeClaim, now: datetime) -> str:
    return "Terminating" if claim.metadata.deletionTimestamp else claim.status.phase or ""


def _bound(claim: core_v1.PersistentVolumeClaim, what: str) -> str:
    if not claim.spec.volumeName:
        return ""
    if what == "modes":
        return short_modes(claim.status.accessModes)
    return (claim.status.capacity or {}).get("storage", "")


ROW = Resource(
    group="",
    version="v1",
    kind="PersistentVolumeClaim",
    plural="persistentvolumeclaims",
    cls=core_v1.PersistentVolumeClaim,
    strategy=ClaimStrategy(default, validate, validate_change, counts_generation=False),
    short_names=("pvc",),
    subresources=(subresources.status(FunctionStatusStrategy(default, validate_status)),),
    columns=(
        NAME,
        Column("Status", _status, description="Whether it has a volume."),
        Column("Volume", lambda claim, now: claim.spec.volumeName or "", description="Its volume."),
        Column("Capacity", lambda claim, now: _bound(claim, "capacity"), description="Size of its volume."),
        Column("Access Modes", lambda claim, now: _bound(claim, "modes"), description="Who may mount it how."),
        Column("StorageClass", lambda claim, now: claim.spec.storageClassName or "", description="Its class."),
        Column(
            "VolumeAttributesClass",
            lambda claim, now: claim.spec.volumeAttributesClassName or "<unset>",
            description="Its attributes class.",
        ),
        AGE,
        Column(
            "VolumeMode", lambda claim, now: claim.spec.volumeMode or "<unset>", priority=1, description="Its mode."
        ),
    ),
)
