"""What a range looked like at an earlier revision: today's, with the changes since undone."""

from collections.abc import Iterable

from tiphys.store.interface import Event, KeyValue


def undone(current: Iterable[KeyValue], later: Iterable[Event]) -> list[KeyValue]:
    """The range before the changes ``later`` (oldest first) were made, in key order."""
    items = {item.key: item for item in current}
    for event in reversed(list(later)):
        if event.previous is None:
            items.pop(event.key, None)
        else:
            items[event.key] = event.previous
    return [items[key] for key in sorted(items)]
