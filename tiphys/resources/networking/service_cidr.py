"""ServiceCIDR: a range that Services get their addresses from, one per address family.

Source: KEP-1880 Multiple Service CIDRs.
"""

import ipaddress
from datetime import datetime

from tiphys.api import networking_v1, networking_v1beta1
from tiphys.machinery import fields
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy
from tiphys.resources.versions import older

#: The one that the API server makes of its own ranges.
DEFAULT_NAME = "kubernetes"
FINALIZER = "networking.k8s.io/service-cidr-finalizer"
READY = "Ready"
BOTH_FAMILIES = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


def validate(service_cidr: networking_v1.ServiceCIDR) -> Errors:
    errs: Errors = []
    cidrs = service_cidr.spec.cidrs or []
    if not cidrs:
        errs.append(fields.required("spec.cidrs", "at least one CIDR required"))
    elif len(cidrs) > 2:
        errs.append(fields.invalid("spec.cidrs", service_cidr.spec, "may only hold up to 2 values"))
    else:
        for index, cidr in enumerate(cidrs):
            checks.form(errs, f"spec.cidrs[{index}]", cidr, canonical_cidr)
        if not errs and len({ipaddress.ip_network(cidr).version for cidr in cidrs}) < len(cidrs):
            errs.append(fields.invalid("spec.cidrs", cidrs, BOTH_FAMILIES))
    return errs


def canonical_cidr(value: str) -> tuple[str, ...]:
    """What is wrong with a range that must be written as a network is."""
    found = checks.cidr(value)
    if found:
        return found
    network = ipaddress.ip_network(value, strict=False)
    if value != str(network):
        return (f'must be in canonical form ("{network}")',)
    return ()


class ServiceCIDRStrategy(FunctionStrategy):
    """Ranges stay, but a second family may be added. Source: issue "ServiceCIDR: allow dual-stack upgrade"."""

    def validate_update(self, obj: networking_v1.ServiceCIDR, old: networking_v1.ServiceCIDR) -> Errors:
        errs: Errors = []
        new, before = obj.spec.cidrs or [], old.spec.cidrs or []
        grown = len(before) == 1 and len(new) == 2
        if len(new) != len(before) and not grown:
            errs.append(fields.invalid("spec.cidrs", new, checks.IMMUTABLE))
            return errs
        for index, (after, cidr) in enumerate(zip(new, before, strict=False)):
            checks.immutable(errs, f"spec.cidrs[{index}]", after, cidr)
        return [*errs, *validate(obj)] if grown else errs


def _cidrs(service_cidr: networking_v1.ServiceCIDR, now: datetime) -> str:
    return ",".join(service_cidr.spec.cidrs or ())


ROW = Resource(
    group="networking.k8s.io",
    version="v1",
    kind="ServiceCIDR",
    plural="servicecidrs",
    cls=networking_v1.ServiceCIDR,
    strategy=ServiceCIDRStrategy(None, validate, counts_generation=False),
    namespaced=False,
    subresources=(subresources.status(FunctionStatusStrategy()),),
    columns=(NAME, Column("CIDRs", _cidrs, description="The ranges."), AGE),
)
ROWS = (ROW, older(ROW, "v1beta1", networking_v1beta1.ServiceCIDR))
