"""ConfigMap."""

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource, Strategy

MAX_BYTES = 1024 * 1024
IMMUTABLE = "field is immutable when `immutable` is set"


def validate(config_map: core_v1.ConfigMap) -> Errors:
    errs: Errors = []
    size = 0
    binary = config_map.binaryData or {}
    for key, value in (config_map.data or {}).items():
        checks.form(errs, f"data[{key}]", key, checks.config_map_key)
        if key in binary:
            errs.append(fields.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        size += len(value.encode())
    for key, content in binary.items():
        checks.form(errs, f"binaryData[{key}]", key, checks.config_map_key)
        size += len(content)
    if size > MAX_BYTES:
        errs.append(fields.too_long("", "", MAX_BYTES))
    return errs


class ConfigMapStrategy(Strategy[core_v1.ConfigMap]):
    """The main endpoint."""

    def validate_create(self, obj: core_v1.ConfigMap) -> list[FieldError]:
        return validate(obj)

    def validate_update(self, obj: core_v1.ConfigMap, old: core_v1.ConfigMap) -> list[FieldError]:
        errs: Errors = []
        if old.immutable:
            if not obj.immutable:
                errs.append(fields.forbidden("immutable", IMMUTABLE))
            for field in ("data", "binaryData"):
                if (getattr(obj, field) or {}) != (getattr(old, field) or {}):
                    errs.append(fields.forbidden(field, IMMUTABLE))
        return [*errs, *validate(obj)]


ROW = Resource(
    group="",
    version="v1",
    kind="ConfigMap",
    plural="configmaps",
    cls=core_v1.ConfigMap,
    strategy=ConfigMapStrategy(),
    short_names=("cm",),
    columns=(
        NAME,
        Column(
            "Data",
            lambda config_map, now: len(config_map.data or {}) + len(config_map.binaryData or {}),
            type="integer",
            description="How many keys it has.",
        ),
        AGE,
    ),
)
