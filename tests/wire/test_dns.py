"""DNS messages: against another implementation, cut off everywhere, and at random."""

import contextlib

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.wire import dns


def question(name: str = "web.default.svc.cluster.local", kind: str = "A", size: int = 0) -> bytes:
    record = dnslib.DNSRecord.question(name, kind)
    if size:
        record.add_ar(dnslib.EDNS0(udp_len=size))
    return bytes(record.pack())


def test_parse() -> None:
    query = dns.parse(question("WeB.example", "AAAA", 1400))
    assert query.labels == [b"web", b"example"]
    assert (query.type, query.edns, query.limit) == (dns.AAAA, True, 1400)


def test_every_cut_is_refused() -> None:
    whole = question(size=1232)
    for length in range(len(whole)):
        with pytest.raises(dns.Malformed) as caught:
            dns.parse(whole[:length])
        if length < 12:
            assert caught.value.answer == b""
        else:
            assert dnslib.DNSRecord.parse(caught.value.answer).header.rcode == dnslib.RCODE.FORMERR


@given(st.binary(max_size=600))
def test_random_bytes_are_parsed_or_refused(data: bytes) -> None:
    for parse in (dns.parse, dns.parse_reply):
        try:
            parse(data)
        except dns.Malformed as error:
            assert len(error.answer) <= len(data) + 11


@given(st.integers(0, 60), st.binary(min_size=1, max_size=3))
def test_mutated_queries(position: int, junk: bytes) -> None:
    data = bytearray(question(size=1232))
    data[position : position + len(junk)] = junk
    with contextlib.suppress(dns.Malformed):
        dns.parse(bytes(data))


def header(data: bytes) -> dnslib.DNSHeader:
    return dnslib.DNSRecord.parse(data).header


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"opcode": 4}, dnslib.RCODE.NOTIMP, id="notify"),
        pytest.param({"opcode": 5}, dnslib.RCODE.NOTIMP, id="update"),
    ],
)
def test_other_operations(change: dict[str, int], code: int) -> None:
    record = dnslib.DNSRecord.question("a.b")
    for name, value in change.items():
        setattr(record.header, name, value)
    with pytest.raises(dns.Malformed) as caught:
        dns.parse(bytes(record.pack()))
    assert header(caught.value.answer).rcode == code


def test_an_answer_gets_no_answer() -> None:
    with pytest.raises(dns.Malformed) as caught:
        dns.parse(dnslib.DNSRecord.question("a.b").reply().pack())
    assert caught.value.answer == b""


def test_two_questions() -> None:
    record = dnslib.DNSRecord.question("a.b")
    record.add_question(dnslib.DNSQuestion("c.d"))
    with pytest.raises(dns.Malformed) as caught:
        dns.parse(bytes(record.pack()))
    assert header(caught.value.answer[:12]).rcode == dnslib.RCODE.FORMERR


def test_other_class() -> None:
    with pytest.raises(dns.Malformed) as caught:
        dns.parse(dnslib.DNSRecord(q=dnslib.DNSQuestion("version.bind", dnslib.QTYPE.TXT, dnslib.CLASS.CH)).pack())
    assert header(caught.value.answer).rcode == dnslib.RCODE.REFUSED


def test_unknown_edns_version() -> None:
    record = dnslib.DNSRecord.question("a.b")
    record.add_ar(dnslib.EDNS0(version=1))
    with pytest.raises(dns.Malformed) as caught:
        dns.parse(bytes(record.pack()))
    answer = dnslib.DNSRecord.parse(caught.value.answer)
    assert answer.header.rcode | answer.ar[0].edns_rcode << 4 == dns.BADVERS


def test_compressed_question_is_refused() -> None:
    data = dnslib.DNSRecord.question("a.b").pack()
    with pytest.raises(dns.Malformed):
        dns.parse(data[:12] + b"\xc0\x0c" + data[-4:])


def test_truncation_keeps_whole_records() -> None:
    records = tuple(dns.address_record(f"10.0.0.{number}", 30) for number in range(100))
    query = dns.parse(question())
    data = dns.encode(query, dns.Answer(records=records), query.limit)
    assert len(data) <= 512
    reply = dnslib.DNSRecord.parse(data)
    assert reply.header.tc
    assert 20 < len(reply.rr) < 100
    assert not dnslib.DNSRecord.parse(dns.encode(query, dns.Answer(records=records), 65535)).header.tc


def test_edns_is_answered_and_only_then() -> None:
    for size, expected in ((0, []), (4096, [dnslib.QTYPE.OPT])):
        query = dns.parse(question(size=size))
        reply = dnslib.DNSRecord.parse(dns.encode(query, dns.Answer(), 512))
        assert [rr.rtype for rr in reply.ar] == expected


@pytest.mark.parametrize(
    ("name", "zone", "within"),
    [
        ("a.cluster.local", "cluster.local", True),
        ("cluster.local", "cluster.local", True),
        ("acluster.local", "cluster.local", False),
        ("local", "cluster.local", False),
    ],
)
def test_is_within(name: str, zone: str, within: bool) -> None:
    assert dns.is_within(dns.encode_name(name), dns.encode_name(zone)) == within


def test_a_label_that_looks_like_a_zone_is_none() -> None:
    assert not dns.is_within(b"\x09xx\x05local\x00\x00", dns.encode_name("local"))
    assert not dns.is_within(b"\x07x\x05local\x00", dns.encode_name("local"))


@pytest.mark.parametrize("text", ["a..b", "x" * 64, ".".join(["x" * 60] * 5)])
def test_impossible_names(text: str) -> None:
    with pytest.raises(ValueError, match=r"label|name"):
        dns.encode_name(text)


def test_readdress_ages_records() -> None:
    reply = dnslib.DNSRecord.question("Example.com").reply()
    reply.add_answer(*dnslib.RR.fromZone("example.com 100 A 1.2.3.4"))
    data = bytes(reply.pack())
    query = dns.parse(question("eXample.com"))
    again = dnslib.DNSRecord.parse(dns.readdress(data, query, dns.parse_reply(data), 40))
    assert again.header.id == query.id
    assert again.rr[0].ttl == 60
    assert str(again.q.qname) == "eXample.com."
