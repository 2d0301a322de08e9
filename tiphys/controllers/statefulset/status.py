"""The status of a StatefulSet, from its Pods. Pure."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from tiphys.api import apps_v1, core_v1
from tiphys.controllers.statefulset import desired
from tiphys.controllers.statefulset.identity import replicas_of, revision_of


def status(
    sts: apps_v1.StatefulSet,
    pods: Sequence[core_v1.Pod],
    current: str,
    update: str,
    now: datetime,
) -> apps_v1.StatefulSetStatus:
    """``current`` and ``update`` are the names of the revisions before and after a rollout; it may end here."""
    ready = available = of_current = of_update = 0
    for pod in pods:
        ready += desired.is_running_and_ready(pod)
        available += desired.is_running_and_available(pod, sts, now)
        if not desired.is_terminating(pod):
            of_current += revision_of(pod) == current
            of_update += revision_of(pod) == update
    wanted = replicas_of(sts)
    if sts.spec.updateStrategy.type == "RollingUpdate" and (of_update, ready, len(pods)) == (wanted, wanted, wanted):
        current, of_current = update, of_update
    return msgspec.structs.replace(
        sts.status,
        observedGeneration=sts.metadata.generation,
        replicas=len(pods),
        readyReplicas=ready or None,
        availableReplicas=available,
        currentReplicas=of_current or None,
        updatedReplicas=of_update or None,
        currentRevision=current,
        updateRevision=update,
        collisionCount=sts.status.collisionCount or 0,
    )
