"""Sizes while no template changes: a Deployment was scaled, or is paused. Pure."""

from collections.abc import Sequence

from tiphys.api import apps_v1
from tiphys.controllers.deployment import annotations
from tiphys.controllers.deployment.desired import (
    Generations,
    Scale,
    active,
    available,
    by_age,
    is_rolling,
    max_surge,
    replicas,
    total,
)


def is_scaling(deployment: apps_v1.Deployment, sets: Sequence[apps_v1.ReplicaSet]) -> bool:
    """Whether ``replicas`` has changed since the active sets were sized."""
    for rs in active(sets):
        desired = annotations.number_of(rs, annotations.DESIRED_REPLICAS)
        if desired is not None and desired != replicas(deployment):
            return True
    return False


def scaled(deployment: apps_v1.Deployment, sets: Generations) -> list[Scale]:
    """How the ReplicaSets change so that together they follow the Deployment's size."""
    wanted = replicas(deployment)
    only = _only_active(sets)
    if only is not None:
        # A right size with a stale note is noted anew, or the Deployment would count as being scaled for ever.
        return [Scale(only, wanted)] if replicas(only) != wanted or is_scaling(deployment, [only]) else []
    if _is_saturated(deployment, sets.new):
        return [Scale(rs, 0) for rs in active(sets.old)]
    if not is_rolling(deployment):
        return []
    return _proportional(deployment, active(sets.all))


def _only_active(sets: Generations) -> apps_v1.ReplicaSet | None:
    """The one set that is active, or the newest if none is; None if several are."""
    running = active(sets.all)
    if len(running) > 1:
        return None
    if running:
        return running[0]
    if sets.new is not None:
        return sets.new
    return sets.old[-1] if sets.old else None


def _is_saturated(deployment: apps_v1.Deployment, rs: apps_v1.ReplicaSet | None) -> bool:
    """Whether the new set alone serves all that is asked for."""
    if rs is None:
        return False
    wanted = replicas(deployment)
    return (
        replicas(rs) == wanted
        and annotations.number_of(rs, annotations.DESIRED_REPLICAS) == wanted
        and available([rs]) == wanted
    )


def _proportional(deployment: apps_v1.Deployment, running: list[apps_v1.ReplicaSet]) -> list[Scale]:
    """Share the change among the sets in proportion to their sizes; the first takes what rounding leaves."""
    wanted = replicas(deployment)
    allowed = wanted + max_surge(deployment) if wanted > 0 else 0
    change = allowed - total(running)
    if change > 0:
        # Newest first among equals: what grows should be what stays.
        ordered = sorted(sorted(running, key=by_age, reverse=True), key=replicas, reverse=True)
    else:
        ordered = sorted(sorted(running, key=by_age), key=replicas, reverse=True)
    sizes, added = [], 0
    for rs in ordered:
        share = _share(deployment, rs, change, added) if change else 0
        added += share
        sizes.append(replicas(rs) + share)
    if sizes and change:
        sizes[0] = max(0, sizes[0] + change - added)
    return [Scale(rs, size) for rs, size in zip(ordered, sizes, strict=True)]


def _share(deployment: apps_v1.Deployment, rs: apps_v1.ReplicaSet, change: int, added: int) -> int:
    if replicas(rs) == 0 or change == added:
        return 0
    fraction = _fraction(deployment, rs)
    return min(fraction, change - added) if change > 0 else max(fraction, change - added)


def _fraction(deployment: apps_v1.Deployment, rs: apps_v1.ReplicaSet) -> int:
    """How much ``rs`` would change if its share of the whole stayed what it was."""
    if replicas(deployment) == 0:
        return -replicas(rs)
    # Sets that were never sized with annotations are measured against what the status says there was.
    before = annotations.number_of(rs, annotations.MAX_REPLICAS) or deployment.status.replicas or 0
    if before == 0:
        return 0
    size = replicas(rs) * (replicas(deployment) + max_surge(deployment)) / before
    return int(size + 0.5) - replicas(rs)
