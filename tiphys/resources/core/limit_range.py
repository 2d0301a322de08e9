"""LimitRange: bounds and defaults of what containers, Pods and claims ask for, enforced at admission."""

from tiphys.api import core_v1
from tiphys.machinery import fields, quantity
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import CREATED_AT, NAME
from tiphys.resources.core.pod import resources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import FunctionStrategy

TYPES = ("Container", "PersistentVolumeClaim", "Pod")
FIELDS = ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio")


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
        if item.type and "/" not in item.type and item.type not in TYPES:
            detail = "must be a standard limit type or fully qualified"
            errs.append(fields.invalid(f"{path}.type", item.type, detail))
        if item.type == "Pod":
            for name in ("default", "defaultRequest"):
                if getattr(item, name):
                    errs.append(fields.forbidden(f"{path}.{name}", "may not be specified when `type` is 'Pod'"))
        if item.type == "PersistentVolumeClaim" and "storage" not in {**(item.min or {}), **(item.max or {})}:
            detail = "either minimum or maximum storage value is required, but neither was provided"
            errs.append(fields.required(f"{path}.limits", detail))
        _names(errs, path, item)
        names = dict.fromkeys(name for field in FIELDS for name in getattr(item, field) or ())
        for name in names:
            _amounts(errs, path, name, item)
    return errs


def _names(errs: Errors, path: str, item: core_v1.LimitRangeItem) -> None:
    for field in FIELDS:
        for name in getattr(item, field) or ():
            problems = (
                resources.name_problems(name) if item.type in ("Container", "Pod") else checks.qualified_name(name)
            )
            for message in problems:
                errs.append(fields.invalid(f"{path}.{field}[{name}]", name, message))


def _amounts(errs: Errors, path: str, name: str, item: core_v1.LimitRangeItem) -> None:
    """The amounts of one resource against each other."""
    least, most, limit, request, ratio = ((getattr(item, field) or {}).get(name) for field in FIELDS)
    for field, low, high, value, words in (
        ("min", least, most, least, "min value {} is greater than max value {}"),
        ("defaultRequest", least, request, request, "min value {} is greater than default request value {}"),
        ("defaultRequest", request, most, request, "default request value {} is greater than max value {}"),
        ("defaultRequest", request, limit, request, "default request value {} is greater than default limit value {}"),
        ("default", least, limit, least, "min value {} is greater than default value {}"),
        ("default", limit, most, most, "default value {} is greater than max value {}"),
    ):
        if low is not None and high is not None and quantity.compare(low, high) > 0:
            errs.append(fields.invalid(f"{path}.{field}[{name}]", value, words.format(low, high)))
    here = f"{path}.maxLimitRequestRatio[{name}]"
    if ratio is not None and quantity.compare(ratio, "1") < 0:
        errs.append(fields.invalid(here, ratio, f"ratio {ratio} is less than 1"))
    if ratio is not None and least is not None and most is not None and quantity.parse(least):
        widest = float(quantity.parse(most) / quantity.parse(least))
        if float(quantity.parse(ratio)) > widest:
            errs.append(fields.invalid(here, ratio, f"ratio {ratio} is greater than max/min = {widest:f}"))
    if limit is not None and request is not None and limit != request and not _overcommits(name):
        detail = f"default value {limit} must equal to defaultRequest value {request} in {name}"
        errs.append(fields.invalid(f"{path}.defaultRequest[{name}]", request, detail))


def _overcommits(name: str) -> bool:
    return "/" not in name and not name.startswith(resources.HUGE_PAGES)


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
