"""ResourceQuota."""

from datetime import datetime

from tiphys.api import core_v1
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

SCOPES = (
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
)


def validate(quota: core_v1.ResourceQuota) -> Errors:
    errs: Errors = []
    checks.quantities(errs, "spec.hard", quota.spec.hard)
    for scope in quota.spec.scopes or ():
        checks.one_of(errs, "spec.scopes", scope, SCOPES)
    return errs


def validate_change(quota: core_v1.ResourceQuota, old: core_v1.ResourceQuota) -> Errors:
    errs: Errors = []
    checks.immutable(errs, "spec.scopes", sorted(quota.spec.scopes or ()), sorted(old.spec.scopes or ()))
    return errs


def validate_status(quota: core_v1.ResourceQuota) -> Errors:
    errs: Errors = []
    checks.quantities(errs, "status.hard", quota.status.hard)
    checks.quantities(errs, "status.used", quota.status.used)
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
