"""VolumeAttributesClass: attributes of volumes that may change after they were made.

Source: KEP-3751 VolumeAttributesClass.
"""

from datetime import datetime

from tiphys.api import storage_v1, storage_v1beta1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy
from tiphys.resources.versions import older

DEFAULT_ANNOTATION = "volumeattributesclass.alpha.kubernetes.io/is-default-class"
PARAMETERS_MAX = 512
PARAMETERS_BYTES_MAX = 256 * 1024


def validate(attributes: storage_v1.VolumeAttributesClass) -> Errors:
    errs: Errors = []
    checks.required_form(errs, "driverName", attributes.driverName.lower(), checks.qualified_name)
    parameters = attributes.parameters or {}
    if not parameters:
        errs.append(fields.required("parameters", "must contain at least one key/value pair"))
    if len(parameters) > PARAMETERS_MAX:
        errs.append(fields.too_long("parameters", "Provisioner Parameters exceeded max allowed", PARAMETERS_MAX))
        return errs
    if "" in parameters:
        errs.append(fields.invalid("parameters", "", "field can not be empty."))
    if sum(len(key.encode()) + len(value.encode()) for key, value in parameters.items()) > PARAMETERS_BYTES_MAX:
        errs.append(fields.too_long("parameters", "", PARAMETERS_BYTES_MAX))
    return errs


class AttributesStrategy(FunctionStrategy):
    """Nothing but metadata may change."""

    def validate_update(self, obj: storage_v1.VolumeAttributesClass, old: storage_v1.VolumeAttributesClass) -> Errors:
        errs: Errors = []
        if obj.driverName != old.driverName:
            errs.append(fields.forbidden("driverName", "updates to driverName are forbidden."))
        if (obj.parameters or {}) != (old.parameters or {}):
            errs.append(fields.forbidden("parameters", "updates to parameters are forbidden."))
        return errs


def _name(attributes: storage_v1.VolumeAttributesClass, now: datetime) -> str:
    name = attributes.metadata.name
    return f"{name} (default)" if attributes.metadata.annotations.get(DEFAULT_ANNOTATION) == "true" else name


ROW = Resource(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttributesClass",
    plural="volumeattributesclasses",
    cls=storage_v1.VolumeAttributesClass,
    strategy=AttributesStrategy(None, validate, counts_generation=False),
    namespaced=False,
    short_names=("vac",),
    columns=(
        Column("Name", _name, format="name", description="Its name, and whether it is the default."),
        Column("DriverName", lambda each, now: each.driverName, description="The driver that knows the parameters."),
        AGE,
    ),
)
ROWS = (ROW, older(ROW, "v1beta1", storage_v1beta1.VolumeAttributesClass))
