"""LimitRange. Stored and shown; not yet enforced."""

from tiphys.api import core_v1
from tiphys.machinery import fields, quantity
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import CREATED_AT, NAME
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import FunctionStrategy


def default(limit_range: core_v1.LimitRange) -> None:
    """For containers, limits default to the maximum and requests to the limit or the minimum."""
    for item in limit_range.spec.limits:
        if item.type != "Container":
            continue
        item.default = {**(item.max or {}), **(item.default or {})} or None
        requests = {**(item.min or {}), **(item.default or {}), **(item.defaultRequest or {})}
        item.defaultRequest = requests or None


def validate(limit_range: core_v1.LimitRange) -> Errors:
    errs: Errors = []
    kinds = [item.type for item in limit_range.spec.limits]
    checks.duplicates(errs, lambda index: f"spec.limits[{index}].type", kinds)
    for index, item in enumerate(limit_range.spec.limits):
        path = f"spec.limits[{index}]"
        checks.required_form(errs, f"{path}.type", item.type, checks.qualified_name)
        if item.type == "Pod":
            for name in ("default", "defaultRequest"):
                if getattr(item, name):
                    errs.append(fields.forbidden(f"{path}.{name}", "may not be specified when `type` is 'Pod'"))
        for name, least in (item.min or {}).items():
            most = (item.max or {}).get(name)
            if most is not None and quantity.compare(least, most) > 0:
                detail = f"min value {least} is greater than max value {most}"
                errs.append(fields.invalid(f"{path}.min[{name}]", least, detail))
    return errs


ROW = Resource(
    group="",
    version="v1",
    kind="LimitRange",
    plural="limitranges",
    cls=core_v1.LimitRange,
    strategy=FunctionStrategy(default, validate, counts_generation=False, create_on_update=True),
    short_names=("limits",),
    columns=(NAME, CREATED_AT),
)
