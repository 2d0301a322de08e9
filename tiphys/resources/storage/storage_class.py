"""StorageClass."""

from datetime import datetime

from tiphys.api import storage_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy

DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
FROZEN = ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")


def default(storage_class: storage_v1.StorageClass) -> None:
    storage_class.reclaimPolicy = storage_class.reclaimPolicy or "Delete"
    storage_class.volumeBindingMode = storage_class.volumeBindingMode or "Immediate"


def validate(storage_class: storage_v1.StorageClass) -> Errors:
    errs: Errors = []
    checks.required_form(errs, "provisioner", storage_class.provisioner.lower(), checks.qualified_name)
    for key in storage_class.parameters or {}:
        if not key:
            errs.append(fields.invalid("parameters", key, "field can not be empty."))
    checks.one_of(errs, "reclaimPolicy", storage_class.reclaimPolicy, ("Delete", "Retain"))
    checks.one_of(errs, "volumeBindingMode", storage_class.volumeBindingMode, ("Immediate", "WaitForFirstConsumer"))
    return errs


def validate_change(storage_class: storage_v1.StorageClass, old: storage_v1.StorageClass) -> Errors:
    errs: Errors = []
    for name in FROZEN:
        if (getattr(storage_class, name) or {}) != (getattr(old, name) or {}):
            errs.append(fields.forbidden(name, f"updates to {name} are forbidden."))
    return errs


def _name(storage_class: storage_v1.StorageClass, now: datetime) -> str:
    annotations = storage_class.metadata.annotations
    chosen = any(annotations.get(key) == "true" for key in DEFAULT_ANNOTATIONS)
    return f"{storage_class.metadata.name} (default)" if chosen else storage_class.metadata.name


ROW = Resource(
    group="storage.k8s.io",
    version="v1",
    kind="StorageClass",
    plural="storageclasses",
    cls=storage_v1.StorageClass,
    strategy=FunctionStrategy(default, validate, validate_change, counts_generation=False),
    namespaced=False,
    short_names=("sc",),
    columns=(
        Column("Name", _name, format="name", description="Its name, and whether it is the default."),
        Column("Provisioner", lambda each, now: each.provisioner, description="Who makes its volumes."),
        Column("ReclaimPolicy", lambda each, now: each.reclaimPolicy or "", description="What becomes of volumes."),
        Column("VolumeBindingMode", lambda each, now: each.volumeBindingMode or "", description="When they are bound."),
        Column(
            "AllowVolumeExpansion",
            lambda each, now: bool(each.allowVolumeExpansion),
            type="boolean",
            description="Whether volumes may grow.",
        ),
        AGE,
    ),
)
