"""Which address families a Service gets: its policy, what it names, what the cluster has.

A Service never changes between one family and two by itself: only its
``ipFamilyPolicy``, or a second address or family that it names, says so.
Source: KEP-563 Dual-stack, by behaviour.
"""

import ipaddress
from collections.abc import Sequence

from tiphys.api import core_v1
from tiphys.machinery import errors, fields
from tiphys.machinery.fields import FieldError
from tiphys.resources.core.service import validate_addresses
from tiphys.resources.core.service_facts import is_headless

SINGLE, PREFER, REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"
OTHER = {"IPv4": "IPv6", "IPv6": "IPv4"}


def family_of(address: str) -> str:
    """``IPv4`` or ``IPv6`` of a valid address."""
    return f"IPv{ipaddress.ip_address(address).version}"


def settle(service: core_v1.Service, old: core_v1.Service | None, configured: Sequence[str]) -> None:
    """Fill ``ipFamilyPolicy`` and ``ipFamilies`` in; ``configured`` begins with the default. Raises Invalid."""
    spec = service.spec
    if spec.type == "ExternalName":
        return
    before = old.spec if old is not None else None
    if before is not None and _prefers_as_before(spec, before):
        return
    _default_policy(spec, before)
    found: list[FieldError] = []
    validate_addresses(found, spec)
    _refuse(service, found)
    if before is not None:
        _change(found, spec, before)
    _check_policy(found, spec)
    _infer(found, spec, configured)
    _refuse(service, found)
    if is_headless(spec) and not spec.selector:
        _without_selector(spec, configured)
        return
    _check_configured(found, spec, configured)
    _refuse(service, found)
    families = list(spec.ipFamilies or configured[:1])
    if spec.ipFamilyPolicy != SINGLE and len(families) == 1 and len(configured) == 2:
        families.append(OTHER[families[0]])
    spec.ipFamilies = families


def _refuse(service: core_v1.Service, found: list[FieldError]) -> None:
    if found:
        raise errors.Invalid("Service", "", service.metadata.name, found)


def _prefers_as_before(new: core_v1.ServiceSpec, old: core_v1.ServiceSpec) -> bool:
    """It took what the cluster had, and the cluster may have changed since: it keeps that."""
    same = (new.clusterIPs, new.ipFamilies) == (old.clusterIPs, old.ipFamilies)
    return new.ipFamilyPolicy == old.ipFamilyPolicy == PREFER and same and bool(new.ipFamilies)


def _default_policy(new: core_v1.ServiceSpec, old: core_v1.ServiceSpec | None) -> None:
    if new.ipFamilyPolicy is None:
        if old is not None and old.ipFamilyPolicy is not None:
            new.ipFamilyPolicy = old.ipFamilyPolicy
        else:
            new.ipFamilyPolicy = REQUIRE if new.clusterIP == "None" and not new.selector else SINGLE


def _change(found: list[FieldError], new: core_v1.ServiceSpec, old: core_v1.ServiceSpec) -> None:
    """Going back to one family is said by the policy; addresses that are still named are dropped then."""
    for name, word in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        now, then = getattr(new, name) or [], getattr(old, name) or []
        if new.ipFamilyPolicy == SINGLE:
            if now == then and len(now) > 1:
                setattr(new, name, now[:1])
        elif now and len(now) < len(then) and now == then[: len(now)]:
            detail = f"must be 'SingleStack' to release the secondary {word}"
            found.append(fields.invalid("spec.ipFamilyPolicy", new.ipFamilyPolicy, detail))


def _check_policy(found: list[FieldError], spec: core_v1.ServiceSpec) -> None:
    if spec.ipFamilyPolicy != SINGLE:
        return
    for name, words in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")):
        if len(getattr(spec, name) or ()) == 2:
            detail = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {words} are specified"
            found.append(fields.invalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy, detail))


def _infer(found: list[FieldError], spec: core_v1.ServiceSpec, configured: Sequence[str]) -> None:
    """Families of addresses that are named without one."""
    families = list(spec.ipFamilies or ())
    for index, address in enumerate(spec.clusterIPs or ()):
        if address == "None":
            break
        if index < len(families) or not address:
            continue
        family = family_of(address)
        if family in configured:
            families.append(family)
        else:
            detail = f"{family} is not configured on this cluster"
            found.append(fields.invalid(f"spec.clusterIPs[{index}]", spec.clusterIPs, detail))
    if families:
        spec.ipFamilies = families


def _without_selector(spec: core_v1.ServiceSpec, configured: Sequence[str]) -> None:
    """Whoever writes such a Service's endpoints may have families that the cluster has not."""
    families = list(spec.ipFamilies or configured[:1])
    if len(families) < 2 and spec.ipFamilyPolicy != SINGLE:
        families.append(OTHER[families[0]])
    spec.ipFamilies = families


def _check_configured(found: list[FieldError], spec: core_v1.ServiceSpec, configured: Sequence[str]) -> None:
    if spec.ipFamilyPolicy == REQUIRE and len(configured) < 2:
        detail = "this cluster is not configured for dual-stack services"
        found.append(fields.invalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy, detail))
    for index, family in enumerate(spec.ipFamilies or ()):
        if family not in configured:
            found.append(fields.invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster"))
