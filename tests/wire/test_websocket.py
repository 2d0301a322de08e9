import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.feeding import feed
from tiphys.wire import websocket


def client() -> websocket.Connection:
    return websocket.Connection(lambda size: b"\x01\x02\xfe\xff"[:size])


def server() -> websocket.Connection:
    return websocket.Connection()


def test_accept_key_of_the_rfc() -> None:
    assert websocket.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_frames_of_the_rfc() -> None:
    # RFC 6455 §5.7
    assert server().send(b"Hello", text=True) == bytes.fromhex("810548656c6c6f")
    assert feed(server, bytes.fromhex("818537fa213d7f9f4d5158")) == [websocket.Message(b"Hello", True)]
    assert feed(client, bytes.fromhex("010348656c") + bytes.fromhex("80026c6f")) == [websocket.Message(b"Hello", True)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536])
def test_sizes(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    message = websocket.Message(data[:size], False)
    assert server().receive(client().send(data[:size])) == [message]
    assert client().receive(server().send(data[:size])) == [message]


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masking_is_bytewise(data: bytes, mask: bytes) -> None:
    assert websocket.masked(data, mask) == bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


def test_control_frames_between_fragments() -> None:
    events = feed(client, bytes.fromhex("010348656c") + bytes.fromhex("890178") + bytes.fromhex("80026c6f"))
    assert events[0] == websocket.Ping(events[0].answer)
    assert server().receive(events[0].answer) == [websocket.Pong(b"x")]
    assert events[1] == websocket.Message(b"Hello", True)


def test_close_ends_everything() -> None:
    machine = server()
    assert machine.receive(client().close(1001, "bye") + client().send(b"x")) == [websocket.Close(1001, "bye")]
    assert machine.closed
    assert server().receive(client().close(1005)) == [websocket.Close(1005, "")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (bytes.fromhex("8105"), 1002),  # not masked
        (bytes.fromhex("c180"), 1002),  # reserved bit
        (bytes.fromhex("838000000000"), 1002),  # unknown opcode
        (bytes.fromhex("808000000000"), 1002),  # continuation of nothing
        (bytes.fromhex("098000000000"), 1002),  # fragmented ping
        (bytes.fromhex("89fe0100"), 1002),  # long ping
        (bytes.fromhex("82ff00000000ffffffff"), 1009),  # too large
    ],
)
def test_faults(data: bytes, code: int) -> None:
    with pytest.raises(websocket.WebSocketError) as caught:
        server().receive(data)
    assert caught.value.code == code


@given(st.binary(max_size=64))
def test_garbage_never_does_worse_than_refuse(data: bytes) -> None:
    with contextlib.suppress(websocket.WebSocketError):
        server().receive(data)
