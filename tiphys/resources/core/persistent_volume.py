"""PersistentVolume."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from tiphys.api import core_v1
from tiphys.machinery import fields, quantity
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.core.persistent_volume_claim import VOLUME_MODES, short_modes, validate_access_modes
from tiphys.resources.core.pod import defaults, volumes
from tiphys.resources.core.pod.scheduling import validate_node_selector
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

DRIVER_MAX = 63
SECRETS = (
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodePublishSecretRef",
    "nodeExpandSecretRef",
)
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
    for name in present[:1]:
        check = CHECKS.get(name)
        if check is not None:
            check(errs, f"spec.{name}", getattr(spec, name))
    _affinity(errs, spec)
    _attributes_class(errs, spec)
    return errs


def _local(errs: Errors, path: str, source: core_v1.LocalVolumeSource) -> None:
    if not source.path:
        errs.append(fields.required(f"{path}.path"))
    elif ".." in source.path.split("/"):
        errs.append(fields.invalid(f"{path}.path", source.path, "must not contain '..'"))


def _csi(errs: Errors, path: str, source: core_v1.CSIPersistentVolumeSource) -> None:
    checks.required_form(errs, f"{path}.driver", source.driver.lower(), checks.dns1123_subdomain)
    if len(source.driver) > DRIVER_MAX:
        errs.append(fields.too_long(f"{path}.driver", source.driver, DRIVER_MAX))
    if not source.volumeHandle:
        errs.append(fields.required(f"{path}.volumeHandle"))
    for field in SECRETS:
        secret = getattr(source, field)
        for name in ("name", "namespace") if secret is not None else ():
            if not getattr(secret, name):
                errs.append(fields.required(f"{path}.{field}.{name}"))


#: What is checked of a source beyond that there is one; those of drivers that are gone are kept as they are.
CHECKS: dict[str, Callable[[Errors, str, Any], None]] = {**volumes.SHARED, "csi": _csi, "local": _local}


def _affinity(errs: Errors, spec: core_v1.PersistentVolumeSpec) -> None:
    affinity = spec.nodeAffinity
    if affinity is not None:
        if affinity.required is None:
            errs.append(fields.required("spec.nodeAffinity.required", "must specify required node constraints"))
        else:
            validate_node_selector(errs, "spec.nodeAffinity.required", affinity.required)
    elif spec.local is not None:
        errs.append(fields.required("spec.nodeAffinity", "Local volume requires node affinity"))
    at_root = spec.hostPath is not None and spec.hostPath.path.rstrip("/") == "" and spec.hostPath.path
    if at_root and spec.persistentVolumeReclaimPolicy == "Recycle":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        errs.append(fields.forbidden("spec.persistentVolumeReclaimPolicy", detail))


def _attributes_class(errs: Errors, spec: core_v1.PersistentVolumeSpec) -> None:
    name = spec.volumeAttributesClassName
    if name is None:
        return
    here = "spec.volumeAttributesClassName"
    checks.required_form(errs, here, name, checks.dns1123_subdomain, "an empty string is disallowed")
    if spec.csi is None:
        errs.append(fields.required("spec.csi", "has to be specified when using volumeAttributesClassName"))


def validate_change(volume: core_v1.PersistentVolume, old: core_v1.PersistentVolume) -> Errors:
    errs: Errors = []
    if any(getattr(volume.spec, name) != getattr(old.spec, name) for name in SOURCES):
        detail = "spec.persistentvolumesource is immutable after creation"
        errs.append(fields.forbidden("spec.persistentvolumesource", detail))
    checks.immutable(errs, "spec.volumeMode", volume.spec.volumeMode, old.spec.volumeMode)
    if old.spec.nodeAffinity is not None and volume.spec.nodeAffinity != old.spec.nodeAffinity:
        detail = f"{checks.IMMUTABLE}, except for updating from beta label to GA"
        errs.append(fields.invalid("spec.nodeAffinity", volume.spec.nodeAffinity, detail))
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
