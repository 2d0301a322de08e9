"""One step of a rollout: first the new ReplicaSet grows as far as it may, then old ones shrink. Pure."""

from collections.abc import Sequence

from tiphys.api import apps_v1
from tiphys.controllers.deployment.desired import (
    Generations,
    Scale,
    active,
    available,
    max_unavailable,
    new_size,
    replicas,
    total,
)


def grown(deployment: apps_v1.Deployment, sets: Generations) -> Scale | None:
    """The next size of the new set; None if it stays."""
    assert sets.new is not None
    current, wanted = replicas(sets.new), replicas(deployment)
    if current > wanted:
        return Scale(sets.new, wanted)
    size = new_size(deployment, sets.all, current)
    return Scale(sets.new, size) if size != current else None


def shrunk(deployment: apps_v1.Deployment, sets: Generations) -> list[Scale]:
    """The next sizes of old sets: Pods that serve nobody go first, then as many others as may be missing."""
    assert sets.new is not None
    if total(sets.old) == 0:
        return []
    needed = replicas(deployment) - max_unavailable(deployment)
    # What the new set still lacks could otherwise be counted as room twice.
    new_unavailable = replicas(sets.new) - available([sets.new])
    room = total(sets.all) - needed - new_unavailable
    if room <= 0:
        return []
    sizes = {rs.metadata.uid: replicas(rs) for rs in sets.old}
    _drop_unhealthy(active(sets.old), sizes, room)
    _drop_serving(active(sets.old), sizes, available(sets.all) - needed)
    return [Scale(rs, sizes[rs.metadata.uid]) for rs in sets.old if sizes[rs.metadata.uid] != replicas(rs)]


def _drop_unhealthy(old: Sequence[apps_v1.ReplicaSet], sizes: dict[str, int], room: int) -> None:
    for rs in old:
        if room <= 0:
            return
        dropped = max(0, min(room, replicas(rs) - available([rs])))
        sizes[rs.metadata.uid] -= dropped
        room -= dropped


def _drop_serving(old: Sequence[apps_v1.ReplicaSet], sizes: dict[str, int], room: int) -> None:
    for rs in old:
        if room <= 0:
            return
        dropped = min(room, sizes[rs.metadata.uid])
        sizes[rs.metadata.uid] -= dropped
        room -= dropped
