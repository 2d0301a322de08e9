import pytest

from tiphys.wire import http1


def parsed(kind: str, data: bytes) -> tuple[http1.Head, bytes]:
    whole = http1.HeadParser(kind)  # type: ignore[arg-type]
    head = whole.receive(data)
    assert head is not None
    bytewise = http1.HeadParser(kind)  # type: ignore[arg-type]
    size = len(data) - len(whole.rest)
    assert [bytewise.receive(data[i : i + 1]) for i in range(size)] == [None] * (size - 1) + [head]
    return head, whole.rest


def test_request() -> None:
    data = http1.encode_request("POST", "/exec?a=b", [("Upgrade", "SPDY/3.1"), ("Connection", "keep-alive, Upgrade")])
    head, rest = parsed("request", data + b"\x80\x03")
    assert (head.method, head.target, rest) == ("POST", "/exec?a=b", b"\x80\x03")
    assert head.upgrades_to("spdy/3.1")
    assert not head.upgrades_to("websocket")


def test_response() -> None:
    data = http1.encode_response(101, "Switching Protocols", {"A": "1"})[:-2] + b"a: 2, 3\r\n\r\n"
    head, rest = parsed("response", data)
    assert (head.status, head.reason, rest) == (101, "Switching Protocols", b"")
    assert head.headers == {"a": "1, 2, 3"}
    assert head.all("a") == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("request", b"GET / HTTP/2\r\n\r\n"),
        ("request", b"GET /a b HTTP/1.1\r\n\r\n"),
        ("request", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"),
        ("request", b"GET / HTTP/1.1\r\na : b\r\n\r\n"),
        ("request", b"GET / HTTP/1.1\r\na: b\r\n folded\r\n\r\n"),
        ("response", b"HTTP/1.1 99 x\r\n\r\n"),
        ("response", b"\xff\r\n\r\n"),
    ],
)
def test_faults(kind: str, data: bytes) -> None:
    with pytest.raises(http1.HttpError):
        http1.HeadParser(kind).receive(data)  # type: ignore[arg-type]


def test_endless_heads_and_smuggled_lines() -> None:
    with pytest.raises(http1.HttpError, match="larger"):
        http1.HeadParser("request", max_bytes=10).receive(b"x" * 11)
    with pytest.raises(http1.HttpError):
        http1.encode_request("GET", "/", {"a": "b\r\nc: d"})
