import pytest

from tests.wire.feeding import feed
from tiphys.wire import watch


def test_events_come_out_as_they_went_in() -> None:
    data = watch.encode("ADDED", b'{"a":1}') + b"\n" + watch.encode("BOOKMARK", '{"b":"ü"}'.encode())
    assert feed(watch.Parser, data) == [("ADDED", b'{"a":1}'), ("BOOKMARK", '{"b":"ü"}'.encode())]


def test_last_event_without_a_line_end() -> None:
    parser = watch.Parser()
    assert parser.receive(watch.encode("ADDED", b"{}")[:-1]) == []
    assert parser.finish() == [("ADDED", b"{}")]
    assert parser.finish() == []


@pytest.mark.parametrize(
    "line", [b"x\n", b'{"type":1,"object":{}}\n', b'{"type":"ADDED"}\n', b'{"type":"\xff","object":1}\n']
)
def test_anything_else_is_refused(line: bytes) -> None:
    with pytest.raises(watch.WatchFrameError):
        watch.Parser().receive(line)


def test_endless_events_are_refused() -> None:
    parser = watch.Parser(max_event_bytes=10)
    with pytest.raises(watch.WatchFrameError, match="larger than 10 bytes"):
        parser.receive(b"x" * 11)
