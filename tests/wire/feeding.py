"""Feeds a machine the same bytes whole, one by one, and with more behind them."""

from collections.abc import Callable
from typing import Any


def feed(make: Callable[[], Any], data: bytes) -> list[Any]:
    """The events of ``data``; fails if they depend on how it was cut."""
    whole = make().receive(data)
    machine = make()
    single = [event for index in range(len(data)) for event in machine.receive(data[index : index + 1])]
    assert single == whole
    half = make()
    assert half.receive(data + data[:1])[: len(whole)] == whole
    return list(whole)
