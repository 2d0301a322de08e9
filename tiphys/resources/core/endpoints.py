"""Endpoints: the older form of EndpointSlices."""

from collections.abc import Sequence
from datetime import datetime

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource, Strategy

SHOWN = 3
PROTOCOLS = ("SCTP", "TCP", "UDP")


def default(endpoints: core_v1.Endpoints) -> None:
    for subset in endpoints.subsets or ():
        for port in subset.ports or ():
            port.protocol = port.protocol or "TCP"


def validate(endpoints: core_v1.Endpoints) -> Errors:
    errs: Errors = []
    for index, subset in enumerate(endpoints.subsets or ()):
        path = f"subsets[{index}]"
        if not subset.addresses and not subset.notReadyAddresses:
            errs.append(fields.required(path, "must specify `addresses` or `notReadyAddresses`"))
        _addresses(errs, f"{path}.addresses", subset.addresses or [])
        _addresses(errs, f"{path}.notReadyAddresses", subset.notReadyAddresses or [])
        _ports(errs, f"{path}.ports", subset.ports or [])
    return errs


def _addresses(errs: Errors, path: str, addresses: Sequence[core_v1.EndpointAddress]) -> None:
    for index, address in enumerate(addresses):
        here = f"{path}[{index}]"
        problems = checks.ip_address(address.ip)
        checks.form(errs, f"{here}.ip", address.ip, checks.ip_address if problems else checks.special_address)
        if address.hostname:
            checks.form(errs, f"{here}.hostname", address.hostname, checks.dns1123_label)
        if address.nodeName is not None:
            checks.form(errs, f"{here}.nodeName", address.nodeName, checks.dns1123_subdomain)


def _ports(errs: Errors, path: str, ports: Sequence[core_v1.EndpointPort]) -> None:
    for index, port in enumerate(ports):
        here = f"{path}[{index}]"
        if len(ports) > 1 and not port.name:
            errs.append(fields.required(f"{here}.name"))
        elif port.name:
            checks.form(errs, f"{here}.name", port.name, checks.dns1123_label)
        checks.in_range(errs, f"{here}.port", port.port, 1, 65535)
        checks.required_one_of(errs, f"{here}.protocol", port.protocol, PROTOCOLS)
        if port.appProtocol is not None:
            checks.form(errs, f"{here}.appProtocol", port.appProtocol, checks.qualified_name)


class EndpointsStrategy(Strategy[core_v1.Endpoints]):
    """The main endpoint."""

    create_on_update = True

    def default(self, obj: core_v1.Endpoints) -> None:
        default(obj)

    def validate_create(self, obj: core_v1.Endpoints) -> list[FieldError]:
        return validate(obj)

    def validate_update(self, obj: core_v1.Endpoints, old: core_v1.Endpoints) -> list[FieldError]:
        return validate(obj)


def _list(endpoints: core_v1.Endpoints, now: datetime) -> str:
    """The first three addresses that are ready, with their ports, and how many more there are."""
    found: list[str] = []
    for subset in endpoints.subsets or ():
        if not subset.ports:
            found += [address.ip for address in subset.addresses or ()]
        for port in subset.ports or ():
            found += [_joined(address.ip, port.port) for address in subset.addresses or ()]
    if not found:
        return "<none>"
    more = f" + {len(found) - SHOWN} more..." if len(found) > SHOWN else ""
    return ",".join(found[:SHOWN]) + more


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


ROW = Resource(
    group="",
    version="v1",
    kind="Endpoints",
    plural="endpoints",
    cls=core_v1.Endpoints,
    strategy=EndpointsStrategy(),
    short_names=("ep",),
    deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    columns=(NAME, Column("Endpoints", _list, description="Addresses and ports that are ready."), AGE),
)
