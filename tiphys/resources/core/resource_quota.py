"""ResourceQuota."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.core.pod.resources import HUGE_PAGES, STANDARD_RESOURCES
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

#: Names that go on freely behind these count as standard.
PREFIXES = (HUGE_PAGES, f"requests.{HUGE_PAGES}")
SCOPES = (
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
)


TERMINATION = ("Terminating", "NotTerminating")
QUALITY = ("BestEffort", "NotBestEffort")
#: Scopes that a selector may ask for by value; the others are there or not.
VALUED = ("PriorityClass", "VolumeAttributesClass")
WHOLE = ("pods", "replicationcontrollers", "resourcequotas", "services", "secrets", "configmaps",
         "persistentvolumeclaims", "services.loadbalancers", "services.nodeports")  # fmt: skip
#: Which of the bare names a scope can be applied to; names with a domain always can.
POD_COMPUTE = ("pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory",
               "requests.ephemeral-storage", "limits.ephemeral-storage", "ephemeral-storage")  # fmt: skip
APPLIES = {
    **dict.fromkeys((*TERMINATION, "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity"), POD_COMPUTE),
    "BestEffort": ("pods",),
    "VolumeAttributesClass": ("persistentvolumeclaims", "requests.storage"),
}
EXISTS_ONLY = (
    "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def validate(quota: core_v1.ResourceQuota) -> Errors:
    errs: Errors = []
    _hard(errs, "spec.hard", quota.spec.hard)
    scopes = quota.spec.scopes or []
    _scopes(errs, "spec.scopes", scopes, scopes, quota.spec.hard or {})
    if quota.spec.scopeSelector is not None:
        _selector(errs, quota.spec.scopeSelector, quota.spec.hard or {})
    return errs


def _hard(errs: Errors, path: str, amounts: Mapping[str, str] | None) -> None:
    for name, amount in (amounts or {}).items():
        here = f"{path}[{name}]"
        checks.form(errs, here, name, checks.qualified_name)
        if "/" not in name and name not in STANDARD_RESOURCES and not name.startswith(PREFIXES):
            errs.append(fields.invalid(here, name, "must be a standard resource for quota"))
        checks.quantity_not_negative(errs, here, amount)
        if (name in WHOLE or name.startswith("count/")) and not checks.is_whole(amount):
            errs.append(fields.invalid(here, amount, "must be an integer"))


def _scopes(errs: Errors, path: str, scopes: Sequence[str], shown: Any, hard: Mapping[str, str]) -> None:
    for scope in scopes:
        if scope not in SCOPES:
            errs.append(fields.invalid(path, shown, "unsupported scope"))
            continue
        for name in sorted(hard):
            if name in STANDARD_RESOURCES and name not in APPLIES[scope]:
                errs.append(fields.invalid(path, shown, "unsupported scope applied to resource"))
    for pair in (QUALITY, TERMINATION):
        if set(pair) <= set(scopes):
            errs.append(fields.invalid(path, shown, "conflicting scopes"))


def _selector(errs: Errors, selector: core_v1.ScopeSelector, hard: Mapping[str, str]) -> None:
    path = "spec.scopeSelector.matchExpressions"
    expressions = selector.matchExpressions or []
    for expression in expressions:
        operator, values = expression.operator, expression.values or []
        if expression.scopeName not in SCOPES:
            errs.append(fields.invalid(f"{path}.scopeName", expression.scopeName, "unsupported scope"))
        elif expression.scopeName not in VALUED and operator != "Exists":
            errs.append(fields.invalid(f"{path}.operator", operator, EXISTS_ONLY))
        if operator in ("In", "NotIn"):
            if not values:
                detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                errs.append(fields.required(f"{path}.values", detail))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                errs.append(fields.invalid(f"{path}.values", values, detail))
        else:
            errs.append(fields.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    known = [each.scopeName for each in expressions if each.scopeName in SCOPES]
    _scopes(errs, "spec.scopeSelector", known, selector, hard)


def validate_change(quota: core_v1.ResourceQuota, old: core_v1.ResourceQuota) -> Errors:
    errs: Errors = []
    if sorted(quota.spec.scopes or ()) != sorted(old.spec.scopes or ()):
        errs.append(fields.invalid("spec.scopes", quota.spec.scopes or [], checks.IMMUTABLE))
    return errs


def validate_status(quota: core_v1.ResourceQuota) -> Errors:
    errs: Errors = []
    _hard(errs, "status.hard", quota.status.hard)
    _hard(errs, "status.used", quota.status.used)
    return errs


def _usage(quota: core_v1.ResourceQuota, *, limits: bool) -> str:
    used = quota.status.used or {}
    hard = quota.status.hard or {}
    return ", ".join(
        f"{name}: {used.get(name, '0')}/{hard[name]}" for name in sorted(hard) if name.startswith("limits.") == limits
    )


def _requests(quota: core_v1.ResourceQuota, now: datetime) -> str:
    return _usage(quota, limits=False)


def _limits(quota: core_v1.ResourceQuota, now: datetime) -> str:
    return _usage(quota, limits=True)


ROW = Resource(
    group="",
    version="v1",
    kind="ResourceQuota",
    plural="resourcequotas",
    cls=core_v1.ResourceQuota,
    strategy=FunctionStrategy(None, validate, validate_change, counts_generation=False),
    short_names=("quota",),
    subresources=(subresources.status(FunctionStatusStrategy(None, validate_status)),),
    columns=(
        NAME,
        Column("Request", _requests, description="What is used of requests and counts."),
        Column("Limit", _limits, description="What is used of limits."),
        AGE,
    ),
)
