"""How many seats a request takes: an estimate of its work in units of a small read. Pure.

Source: KEP-1040, "Width and duration of requests"; apiserver's work estimators, by behaviour.
"""

from typing import Final

OBJECTS_PER_SEAT: Final = 100
WATCHES_PER_SEAT: Final = 10
#: Wider than this nothing is.
SEATS_MAX: Final = 10
#: Nor wider than this part of its level's seats.
SHARE_MAX: Final = 0.15
#: How long a change of something that is watched goes on costing after its answer, per watcher in a seat.
EVENT_SECONDS: Final = 0.005


def seats_max(nominal: int) -> int:
    """The most seats that one request of a level with so many seats may take."""
    return max(1, min(SEATS_MAX, int(nominal * SHARE_MAX + 0.999)))


def list_seats(stored: int, limit: int, selective: bool, most: int) -> int:
    """Seats of a list over ``stored`` objects; ``limit`` is 0 for none, ``selective`` says that there are selectors."""
    # A page of a selection may have to look at all of them.
    processed = stored if not limit or selective else min(stored, limit)
    return max(1, min(most, -(-processed // OBJECTS_PER_SEAT)))


def change_seats(watchers: int, most: int) -> tuple[int, float]:
    """Seats that a change takes after its answer, and for how many seconds, while ``watchers`` are told."""
    wanted = -(-watchers // WATCHES_PER_SEAT)
    if wanted <= 1:
        return 0, 0.0
    # More work than the seats allowed takes longer instead.
    given = min(wanted, most)
    return given, EVENT_SECONDS * wanted / given
