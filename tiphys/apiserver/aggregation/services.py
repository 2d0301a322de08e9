"""Where the server behind an APIService is, and what keeps it from being found. Pure.

Requests go to the Service's ready endpoints directly, not to its cluster IP:
that needs no rules of a proxy on the API server's own host.
Source: kube-aggregator, the availability controller's conditions, by behaviour.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tiphys.api import apiregistration_v1
from tiphys.machinery.goformat import quote
from tiphys.resources.apiregistration.api_service import AVAILABLE, PORT

SLICE_LABEL: Final = "kubernetes.io/service-name"

Condition = apiregistration_v1.APIServiceCondition
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Place:
    """Addresses that may be asked, or the condition that says why there are none."""

    addresses: Sequence[Address] = ()
    problem: Condition | None = None


def unavailable(reason: str, message: str) -> Condition:
    return Condition(type=AVAILABLE, status="False", reason=reason, message=message)


PASSED: Final = Condition(type=AVAILABLE, status="True", reason="Passed", message="all checks passed")


def place_of(reference: apiregistration_v1.ServiceReference, service: Any | None, slices: Iterable[Any]) -> Place:
    """``slices`` are the EndpointSlices of the Service's Namespace; those of other Services are passed over."""
    name = f"service/{reference.name} in {quote(reference.namespace or '')}"
    number = reference.port or PORT
    if service is None:
        return Place(problem=unavailable("ServiceNotFound", f"{name} is not present"))
    if service.spec.type == "ExternalName":
        return Place([(service.spec.externalName, number)])
    port = next((one for one in service.spec.ports or () if one.port == number), None)
    if port is None:
        return Place(problem=unavailable("ServicePortError", f"{name} is not listening on port {number}"))
    own = [one for one in slices if one.metadata.labels.get(SLICE_LABEL) == reference.name]
    if not own:
        return Place(problem=unavailable("EndpointsNotFound", f"cannot find endpointslices for {name}"))
    found = [address for one in own for address in _ready(one, port.name or "")]
    if not found:
        message = f"endpointslices for {name} have no addresses with port name {quote(port.name or '')}"
        return Place(problem=unavailable("MissingEndpoints", message))
    return Place(sorted(set(found)))


def _ready(slice_: Any, port_name: str) -> Iterable[Address]:
    numbers = [port.port for port in slice_.ports or () if (port.name or "") == port_name and port.port]
    for endpoint in slice_.endpoints or ():
        if endpoint.conditions is None or endpoint.conditions.ready is not False:
            for address in endpoint.addresses:
                yield from ((address, number) for number in numbers)
