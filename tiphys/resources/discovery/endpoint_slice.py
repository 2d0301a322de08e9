"""EndpointSlice."""

from collections.abc import Sequence
from datetime import datetime

from tiphys.api import discovery_v1
from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource, Strategy

TYPES = ("FQDN", "IPv4", "IPv6")
PROTOCOLS = ("SCTP", "TCP", "UDP")
MAX_ENDPOINTS = 1000
MAX_ADDRESSES = 100
MAX_PORTS = 20000
MAX_TOPOLOGY = 16
SHOWN = 3


def default(slice_: discovery_v1.EndpointSlice) -> None:
    for port in slice_.ports or ():
        port.name = "" if port.name is None else port.name
        port.protocol = port.protocol or "TCP"


def validate(slice_: discovery_v1.EndpointSlice) -> Errors:
    errs: Errors = []
    checks.required_one_of(errs, "addressType", slice_.addressType, TYPES)
    endpoints = slice_.endpoints or []
    if len(endpoints) > MAX_ENDPOINTS:
        errs.append(fields.too_many("endpoints", len(endpoints), MAX_ENDPOINTS))
    else:
        for index, endpoint in enumerate(endpoints):
            _endpoint(errs, f"endpoints[{index}]", endpoint, slice_.addressType)
    _ports(errs, slice_.ports or [])
    return errs


def _endpoint(errs: Errors, path: str, endpoint: discovery_v1.Endpoint, kind: str) -> None:
    if not endpoint.addresses:
        errs.append(fields.required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(endpoint.addresses) > MAX_ADDRESSES:
        errs.append(fields.too_many(f"{path}.addresses", len(endpoint.addresses), MAX_ADDRESSES))
    checks.duplicates(errs, lambda index: f"{path}.addresses[{index}]", endpoint.addresses)
    for index, address in enumerate(endpoint.addresses):
        _address(errs, f"{path}.addresses[{index}]", address, kind)
    if endpoint.nodeName is not None:
        checks.form(errs, f"{path}.nodeName", endpoint.nodeName, checks.dns1123_subdomain)
    if endpoint.hostname is not None:
        checks.form(errs, f"{path}.hostname", endpoint.hostname, checks.dns1123_label)
    topology = endpoint.deprecatedTopology or {}
    if len(topology) > MAX_TOPOLOGY:
        errs.append(fields.too_many(f"{path}.deprecatedTopology", len(topology), MAX_TOPOLOGY))
    checks.labels(errs, f"{path}.deprecatedTopology", topology)


def _address(errs: Errors, path: str, address: str, kind: str) -> None:
    if kind == "FQDN":
        checks.form(errs, path, address, checks.dns1123_subdomain)
        return
    if kind not in ("IPv4", "IPv6"):
        return
    if checks.ip_address(address):
        checks.form(errs, path, address, checks.ip_address)
    elif (":" in address) != (kind == "IPv6"):
        errs.append(fields.invalid(path, address, f"must be an {kind} address"))
    else:
        checks.form(errs, path, address, checks.special_address)


def _ports(errs: Errors, ports: Sequence[discovery_v1.EndpointPort]) -> None:
    if len(ports) > MAX_PORTS:
        errs.append(fields.too_many("ports", len(ports), MAX_PORTS))
        return
    checks.duplicates(errs, lambda index: f"ports[{index}].name", [port.name or "" for port in ports])
    for index, port in enumerate(ports):
        if port.name:
            checks.form(errs, f"ports[{index}].name", port.name, checks.dns1123_label)
        checks.required_one_of(errs, f"ports[{index}].protocol", port.protocol, PROTOCOLS)
        if port.port is not None:
            checks.in_range(errs, f"ports[{index}].port", port.port, 1, 65535)
        if port.appProtocol is not None:
            checks.form(errs, f"ports[{index}].appProtocol", port.appProtocol, checks.qualified_name)


class EndpointSliceStrategy(Strategy[discovery_v1.EndpointSlice]):
    """The main endpoint; generation counts changes of anything but the metadata, and of labels."""

    def default(self, obj: discovery_v1.EndpointSlice) -> None:
        default(obj)

    def prepare_for_create(self, obj: discovery_v1.EndpointSlice) -> None:
        obj.metadata.generation = 1

    def validate_create(self, obj: discovery_v1.EndpointSlice) -> list[FieldError]:
        return validate(obj)

    def prepare_for_update(self, obj: discovery_v1.EndpointSlice, old: discovery_v1.EndpointSlice) -> None:
        changed = _content(obj) != _content(old)
        obj.metadata.generation = (old.metadata.generation or 0) + changed

    def validate_update(self, obj: discovery_v1.EndpointSlice, old: discovery_v1.EndpointSlice) -> list[FieldError]:
        errs = validate(obj)
        checks.immutable(errs, "addressType", obj.addressType, old.addressType)
        return errs


def _content(slice_: discovery_v1.EndpointSlice) -> tuple[object, ...]:
    return slice_.endpoints, slice_.ports, slice_.addressType, slice_.metadata.labels


def _limited(words: list[str]) -> str:
    more = f" + {len(words) - SHOWN} more..." if len(words) > SHOWN else ""
    return ",".join(words[:SHOWN]) + more


def _port_list(slice_: discovery_v1.EndpointSlice, now: datetime) -> str:
    if not slice_.ports:
        return "<unset>"
    return _limited([str(port.port) if port.port is not None else "*" for port in slice_.ports])


def _address_list(slice_: discovery_v1.EndpointSlice, now: datetime) -> str:
    if not slice_.endpoints:
        return "<unset>"
    return _limited([address for endpoint in slice_.endpoints for address in endpoint.addresses])


ROW = Resource(
    group="discovery.k8s.io",
    version="v1",
    kind="EndpointSlice",
    plural="endpointslices",
    cls=discovery_v1.EndpointSlice,
    strategy=EndpointSliceStrategy(),
    columns=(
        NAME,
        Column("AddressType", lambda slice_, now: slice_.addressType, description="Form of its addresses."),
        Column("Ports", _port_list, description="Its ports."),
        Column("Endpoints", _address_list, description="Its addresses."),
        AGE,
    ),
)
