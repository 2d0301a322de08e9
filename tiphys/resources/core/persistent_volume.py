"""PersistentVolume."""

from datetime import datetime

from tiphys.api import core_v1
from tiphys.machinery import fields, quantity
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.core.persistent_volume_claim import VOLUME_MODES, short_modes, validate_access_modes
from tiphys.resources.core.pod import defaults
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
SOURCES = tuple(sorted({*defaults.SOURCES, "local"} & set(core_v1.PersistentVolumeSpec.__struct_fields__)))


def default(volume: core_v1.PersistentVolume) -> None:
    if not volume.status.phase:
        volume.status.phase = "Pending"
    if not volume.spec.persistentVolumeReclaimPolicy:
        volume.spec.persistentVolumeReclaimPolicy = "Retain"
    if volume.spec.volumeMode is None:
        volume.spec.volumeMode = "Filesystem"
    if volume.spec.hostPath is not None and volume.spec.hostPath.type is None:
        volume.spec.hostPath.type = ""


def validate(volume: core_v1.PersistentVolume) -> Errors:
    errs: Errors = []
    spec = volume.spec
    validate_access_modes(errs, "spec.accessModes", spec.accessModes or [])
    if not spec.capacity:
        errs.append(fields.required("spec.capacity"))
    elif "storage" not in spec.capacity or len(spec.capacity) > 1:
        errs.append(fields.not_supported("spec.capacity", spec.capacity, ("storage",)))
    for name, amount in (spec.capacity or {}).items():
        if quantity.compare(amount, "0") <= 0:
            errs.append(fields.invalid(f"spec.capacity[{name}]", amount, "must be greater than zero"))
    checks.one_of(errs, "spec.persistentVolumeReclaimPolicy", spec.persistentVolumeReclaimPolicy, RECLAIM_POLICIES)
    present = [name for name in SOURCES if getattr(spec, name) is not None]
    if not present:
        errs.append(fields.required("spec", "must specify a volume type"))
    checks.at_most_one(errs, "spec", present, "may not specify more than 1 volume type")
    if spec.storageClassName:
        checks.form(errs, "spec.storageClassName", spec.storageClassName, checks.dns1123_subdomain)
    checks.one_of(errs, "spec.volumeMode", spec.volumeMode, VOLUME_MODES)
    return errs


def validate_change(volume: core_v1.PersistentVolume, old: core_v1.PersistentVolume) -> Errors:
    errs: Errors = []
    if any(getattr(volume.spec, name) != getattr(old.spec, name) for name in SOURCES):
        detail = "spec.persistentvolumesource is immutable after creation"
        errs.append(fields.forbidden("spec.persistentvolumesource", detail))
    checks.immutable(errs, "spec.volumeMode", volume.spec.volumeMode, old.spec.volumeMode)
    return errs


class VolumeStrategy(FunctionStrategy):
    """The main endpoint."""

    def prepare_for_create(self, obj: core_v1.PersistentVolume) -> None:
        obj.status = core_v1.PersistentVolumeStatus(phase="Pending")


def _status(volume: core_v1.PersistentVolume, now: datetime) -> str:
    return "Terminating" if volume.metadata.deletionTimestamp else volume.status.phase or ""


def _claim(volume: core_v1.PersistentVolume, now: datetime) -> str:
    claim = volume.spec.claimRef
    return f"{claim.namespace}/{claim.name}" if claim is not None else ""


ROW = Resource(
    group="",
    version="v1",
    kind="PersistentVolume",
    plural="persistentvolumes",
    cls=core_v1.PersistentVolume,
    strategy=VolumeStrategy(default, validate, validate_change, counts_generation=False),
    namespaced=False,
    short_names=("pv",),
    subresources=(subresources.status(FunctionStatusStrategy(default)),),
    columns=(
        NAME,
        Column("Capacity", lambda pv, now: (pv.spec.capacity or {}).get("storage", ""), description="Its size."),
        Column("Access Modes", lambda pv, now: short_modes(pv.spec.accessModes), description="Who may mount it how."),
        Column(
            "Reclaim Policy",
            lambda pv, now: pv.spec.persistentVolumeReclaimPolicy or "",
            description="What happens when it is released.",
        ),
        Column("Status", _status, description="Whether it is claimed."),
        Column("Claim", _claim, description="By whom it is claimed."),
        Column("StorageClass", lambda pv, now: pv.spec.storageClassName or "", description="Its class."),
        Column(
            "VolumeAttributesClass",
            lambda pv, now: pv.spec.volumeAttributesClassName or "<unset>",
            description="Its attributes class.",
        ),
        Column("Reason", lambda pv, now: pv.status.reason or "", description="Why it is in its phase."),
        AGE,
        Column("VolumeMode", lambda pv, now: pv.spec.volumeMode or "<unset>", priority=1, description="Its mode."),
    ),
)
