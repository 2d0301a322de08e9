import contextlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.feeding import feed
from tiphys.wire import spdy
from tiphys.wire.spdy_dictionary import DICTIONARY


def test_dictionary_is_the_specified_one() -> None:
    assert len(DICTIONARY) == 1423
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


def test_a_whole_conversation() -> None:
    client, server = spdy.Connection(client=True), spdy.Connection(client=False)
    stream, opening = client.open_stream({"streamType": "stdout", "port": "80"})
    second, more = client.open_stream({"streamtype": "error"}, fin=True)
    assert (stream, second) == (1, 3)
    data = opening + more + client.data(1, b"hello") + client.data(1, b"", fin=True) + client.reset(3, 5)
    assert feed(lambda: spdy.Connection(client=False), data) == [
        spdy.StreamOpened(1, {"streamtype": "stdout", "port": "80"}, False),
        spdy.StreamOpened(3, {"streamtype": "error"}, True),
        spdy.DataReceived(1, b"hello", False),
        spdy.DataReceived(1, b"", True),
        spdy.StreamReset(3, 5),
    ]
    server.receive(data)
    answer = server.reply(1) + server.reply(3, {"a": "b"}, fin=True) + server.headers(1, {"c": "d"}) + server.goaway()
    assert feed(lambda: spdy.Connection(client=True), answer) == [
        spdy.StreamReplied(1, {}, False),
        spdy.StreamReplied(3, {"a": "b"}, True),
        spdy.HeadersReceived(1, {"c": "d"}, False),
        spdy.GoAway(3, 0),
    ]


def test_frames_on_the_wire() -> None:
    machine = spdy.Connection(client=True)
    assert machine.data(1, b"ab", fin=True) == bytes.fromhex("00000001 01000002 6162")
    assert machine.ping() == bytes.fromhex("80030006 00000004 00000001")
    assert machine.reset(7, 5) == bytes.fromhex("80030003 00000008 00000007 00000005")
    assert machine.window_update(1, 9) == bytes.fromhex("80030009 00000008 00000001 00000009")
    assert machine.settings({7: 65536}) == bytes.fromhex("80030004 0000000c 00000001 00000007 00010000")
    _, opening = machine.open_stream({"a": "b"}, priority=2)
    assert opening[:18] == bytes.fromhex("80030001") + opening[4:8] + bytes.fromhex("00000001 00000000 4000")


def test_pings_are_answered_with_the_same_bytes() -> None:
    client, server = spdy.Connection(client=True), spdy.Connection(client=False)
    ping = client.ping()
    [event] = server.receive(ping)
    assert event == spdy.PingReceived(1, ping)
    assert client.receive(ping) == [spdy.PingReceived(1, b"")]


def test_settings_and_windows_are_reported() -> None:
    client = spdy.Connection(client=True)
    data = client.settings({4: 100, 7: 5}) + client.window_update(0, 10)
    assert feed(lambda: spdy.Connection(client=False), data) == [
        spdy.SettingsReceived({4: 100, 7: 5}),
        spdy.WindowUpdated(0, 10),
    ]


def test_large_data_is_split() -> None:
    data = b"x" * (spdy.MAX_FRAME_BYTES + 5)
    events = spdy.Connection(client=False).receive(spdy.Connection(client=True).data(1, data, fin=True))
    assert [(len(e.data), e.fin) for e in events if isinstance(e, spdy.DataReceived)] == [
        (spdy.MAX_FRAME_BYTES, False),
        (5, True),
    ]


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("80020006 00000004 00000001"),  # another version
        bytes.fromhex("80030006 00000002 0000"),  # short ping
        bytes.fromhex("80030001 0000000c 00000001 00000000 0000 ffff"),  # bad compression
        bytes.fromhex("80030004 00000004 00000009"),  # settings that are not there
    ],
)
def test_faults(data: bytes) -> None:
    with pytest.raises(spdy.SpdyError):
        spdy.Connection(client=False).receive(data)


def test_streams_of_the_wrong_side_or_order() -> None:
    with pytest.raises(spdy.SpdyError, match="may not be opened"):
        spdy.Connection(client=False).receive(spdy.Connection(client=False).open_stream({})[1])
    _, opening = spdy.Connection(client=True).open_stream({})
    server = spdy.Connection(client=False)
    server.receive(opening)
    with pytest.raises(spdy.SpdyError):
        server.receive(opening)


def test_header_bombs() -> None:
    _, opening = spdy.Connection(client=True).open_stream({"a": "x" * 5_000_000})
    with pytest.raises(spdy.SpdyError, match="too long"):
        spdy.Connection(client=False).receive(opening)


@given(st.binary(max_size=64))
def test_garbage_never_does_worse_than_refuse(data: bytes) -> None:
    with contextlib.suppress(spdy.SpdyError):
        spdy.Connection(client=False).receive(b"\x80\x03\x00\x01" + data)
