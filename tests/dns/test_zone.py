"""What the zone answers: the DNS specification of Kubernetes as a table.

Source: Kubernetes DNS-Based Service Discovery, schema version 1.1.0; section numbers stand in the row names.
"""

import random

import dnslib
import pytest

from tiphys.api import core_v1, discovery_v1, meta_v1
from tiphys.dns.records import service_records
from tiphys.dns.zone import Zone
from tiphys.wire import dns

DOMAIN = "cluster.local"


def service(name: str, **spec: object) -> core_v1.Service:
    return core_v1.Service(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default"),
        spec=core_v1.ServiceSpec(**spec),  # type: ignore[arg-type]
    )


def port(name: str, number: int, protocol: str = "TCP") -> core_v1.ServicePort:
    return core_v1.ServicePort(name=name, port=number, protocol=protocol)


def slice_of(
    name: str, *endpoints: discovery_v1.Endpoint, ports: list[discovery_v1.EndpointPort] | None = None
) -> discovery_v1.EndpointSlice:
    return discovery_v1.EndpointSlice(
        metadata=meta_v1.ObjectMeta(name=f"{name}-x", namespace="default", labels={"kubernetes.io/service-name": name}),
        addressType="IPv4",
        endpoints=list(endpoints),
        ports=ports or [],
    )


def endpoint(address: str, hostname: str | None = None, ready: bool = True) -> discovery_v1.Endpoint:
    conditions = discovery_v1.EndpointConditions(ready=ready)
    return discovery_v1.Endpoint(addresses=[address], hostname=hostname, conditions=conditions)


def put(zone: Zone, obj: core_v1.Service, *slices: discovery_v1.EndpointSlice) -> None:
    zone.put(f"default/{obj.metadata.name}", service_records(obj, slices, DOMAIN))


@pytest.fixture
def zone() -> Zone:
    made = Zone(DOMAIN, 30, random.Random(1))
    made.serve_addresses(["10.244.0.1"])
    put(made, service("web", clusterIP="10.96.0.10", clusterIPs=["10.96.0.10", "fd00::10"],
                      ports=[port("http", 80), port("dns", 53, "UDP")]))  # fmt: skip
    put(
        made,
        service("db", clusterIP="None", ports=[port("sql", 5432)]),
        slice_of(
            "db", endpoint("10.244.0.5", "db-0"), endpoint("10.244.0.6"), endpoint("10.244.0.7", "db-2", ready=False),
            ports=[discovery_v1.EndpointPort(name="sql", port=5432, protocol="TCP")],
        ),
    )  # fmt: skip
    put(made, service("empty", clusterIP="None"))
    put(made, service("out", type="ExternalName", externalName="Example.com"))
    put(made, service("alias", type="ExternalName", externalName=f"web.default.svc.{DOMAIN}"))
    return made


def ask(zone: Zone, name: str, kind: str) -> dnslib.DNSRecord:
    """Through the wire, both ways, by another implementation."""
    query = dns.parse(bytes(dnslib.DNSRecord.question(name, kind).pack()))
    return dnslib.DNSRecord.parse(dns.encode(query, zone.answer(query, {"default"}), 1232))


def shown(records: list[dnslib.RR]) -> list[str]:
    return sorted(f"{dnslib.QTYPE[rr.rtype]} {rr.rdata}" for rr in records)


SRV_WEB = "SRV 0 100 80 web.default.svc.cluster.local."


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        pytest.param("web.default.svc.cluster.local", "A", ["A 10.96.0.10"], id="2.3.1 A"),
        pytest.param("web.default.svc.cluster.local", "AAAA", ["AAAA fd00::10"], id="2.3.1 AAAA"),
        pytest.param("_http._tcp.web.default.svc.cluster.local", "SRV", [SRV_WEB], id="2.3.2 SRV"),
        pytest.param("11.0.96.10.in-addr.arpa", "PTR", None, id="2.3.3 PTR of another address"),
        pytest.param("db.default.svc.cluster.local", "A", ["A 10.244.0.5", "A 10.244.0.6"], id="2.4.1 headless"),
        pytest.param("db-0.db.default.svc.cluster.local", "A", ["A 10.244.0.5"], id="2.4.1 by host name"),
        pytest.param("10-244-0-6.db.default.svc.cluster.local", "A", ["A 10.244.0.6"], id="2.4.1 by address"),
        pytest.param(
            "_sql._tcp.db.default.svc.cluster.local", "SRV",
            ["SRV 0 100 5432 10-244-0-6.db.default.svc.cluster.local.",
             "SRV 0 100 5432 db-0.db.default.svc.cluster.local."],
            id="2.4.2 SRV of a headless one",
        ),
        pytest.param("out.default.svc.cluster.local", "CNAME", ["CNAME example.com."], id="2.5 external name"),
        pytest.param("out.default.svc.cluster.local", "A", ["CNAME example.com."], id="2.5 external name, other type"),
        pytest.param(
            "alias.default.svc.cluster.local", "A",
            ["A 10.96.0.10", "CNAME web.default.svc.cluster.local."], id="2.5 alias within the cluster",
        ),
        pytest.param("10-1-2-3.default.pod.cluster.local", "A", ["A 10.1.2.3"], id="Pod by address"),
        pytest.param("dns-version.cluster.local", "TXT", ['TXT "1.1.0"'], id="2.2 schema version"),
        pytest.param("ns.dns.cluster.local", "A", ["A 10.244.0.1"], id="the server itself"),
        pytest.param("cluster.local", "NS", ["NS ns.dns.cluster.local."], id="name server of the zone"),
        pytest.param("WEB.Default.sVc.cluster.LOCAL", "A", ["A 10.96.0.10"], id="capitals"),
    ],
)  # fmt: skip
def test_answers(zone: Zone, name: str, kind: str, expected: list[str] | None) -> None:
    if expected is None:
        assert not zone.covers(dns.encode_name(name))
        return
    reply = ask(zone, name, kind)
    assert reply.header.rcode == dnslib.RCODE.NOERROR
    assert shown(reply.rr) == expected
    assert {rr.ttl for rr in reply.rr} == {30}
    assert reply.header.aa
    assert str(reply.rr[0].rname) == name + ".", "the owner has the capitals of the question"


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("web.default.svc.cluster.local", "MX", "NOERROR"),
        ("db.default.svc.cluster.local", "AAAA", "NOERROR"),
        ("empty.default.svc.cluster.local", "A", "NOERROR"),
        ("_tcp.web.default.svc.cluster.local", "A", "NOERROR"),
        ("default.svc.cluster.local", "A", "NOERROR"),
        ("default.pod.cluster.local", "A", "NOERROR"),
        ("svc.cluster.local", "A", "NOERROR"),
        ("cluster.local", "A", "NOERROR"),
        ("10-1-2-3.default.pod.cluster.local", "AAAA", "NOERROR"),
        ("nowhere.default.svc.cluster.local", "A", "NXDOMAIN"),
        ("web.other.svc.cluster.local", "A", "NXDOMAIN"),
        ("other.svc.cluster.local", "A", "NXDOMAIN"),
        ("db-2.db.default.svc.cluster.local", "A", "NXDOMAIN"),
        ("_ftp._tcp.web.default.svc.cluster.local", "SRV", "NXDOMAIN"),
        ("10-1-2-3.other.pod.cluster.local", "A", "NXDOMAIN"),
        ("nonsense.default.pod.cluster.local", "A", "NXDOMAIN"),
        ("example.com.default.svc.cluster.local", "A", "NXDOMAIN"),
        ("example.com.cluster.local", "A", "NXDOMAIN"),
    ],
)
def test_negative_answers_bear_the_soa(zone: Zone, name: str, kind: str, code: str) -> None:
    reply = ask(zone, name, kind)
    assert dnslib.RCODE[reply.header.rcode] == code
    assert reply.rr == []
    [soa] = reply.auth
    assert str(soa.rname) == "cluster.local."
    assert soa.rtype == dnslib.QTYPE.SOA
    assert soa.ttl == 30


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("10.96.0.10", "web.default.svc.cluster.local."),
        ("fd00::10", "web.default.svc.cluster.local."),
        ("10.244.0.5", "db-0.db.default.svc.cluster.local."),
        ("10.244.0.6", "10-244-0-6.db.default.svc.cluster.local."),
    ],
)
def test_reverse(zone: Zone, address: str, name: str) -> None:
    wire = dns.reverse_name(address)
    assert zone.covers(wire)
    text = ".".join(label.decode() for label in dns.labels(wire))
    assert shown(ask(zone, text, "PTR").rr) == [f"PTR {name}"]


def test_srv_brings_addresses(zone: Zone) -> None:
    reply = ask(zone, "_sql._tcp.db.default.svc.cluster.local", "SRV")
    assert {(str(rr.rname), str(rr.rdata)) for rr in reply.ar} == {
        ("db-0.db.default.svc.cluster.local.", "10.244.0.5"),
        ("10-244-0-6.db.default.svc.cluster.local.", "10.244.0.6"),
    }


def test_answers_turn(zone: Zone) -> None:
    assert {str(ask(zone, "db.default.svc.cluster.local", "A").rr[0].rdata) for _ in range(50)} == {
        "10.244.0.5",
        "10.244.0.6",
    }


def test_removed_services_leave_nothing(zone: Zone) -> None:
    for name in ("web", "db", "empty", "out", "alias"):
        zone.remove(f"default/{name}")
    for name in ("web.default", "db-0.db.default", "_tcp.web.default"):
        assert ask(zone, f"{name}.svc.cluster.local", "A").header.rcode == dnslib.RCODE.NXDOMAIN
    assert not zone.covers(dns.reverse_name("10.96.0.10"))
    assert not zone.covers(dns.reverse_name("10.244.0.5"))


def test_two_headless_services_share_a_pod(zone: Zone) -> None:
    put(zone, service("twin", clusterIP="None"), slice_of("twin", endpoint("10.244.0.5")))
    reverse = "5.0.244.10.in-addr.arpa"
    both = ["PTR 10-244-0-5.twin.default.svc.cluster.local.", "PTR db-0.db.default.svc.cluster.local."]
    assert shown(ask(zone, reverse, "PTR").rr) == both
    zone.remove("default/twin")
    assert shown(ask(zone, reverse, "PTR").rr) == both[1:]


def test_the_serial_moves_with_changes(zone: Zone) -> None:
    def serial() -> int:
        return int(ask(zone, "cluster.local", "SOA").rr[0].rdata.times[0])

    before = serial()
    put(zone, service("empty", clusterIP="None"))
    assert serial() == before, "nothing changed"
    zone.remove("default/empty")
    assert serial() > before


def test_aliases_in_a_circle_end(zone: Zone) -> None:
    put(zone, service("a", type="ExternalName", externalName="b.default.svc.cluster.local"))
    put(zone, service("b", type="ExternalName", externalName="a.default.svc.cluster.local"))
    reply = ask(zone, "a.default.svc.cluster.local", "A")
    assert 0 < len(reply.rr) < 20
