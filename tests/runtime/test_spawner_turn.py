"""The spawner's loop: what one action has let go of is not touched by another of the same turn."""

import socket
from pathlib import Path

from tiphys.runtime.spawner.server import Server


def test_a_stream_that_was_dropped_in_this_turn_is_not_read(tmp_path: Path) -> None:
    server = Server(str(tmp_path / "s"))
    pairs = [socket.socketpair(), socket.socketpair()]
    read: list[int] = []

    def dropping(own: int) -> None:
        # Both can be read; whichever comes first lets go of the other, as forgetting a process does with its output.
        read.append(own)
        other = pairs[1 - own][0]
        server._selector.unregister(other)
        other.close()

    for number, (reader, writer) in enumerate(pairs):
        server._watch(reader, lambda own=number: dropping(own))
        writer.send(b"x")
    server._turn()
    assert len(read) == 1
    for pair in pairs:
        for end in pair:
            end.close()
