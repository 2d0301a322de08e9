"""Which old ReplicaSets are no longer kept for an undo. Pure."""

from collections.abc import Sequence

from tiphys.api import apps_v1
from tiphys.controllers.deployment import annotations
from tiphys.controllers.deployment.desired import INT32_MAX, replicas


def superfluous(deployment: apps_v1.Deployment, old: Sequence[apps_v1.ReplicaSet]) -> list[apps_v1.ReplicaSet]:
    """Sets beyond ``revisionHistoryLimit``, lowest revision first, of those that have no Pods left."""
    limit = deployment.spec.revisionHistoryLimit
    if limit is None or limit == INT32_MAX:
        return []
    alive = [rs for rs in old if rs.metadata.deletionTimestamp is None]
    excess = len(alive) - limit
    if excess <= 0:
        return []
    return [rs for rs in sorted(alive, key=annotations.revision)[:excess] if _is_empty(rs)]


def _is_empty(rs: apps_v1.ReplicaSet) -> bool:
    observed = (rs.metadata.generation or 0) <= (rs.status.observedGeneration or 0)
    return rs.status.replicas == 0 and replicas(rs) == 0 and observed
