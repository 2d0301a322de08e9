import pytest

from tests.wire.feeding import feed
from tiphys.wire import channels


@pytest.mark.parametrize("protocol", channels.REMOTE_COMMAND)
def test_messages_come_out_as_they_went_in(protocol: str) -> None:
    machine = channels.Channels(protocol)
    for number in range(5):
        assert machine.decode(machine.encode(number, b"\x00\xffdata")) == channels.Frame(number, b"\x00\xffdata")
        assert machine.decode(machine.encode(number)) == channels.Frame(number, b"")


def test_bytes_on_the_wire() -> None:
    assert channels.Channels(channels.V4).encode(channels.STDOUT, b"hi") == b"\x01hi"
    assert channels.Channels(channels.V1_BASE64).encode(channels.STDOUT, b"hi") == b"1aGk="
    assert channels.Channels(channels.V5).encode_close(channels.STDIN) == b"\xff\x00"


def test_only_v5_closes_channels() -> None:
    assert channels.Channels(channels.V5).decode(b"\xff\x00") == channels.Frame(0, b"", close=True)
    assert channels.Channels(channels.V4).decode(b"\xff\x00") == channels.Frame(255, b"\x00")
    with pytest.raises(channels.ChannelError):
        channels.Channels(channels.V4).encode_close(0)


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (channels.V4, b""),
        (channels.V5, b"\xff"),
        (channels.V5, b"\xff\x00\x00"),
        (channels.V1_BASE64, b"1a"),
        (channels.V1_BASE64, b"xaGk="),
    ],
)
def test_faults(protocol: str, message: bytes) -> None:
    with pytest.raises(channels.ChannelError):
        channels.Channels(protocol).decode(message)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], ""),
        (["v5.channel.k8s.io", "v4.channel.k8s.io"], "v5.channel.k8s.io"),
        (["v9.channel.k8s.io", "channel.k8s.io"], "channel.k8s.io"),
        (["v9.channel.k8s.io"], None),
    ],
)
def test_negotiation(offered: list[str], chosen: str | None) -> None:
    assert channels.negotiate(offered, channels.REMOTE_COMMAND) == chosen


def test_exit_statuses() -> None:
    assert channels.success() == b'{"apiVersion":"v1","kind":"Status","metadata":{},"status":"Success"}'
    assert channels.parse_exit(channels.success()) == (0, "")
    code, message = channels.parse_exit(channels.exit_status(3))
    assert (code, message) == (3, "command terminated with non-zero exit code: exit status 3")
    assert channels.parse_exit(channels.internal_error("no such file")) == (
        -1,
        "Internal error occurred: no such file",
    )
    assert channels.parse_exit(b"plain text") == (-1, "plain text")


def test_sizes_however_cut() -> None:
    data = channels.encode_size(80, 24) + b"\n" + channels.encode_size(100, 30)
    assert feed(channels.Sizes, data) == [channels.Size(80, 24), channels.Size(100, 30)]
    with pytest.raises(channels.ChannelError):
        channels.Sizes().receive(b'{"Width":"x"}')
    with pytest.raises(channels.ChannelError):
        channels.Sizes().receive(b"x" * 5000)


def test_port_forward() -> None:
    server = channels.PortForward(channels.V4, [80, 8443])
    client = channels.PortForward(channels.V4, [80, 8443])
    assert server.greetings() == [b"\x00\x50\x00", b"\x01\x50\x00", b"\x02\xfb\x20", b"\x03\xfb\x20"]
    assert [client.decode(message, greeted=True) for message in server.greetings()] == [None] * 4
    assert client.decode(server.encode(1, b"x"), greeted=True) == channels.Port(1, b"x")
    assert client.decode(server.encode_error(0, "no"), greeted=True) == channels.Port(0, b"no", error=True)
    assert server.decode(client.encode(1, b"y")) == channels.Port(1, b"y")
    with pytest.raises(channels.ChannelError):
        server.decode(b"\x04x")
    with pytest.raises(channels.ChannelError):
        channels.PortForward(channels.V4, [80]).decode(b"\x00\x51\x00", greeted=True)
