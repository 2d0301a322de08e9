"""ServiceCIDR objects: the cluster's own one, readiness, and the finalizer that keeps a range that is in use. Pure.

Source: KEP-1880 Multiple Service CIDRs; kube-controller-manager's controller of service CIDRs, by behaviour.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from tiphys.api import meta_v1, networking_v1
from tiphys.machinery import codec, conditions
from tiphys.resources.networking.service_cidr import DEFAULT_NAME, FINALIZER, READY

READY_TEXT: Final = "Kubernetes Service CIDR is ready"
DEFAULT_READY_TEXT: Final = "Kubernetes default Service CIDR is ready"
TERMINATING: Final = "Terminating"
BUSY_TEXT: Final = (
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
)


def default(cidrs: Sequence[str]) -> networking_v1.ServiceCIDR:
    """The one that stands for the ranges of the command line."""
    spec = networking_v1.ServiceCIDRSpec(cidrs=list(cidrs))
    return networking_v1.ServiceCIDR(metadata=meta_v1.ObjectMeta(name=DEFAULT_NAME, finalizers=[FINALIZER]), spec=spec)


def with_condition(
    found: networking_v1.ServiceCIDR, status: str, reason: str, message: str, now: datetime
) -> networking_v1.ServiceCIDR:
    """A copy that says so."""
    changed = codec.copy(found)
    condition = meta_v1.Condition(type=READY, status=status, reason=reason, message=message)
    changed.status.conditions = conditions.set_condition(changed.status.conditions, condition, now)
    return changed


def is_in_use(
    found: networking_v1.ServiceCIDR, others: Iterable[networking_v1.ServiceCIDR], addresses: Iterable[str]
) -> bool:
    """Whether an address lies in one of its ranges and in no other's that stays."""
    ranges = _networks([found])
    kept = _networks(other for other in others if other.metadata.deletionTimestamp is None)
    for text in addresses:
        address = ipaddress.ip_address(text)
        if any(address in network for network in ranges) and not any(address in network for network in kept):
            return True
    return False


def _networks(
    found: Iterable[networking_v1.ServiceCIDR],
) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(cidr, strict=False) for each in found for cidr in each.spec.cidrs or ()]
