"""The user's terminal, while a remote one is shown in it."""

import os
import signal
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Every key goes to the other side, Ctrl-C too; the terminal is as before afterwards."""
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def size(descriptor: int) -> tuple[int, int]:
    """Columns and lines; zeros where it has none."""
    try:
        found = os.get_terminal_size(descriptor)
    except OSError:
        return 0, 0
    return found.columns, found.lines


@contextmanager
def resized() -> Iterator[socket.socket]:
    """A socket that becomes readable whenever the terminal's size has changed."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)

    def tell(*_: object) -> None:
        try:
            theirs.send(b"x")
        except BlockingIOError:
            # It is readable already.
            return

    before = signal.signal(signal.SIGWINCH, tell)
    try:
        yield ours
    finally:
        signal.signal(signal.SIGWINCH, before)
        ours.close()
        theirs.close()


def is_terminal() -> bool:
    return sys.stdin.isatty()
