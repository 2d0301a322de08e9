"""Validation of resource requests and limits."""

from functools import lru_cache

from tiphys.api import core_v1
from tiphys.machinery import fields, quantity
from tiphys.resources import checks
from tiphys.resources.checks import Errors

CONTAINER_RESOURCES = {"cpu", "ephemeral-storage", "memory"}
#: Names without a domain that mean something somewhere (in containers, quotas, claims or nodes).
STANDARD_RESOURCES = {
    *CONTAINER_RESOURCES,
    "configmaps",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
    "storage",
}
HUGE_PAGES = "hugepages-"
POD_RESOURCES = ("cpu", "memory")

_compare = lru_cache(maxsize=4096)(quantity.compare)


@lru_cache(maxsize=4096)
def name_problems(name: str) -> tuple[str, ...]:
    """What is wrong with the name of a container's resource."""
    problems = checks.qualified_name(name)
    if "/" not in name and not name.startswith(HUGE_PAGES):
        if name not in STANDARD_RESOURCES:
            problems += ("must be a standard resource type or fully qualified",)
        if name not in CONTAINER_RESOURCES:
            problems += ("must be a standard resource for containers",)
    elif "/" in name and not is_native(name) and not is_extended(name):
        problems += ("doesn't follow extended resource name standard",)
    return problems


@lru_cache(maxsize=4096)
def amount_problems(name: str, amount: str) -> tuple[str, ...]:
    """What is wrong with an amount of the resource."""
    problems: tuple[str, ...] = ()
    if amount.startswith("-"):
        problems += (checks.NOT_NEGATIVE,)
    if is_counted(name) and not checks.is_whole(amount):
        problems += ("must be an integer",)
    return problems


def is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """Resources of device plugins and operators."""
    return not (is_native(name) or name.startswith("requests.")) and not checks.qualified_name(f"requests.{name}")


def is_counted(name: str) -> bool:
    """Only whole units can be given out."""
    return is_extended(name) or name in {"pods", "services", "secrets", "configmaps", "persistentvolumeclaims"}


def may_overcommit(name: str) -> bool:
    """Limits may be above requests."""
    return is_native(name) and not name.startswith(HUGE_PAGES)


def validate_container_resources(
    errs: Errors, path: str, resources: core_v1.ResourceRequirements, claims: set[str]
) -> None:
    limits, requests = resources.limits or {}, resources.requests or {}
    for name, amount in limits.items():
        if name_problems(name) or amount_problems(name, amount):
            _resource(errs, f"{path}.limits[{name}]", name, amount)
    for name, amount in requests.items():
        if name_problems(name) or amount_problems(name, amount):
            _resource(errs, f"{path}.requests[{name}]", name, amount)
        _against_limit(errs, path, name, amount, limits.get(name))
    names = {*limits, *requests}
    if any(name.startswith(HUGE_PAGES) for name in names) and not names & {"cpu", "memory"}:
        errs.append(fields.forbidden(path, "HugePages require cpu or memory"))
    for index, claim in enumerate(resources.claims or ()):
        if not claim.name:
            errs.append(fields.required(f"{path}.claims[{index}]"))
        elif claim.name not in claims:
            errs.append(fields.not_found(f"{path}.claims[{index}]", claim.name))


def _resource(errs: Errors, path: str, name: str, amount: str) -> None:
    for message in name_problems(name):
        errs.append(fields.invalid(path, name, message))
    for message in amount_problems(name, amount):
        errs.append(fields.invalid(path, amount, message))


def _against_limit(errs: Errors, path: str, name: str, amount: str, limit: str | None) -> None:
    if limit is None:
        if not may_overcommit(name):
            errs.append(fields.required(f"{path}.limits", "Limit must be set for non overcommitable resources"))
        return
    difference = _compare(amount, limit)
    if difference and not may_overcommit(name):
        errs.append(fields.invalid(f"{path}.requests", amount, f"must be equal to {name} limit of {limit}"))
    elif difference > 0:
        detail = f"must be less than or equal to {name} limit of {limit}"
        errs.append(fields.invalid(f"{path}.requests", amount, detail))


def validate_pod_resources(errs: Errors, path: str, spec: core_v1.PodSpec) -> None:
    """Requests and limits of the Pod as a whole: not below the sum of its containers' requests."""
    resources = spec.resources
    if resources is None:
        return
    if resources.claims:
        errs.append(fields.forbidden(f"{path}.claims", "claims cannot be set for Resources at pod-level"))
    for field in ("limits", "requests"):
        for name in getattr(resources, field) or {}:
            if name not in POD_RESOURCES and not name.startswith(HUGE_PAGES):
                errs.append(fields.not_supported(f"{path}.{field}[{name}]", name, (*POD_RESOURCES, HUGE_PAGES)))
    for name, amount in (resources.requests or {}).items():
        limit = (resources.limits or {}).get(name)
        if limit is not None and _compare(amount, limit) > 0:
            detail = f"must be less than or equal to {name} limit of {limit}"
            errs.append(fields.invalid(f"{path}.requests", amount, detail))
        asked = "0"
        for container in spec.containers:
            asked = quantity.add(asked, (container.resources.requests or {}).get(name, "0"))
        if quantity.compare(amount, asked) < 0:
            detail = f"must be greater than or equal to aggregate container requests of {asked}"
            errs.append(fields.invalid(f"{path}.requests[{name}]", amount, detail))
