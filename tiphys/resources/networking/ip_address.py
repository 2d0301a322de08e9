"""IPAddress: that an address of a Service is taken, and by whom. Its name is the address.

The API server's allocator writes one per cluster IP; that two cannot have the
same name is the lock. Source: KEP-1880 Multiple Service CIDRs.
"""

from datetime import datetime

from tiphys.api import networking_v1, networking_v1beta1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy
from tiphys.resources.versions import older

FAMILY_LABEL = "ipaddress.kubernetes.io/ip-family"
MANAGED_BY_LABEL = "ipaddress.kubernetes.io/managed-by"


def validate(address: networking_v1.IPAddress) -> Errors:
    errs: Errors = []
    parent = address.spec.parentRef
    here = "spec.parentRef"
    if parent == networking_v1.ParentReference():
        errs.append(fields.required(here))
        return errs
    if parent.group:
        checks.form(errs, f"{here}.group", parent.group, checks.dns1123_subdomain)
    checks.required_form(errs, f"{here}.resource", parent.resource, checks.path_segment)
    checks.required_form(errs, f"{here}.name", parent.name, checks.path_segment)
    if parent.namespace:
        checks.form(errs, f"{here}.namespace", parent.namespace, checks.path_segment)
    return errs


class IPAddressStrategy(FunctionStrategy):
    """An update is judged by what it changes alone: old objects need not satisfy today's rules."""

    def validate_update(self, obj: networking_v1.IPAddress, old: networking_v1.IPAddress) -> Errors:
        errs: Errors = []
        checks.immutable(errs, "spec.parentRef", obj.spec.parentRef, old.spec.parentRef)
        return errs


def _parent(address: networking_v1.IPAddress, now: datetime) -> str:
    parent = address.spec.parentRef
    resource = f"{parent.resource}.{parent.group}" if parent.group else parent.resource
    return "/".join(part for part in (resource, parent.namespace, parent.name) if part)


ROW = Resource(
    group="networking.k8s.io",
    version="v1",
    kind="IPAddress",
    plural="ipaddresses",
    cls=networking_v1.IPAddress,
    strategy=IPAddressStrategy(None, validate),
    namespaced=False,
    short_names=("ip",),
    columns=(NAME, Column("ParentRef", _parent, description="Who has the address."), AGE),
    name_problems=checks.ip_address,
)
ROWS = (ROW, older(ROW, "v1beta1", networking_v1beta1.IPAddress))
