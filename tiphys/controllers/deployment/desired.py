"""Which ReplicaSet a Deployment's template stands for, and what a new one looks like. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from tiphys.api import apps_v1, core_v1, meta_v1
from tiphys.controllers.deployment import annotations
from tiphys.machinery import hashing, intstr, meta

HASH_LABEL = "pod-template-hash"
INT32_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Generations:
    """A Deployment's ReplicaSets: the one of its current template, and all others, oldest first."""

    new: apps_v1.ReplicaSet | None
    old: tuple[apps_v1.ReplicaSet, ...]

    @property
    def all(self) -> tuple[apps_v1.ReplicaSet, ...]:
        return (*self.old, self.new) if self.new is not None else self.old


@dataclass(frozen=True, slots=True)
class Scale:
    """Give ``rs`` this size. An unchanged size still brings its size annotations up to date."""

    rs: apps_v1.ReplicaSet
    replicas: int


def replicas(obj: apps_v1.Deployment | apps_v1.ReplicaSet) -> int:
    return 1 if obj.spec.replicas is None else obj.spec.replicas


def total(sets: Sequence[apps_v1.ReplicaSet]) -> int:
    """Pods asked for."""
    return sum(map(replicas, sets))


def actual(sets: Sequence[apps_v1.ReplicaSet]) -> int:
    """Pods that exist."""
    return sum(rs.status.replicas for rs in sets)


def available(sets: Sequence[apps_v1.ReplicaSet]) -> int:
    return sum(rs.status.availableReplicas or 0 for rs in sets)


def is_rolling(deployment: apps_v1.Deployment) -> bool:
    return deployment.spec.strategy.type != "Recreate"


def max_surge(deployment: apps_v1.Deployment) -> int:
    """Pods allowed above ``replicas`` during a rolling update."""
    return _fenceposts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: apps_v1.Deployment) -> int:
    """Pods that may be missing during a rolling update."""
    if not is_rolling(deployment):
        return 0
    return min(_fenceposts(deployment)[1], replicas(deployment))


def _fenceposts(deployment: apps_v1.Deployment) -> tuple[int, int]:
    rolling = deployment.spec.strategy.rollingUpdate or apps_v1.RollingUpdateDeployment()
    surge = intstr.scaled(0 if rolling.maxSurge is None else rolling.maxSurge, replicas(deployment), True)
    missing = intstr.scaled(
        0 if rolling.maxUnavailable is None else rolling.maxUnavailable, replicas(deployment), False
    )
    # Both may round to nothing, and then nothing could move.
    return (surge, missing) if surge or missing else (0, 1)


def same_template(one: core_v1.PodTemplateSpec | None, other: core_v1.PodTemplateSpec | None) -> bool:
    """Whether two templates ask for the same Pods, whatever hash they are labelled with."""
    return _without_hash(one) == _without_hash(other)


def _without_hash(template: core_v1.PodTemplateSpec | None) -> core_v1.PodTemplateSpec:
    if template is None:
        return core_v1.PodTemplateSpec(metadata=meta_v1.ObjectMeta())
    metadata = template.metadata or meta_v1.ObjectMeta()
    labels = {key: text for key, text in metadata.labels.items() if key != HASH_LABEL}
    # The server stamps nothing into a template's metadata but an absent creationTimestamp.
    return msgspec.structs.replace(
        template, metadata=msgspec.structs.replace(metadata, labels=labels, creationTimestamp=None)
    )


def generations(deployment: apps_v1.Deployment, owned: Sequence[apps_v1.ReplicaSet]) -> Generations:
    """Sort out ``owned``. Of several sets with the current template the oldest is the new one."""
    ordered = sorted(owned, key=by_age)
    template = _without_hash(deployment.spec.template)
    new = next((rs for rs in ordered if _without_hash(rs.spec.template) == template), None)
    return Generations(new, tuple(rs for rs in ordered if rs is not new))


def by_age(rs: apps_v1.ReplicaSet) -> tuple[str, str]:
    return (rs.metadata.creationTimestamp or "", rs.metadata.name)


def active(sets: Sequence[apps_v1.ReplicaSet]) -> list[apps_v1.ReplicaSet]:
    return [rs for rs in sets if replicas(rs) > 0]


def next_revision(old: Sequence[apps_v1.ReplicaSet]) -> int:
    return max((annotations.revision(rs) for rs in old), default=0) + 1


def new_size(deployment: apps_v1.Deployment, sets: Sequence[apps_v1.ReplicaSet], current: int) -> int:
    """How many Pods the new ReplicaSet, now of size ``current`` and one of ``sets``, may have."""
    wanted = replicas(deployment)
    if not is_rolling(deployment):
        return wanted
    room = wanted + max_surge(deployment) - total(sets)
    if room <= 0:
        return current
    return current + min(room, wanted - current)


def new_replica_set(deployment: apps_v1.Deployment, old: Sequence[apps_v1.ReplicaSet]) -> apps_v1.ReplicaSet:
    """The ReplicaSet of the Deployment's template, named and labelled by the template's hash."""
    template = deployment.spec.template
    metadata = template.metadata or meta_v1.ObjectMeta()
    digest = hashing.template_hash(template, deployment.status.collisionCount)
    labels = {**metadata.labels, HASH_LABEL: digest}
    selector = deployment.spec.selector
    noted = annotations.for_new_replica_set(deployment, {}, next_revision(old))
    size = new_size(deployment, old, 0)
    maximum = replicas(deployment) + max_surge(deployment)
    return apps_v1.ReplicaSet(
        metadata=meta_v1.ObjectMeta(
            name=f"{deployment.metadata.name}-{digest}",
            namespace=deployment.metadata.namespace,
            labels=labels,
            annotations=annotations.with_sizes(noted, replicas(deployment), maximum),
            ownerReferences=[meta.owner_reference(deployment, controller=True)],
        ),
        spec=apps_v1.ReplicaSetSpec(
            replicas=size,
            minReadySeconds=deployment.spec.minReadySeconds,
            selector=msgspec.structs.replace(
                selector, matchLabels={**(selector.matchLabels or {}), HASH_LABEL: digest}
            ),
            template=msgspec.structs.replace(template, metadata=msgspec.structs.replace(metadata, labels=labels)),
        ),
    )


def refreshed(
    deployment: apps_v1.Deployment, rs: apps_v1.ReplicaSet, old: Sequence[apps_v1.ReplicaSet]
) -> apps_v1.ReplicaSet | None:
    """The existing new ReplicaSet with revision and annotations brought up to date; None if they are."""
    noted = annotations.for_new_replica_set(deployment, rs.metadata.annotations, next_revision(old))
    seconds = deployment.spec.minReadySeconds
    if noted == rs.metadata.annotations and (rs.spec.minReadySeconds or 0) == (seconds or 0):
        return None
    return msgspec.structs.replace(
        rs,
        metadata=msgspec.structs.replace(rs.metadata, annotations=noted),
        spec=msgspec.structs.replace(rs.spec, minReadySeconds=seconds),
    )


def has_progress_deadline(deployment: apps_v1.Deployment) -> bool:
    seconds = deployment.spec.progressDeadlineSeconds
    return seconds is not None and seconds != INT32_MAX
