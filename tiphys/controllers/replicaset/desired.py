"""How many Pods a ReplicaSet lacks, and which of a surplus go first. Pure."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tiphys.api import apps_v1, core_v1, meta_v1
from tiphys.controllers import pods as podfacts
from tiphys.machinery import meta, times

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

_PHASES = {"Pending": 0, "": 0, None: 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class Create:
    """So many Pods from the template."""

    count: int


@dataclass(frozen=True, slots=True)
class Delete:
    """These Pods, the first first."""

    pods: tuple[core_v1.Pod, ...]


def desired(
    rs: apps_v1.ReplicaSet,
    active: Sequence[core_v1.Pod],
    colocated: Mapping[str, int],
    now: datetime,
) -> Create | Delete | None:
    """What to do, given the active Pods that ``rs`` owns; None if there is nothing to do.

    ``colocated`` counts, per node, active Pods of all ReplicaSets of the same owner.
    """
    surplus = len(active) - replicas_of(rs)
    if surplus < 0:
        return Create(-surplus)
    if surplus > 0:
        return Delete(tuple(ranked(active, colocated, now)[:surplus]))
    return None


def replicas_of(rs: apps_v1.ReplicaSet) -> int:
    return 1 if rs.spec.replicas is None else rs.spec.replicas


def colocation(related: Sequence[core_v1.Pod]) -> Mapping[str, int]:
    """Active Pods of ``related`` per node."""
    return Counter(pod.spec.nodeName or "" for pod in related if podfacts.is_active(pod))


def ranked(active: Sequence[core_v1.Pod], colocated: Mapping[str, int], now: datetime) -> list[core_v1.Pod]:
    """``active`` in the order in which they are deleted.

    Unassigned, pending, not ready, cheap ones first; then those that share their
    node with most others, were ready most recently (in powers of two, so that age
    decides roughly and chance finely), restarted most, or are youngest.
    """
    return sorted(active, key=lambda pod: _rank(pod, colocated, now))


def _rank(pod: core_v1.Pod, colocated: Mapping[str, int], now: datetime) -> tuple[Any, ...]:
    ready = podfacts.find_condition(pod, "Ready")
    is_ready = ready is not None and ready.status == "True"
    ready_since = ready.lastTransitionTime if ready is not None and is_ready else None
    regular, sidecar = podfacts.restarts(pod)
    return (
        bool(pod.spec.nodeName),
        _PHASES.get(pod.status.phase, 2),
        is_ready,
        deletion_cost(pod),
        -colocated.get(pod.spec.nodeName or "", 0),
        _age_class(ready_since, now) if is_ready else 0,
        -regular,
        -sidecar,
        _age_class(pod.metadata.creationTimestamp, now),
        pod.metadata.uid,
    )


def _age_class(since: str | None, now: datetime) -> int:
    """The binary logarithm of an age in nanoseconds, -1 for none: the young go first."""
    if since is None:
        return -1
    seconds = (now - times.parse(since)).total_seconds()
    return int(math.log2(seconds * 1e9)) if seconds > 0 else -1


def deletion_cost(pod: core_v1.Pod) -> int:
    """The annotation's value; 0 where it is missing or not a number as Kubernetes writes them."""
    text = pod.metadata.annotations.get(DELETION_COST, "0")
    digits = text.removeprefix("-")
    plain = digits.isascii() and digits.isdigit() and (digits == "0" or not digits.startswith("0"))
    value = int(text) if plain else 0
    return value if -(2**31) <= value < 2**31 else 0


def new_pod(rs: apps_v1.ReplicaSet) -> core_v1.Pod:
    """The Pod to create; the server completes its name. The same for all Pods of ``rs``."""
    template = rs.spec.template or core_v1.PodTemplateSpec()
    wanted = template.metadata or meta_v1.ObjectMeta()
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            generateName=f"{rs.metadata.name}-",
            namespace=rs.metadata.namespace,
            labels=wanted.labels,
            annotations=wanted.annotations,
            finalizers=wanted.finalizers,
            ownerReferences=[meta.owner_reference(rs, controller=True)],
        ),
        spec=template.spec or core_v1.PodSpec(),
    )
