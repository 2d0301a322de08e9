"""The hook for kinds whose objects hold something that no other may hold: cluster IPs and node ports of Services."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tiphys.apiserver.registry.endpoint import Endpoint


@contextmanager
def allocating(endpoint: Endpoint, obj: Any, old: Any, dry_run: bool) -> Iterator[None]:
    """While ``obj`` is written, what it was given is reserved; afterwards it is the cache that knows.

    Raises Invalid before the body runs if something cannot be had.
    """
    allocator = endpoint.allocator
    if allocator is None:
        yield
        return
    reservation = allocator.reserve(obj, old)
    try:
        yield
    finally:
        allocator.release(reservation)
