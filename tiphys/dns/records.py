"""The records of one Service. Pure.

Source: Kubernetes DNS-Based Service Discovery, schema version 1.1.0; where it
leaves a choice, what CoreDNS answers.
"""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from tiphys.api import core_v1, discovery_v1
from tiphys.wire import dns

#: Name → type → data of the records.
Records = dict[bytes, dict[int, list[bytes]]]

_SRV_WEIGHT = 100
_PROTOCOLS = {"TCP": "_tcp", "UDP": "_udp", "SCTP": "_sctp"}


def service_records(service: core_v1.Service, slices: Iterable[discovery_v1.EndpointSlice], domain: str) -> Records:
    """All records that exist because of this Service."""
    name = f"{service.metadata.name}.{service.metadata.namespace}.svc.{domain}"
    if service.spec.type == "ExternalName":
        return _external(name, service.spec.externalName or "")
    if service.spec.clusterIP == "None":
        return _headless(name, slices)
    return _with_address(name, service)


def _add(records: Records, name: bytes, kind: int, data: bytes) -> None:
    known = records.setdefault(name, {}).setdefault(kind, [])
    if data not in known:
        known.append(data)


def _add_address(records: Records, name: bytes, address: str) -> None:
    packed = ip_address(address).packed
    _add(records, name, dns.A if len(packed) == 4 else dns.AAAA, packed)


def _external(name: str, target: str) -> Records:
    # A target that is an address cannot be an alias; Kubernetes warns of it and CoreDNS answers nothing useful.
    if not target or _is_address(target):
        return {dns.encode_name(name): {}}
    return {dns.encode_name(name): {dns.CNAME: [dns.encode_name(target)]}}


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _with_address(name: str, service: core_v1.Service) -> Records:
    spec = service.spec
    addresses = [ip for ip in spec.clusterIPs or [spec.clusterIP or ""] if ip]
    if not addresses:
        return {}
    records: Records = {}
    wire = dns.encode_name(name)
    for address in addresses:
        _add_address(records, wire, address)
        _add(records, dns.reverse_name(address), dns.PTR, wire)
    for port in spec.ports or []:
        data = dns.srv_data(0, _SRV_WEIGHT, port.port, wire)
        _add_srv(records, name, port.name or "", port.protocol or "TCP", data)
    return records


def _add_srv(records: Records, name: str, port_name: str, protocol: str, data: bytes) -> None:
    _add(records, dns.encode_name(name), dns.SRV, data)
    if port_name and protocol in _PROTOCOLS:
        _add(records, dns.encode_name(f"_{port_name}.{_PROTOCOLS[protocol]}.{name}"), dns.SRV, data)


def _headless(name: str, slices: Iterable[discovery_v1.EndpointSlice]) -> Records:
    # The name is there while nobody is ready: "no such data" rather than "no such name".
    records: Records = {dns.encode_name(name): {}}
    for slice_ in slices:
        if slice_.addressType == "FQDN":
            continue
        for host, address in _ready(slice_):
            own = f"{host}.{name}"
            _add_address(records, dns.encode_name(name), address)
            _add_address(records, dns.encode_name(own), address)
            _add(records, dns.reverse_name(address), dns.PTR, dns.encode_name(own))
            for port in slice_.ports or []:
                if port.port:
                    data = dns.srv_data(0, _SRV_WEIGHT, port.port, dns.encode_name(own))
                    _add_srv(records, name, port.name or "", port.protocol or "TCP", data)
    return records


def _ready(slice_: discovery_v1.EndpointSlice) -> Iterator[tuple[str, str]]:
    """Host label and address of every ready endpoint; without a host name the address is made one."""
    for endpoint in slice_.endpoints or []:
        if endpoint.conditions is not None and endpoint.conditions.ready is False:
            continue
        for address in endpoint.addresses:
            yield endpoint.hostname or address.replace(".", "-").replace(":", "-"), address
