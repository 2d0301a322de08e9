"""Work inside another network namespace.

A namespace belongs to a thread, so the caller must own the thread it calls
from: no other code may run there between entering and leaving.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000

#: Moves the calling thread into the namespace of a file descriptor: (fd, CLONE_NEWNET); raises OSError.
SetNs = Callable[[int, int], None]


def _find_setns() -> SetNs:
    found: SetNs | None = getattr(os, "setns", None)
    if found is not None:
        return found
    # Late: Python has its own from 3.12 on, and this import costs 20 MB and 0.14 s.
    from pyroute2 import netns  # noqa: PLC0415

    def setns(fd: int, flags: int) -> None:
        # pyroute2 knows only network namespaces and needs no flags.
        netns.setns(fd)

    return setns


@contextmanager
def inside(namespace_fd: int, setns: SetNs | None = None) -> Iterator[None]:
    """Run the body in the namespace and come back."""
    enter = setns or _find_setns()
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(namespace_fd, CLONE_NEWNET)
        try:
            yield
        finally:
            enter(home, CLONE_NEWNET)
    finally:
        os.close(home)
