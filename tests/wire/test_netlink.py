"""Netlink messages: what is built can be taken apart; what is cut off is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.wire import netlink, nftables, rtnetlink


@given(st.lists(st.tuples(st.integers(1, 100), st.binary(max_size=40)), max_size=8))
def test_attributes_come_back(pairs: list[tuple[int, bytes]]) -> None:
    data = b"".join(netlink.attribute(kind, value) for kind, value in pairs)
    assert list(netlink.each_attribute(data)) == pairs
    assert len(data) % 4 == 0


@given(st.binary(max_size=200))
def test_random_bytes_are_taken_apart_or_refused(data: bytes) -> None:
    for split in (netlink.parse, netlink.each_attribute):
        try:
            list(split(data))
        except ValueError:
            continue


def test_messages_come_back() -> None:
    first = netlink.message(16, 5, 1, b"abc")
    second = netlink.message(17, 0, 2)
    found = list(netlink.parse(netlink.join([first, second])))
    assert found == [netlink.Message(16, 5, 1, b"abc"), netlink.Message(17, 0, 2, b"")]


def test_a_cut_off_message_is_refused() -> None:
    whole = netlink.message(16, 5, 1, b"abcd")
    with pytest.raises(ValueError, match="netlink message of 20 bytes in a datagram of 19"):
        list(netlink.parse(whole[:-1]))


def test_routes_are_read_as_written() -> None:
    kind, _, body = rtnetlink.add_route("10.96.0.0/16", 7, gateway="10.244.0.1")
    assert kind == rtnetlink.RTM_NEWROUTE
    route = rtnetlink.route(body)
    assert (str(route.destination), route.link, route.gateway, route.table) == ("10.96.0.0/16", 7, "10.244.0.1", 254)
    assert str(rtnetlink.route(rtnetlink.add_route("0.0.0.0/0", 7, gateway="10.0.0.1")[2]).destination) == "0.0.0.0/0"


def test_addresses_are_read_as_written() -> None:
    assert str(rtnetlink.address(rtnetlink.add_address(3, "10.244.0.1/24")[2])) == "(3, IPv4Interface('10.244.0.1/24'))"


def test_only_the_last_change_asks_for_an_answer() -> None:
    batch = nftables.Batch(nftables.NFPROTO_IPV4, "t")
    batch.add_table()
    batch.add_chain("c")
    data, last = batch.finish()
    found = list(netlink.parse(data))
    assert [bool(each.flags & netlink.NLM_F_ACK) for each in found] == [False, False, True, False]
    assert found[2].sequence == last
    assert len({each.sequence for each in found}) == 4


def test_many_elements_are_split_over_messages() -> None:
    batch = nftables.Batch(nftables.NFPROTO_IPV4, "t")
    batch.add_elements("s", ((number.to_bytes(4, "big"), nftables.goto("x" * 128)) for number in range(1000)))
    assert len(batch) == 4
    for each in netlink.parse(batch.finish()[0]):
        assert len(each.body) < 65536
        list(netlink.each_attribute(each.body, 4))
