"""The status of a DaemonSet, from nodes and Pods. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from tiphys.api import apps_v1, core_v1
from tiphys.controllers import pods as podfacts
from tiphys.controllers.daemonset.desired import age_key, belongs, is_updated


def status(
    ds: apps_v1.DaemonSet,
    nodes: Sequence[core_v1.Node],
    pods: Mapping[str, list[core_v1.Pod]],
    digest: str,
    now: datetime,
    *,
    observed: bool,
) -> apps_v1.DaemonSetStatus:
    """``observed``: the present template has been acted upon, and not only looked at."""
    wanted = current = misplaced = ready = available = updated = 0
    for node in nodes:
        here = pods.get(node.metadata.name)
        if not belongs(ds, node)[0]:
            misplaced += bool(here)
            continue
        wanted += 1
        if not here:
            continue
        current += 1
        pod = min(here, key=age_key)
        if podfacts.is_ready(pod):
            ready += 1
            available += podfacts.is_available(pod, ds.spec.minReadySeconds or 0, now)
        updated += is_updated(ds, pod, digest)
    return msgspec.structs.replace(
        ds.status,
        desiredNumberScheduled=wanted,
        currentNumberScheduled=current,
        numberMisscheduled=misplaced,
        numberReady=ready,
        numberAvailable=available or None,
        numberUnavailable=(wanted - available) or None,
        updatedNumberScheduled=updated or None,
        observedGeneration=ds.metadata.generation if observed else ds.status.observedGeneration,
    )
