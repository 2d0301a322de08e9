"""A Pod's phase, from the statuses of its containers.

Source: Kubernetes docs, "Pod Lifecycle", "Pod phase"; the kubelet's behaviour where that page is silent.
"""

from collections.abc import Sequence
from typing import Literal

from tiphys.api import core_v1
from tiphys.kubelet import restart

Phase = Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]


def phase(
    pod: core_v1.Pod,
    init_statuses: Sequence[core_v1.ContainerStatus],
    statuses: Sequence[core_v1.ContainerStatus],
    all_over: bool,
) -> Phase:
    """``all_over``: nothing of the Pod will run again, whatever its restart policy says."""
    pending_init, pending_sidecars, failed_for_good = _count_init(pod, init_statuses)
    if failed_for_good:
        return "Failed"
    running = waiting = stopped = succeeded = unknown = 0
    by_name = {s.name: s for s in statuses}
    again = False
    for container in pod.spec.containers:
        status = by_name.get(container.name)
        state = status.state if status else core_v1.ContainerState()
        last = status.lastState.terminated if status else None
        if state.running:
            running += 1
        elif state.terminated:
            stopped += 1
            if state.terminated.exitCode == 0:
                succeeded += 1
            again = again or restart.runs_again(pod, container, state.terminated.exitCode)
        elif state.waiting:
            if last:
                stopped += 1
                again = again or restart.runs_again(pod, container, last.exitCode)
            else:
                waiting += 1
        else:
            unknown += 1
    if all_over and (pending_init or waiting or unknown):
        # What has not run by now never will. Source: KEP-3329, "Pods transition to a terminal phase before deletion".
        return "Failed"
    if pending_init or (pending_sidecars and not running and not stopped):
        return "Pending"
    if waiting or unknown:
        return "Pending"
    if running:
        return "Running"
    if not stopped:
        return "Pending"
    if not all_over and again:
        return "Running"
    return "Succeeded" if succeeded == stopped else "Failed"


def _count_init(pod: core_v1.Pod, statuses: Sequence[core_v1.ContainerStatus]) -> tuple[int, int, int]:
    """How many init containers have yet to succeed, how many sidecars to start, how many failed and stay so."""
    by_name = {s.name: s for s in statuses}
    pending = sidecars = failed = 0
    for container in pod.spec.initContainers or ():
        status = by_name.get(container.name)
        if restart.is_sidecar(container):
            if status is None or not status.started:
                sidecars += 1
            continue
        ended = status.state.terminated if status else None
        if ended is None and status is not None and status.state.waiting:
            ended = status.lastState.terminated
        if ended is None:
            pending += 1
        elif ended.exitCode != 0:
            if restart.init_runs_again(pod, container, ended.exitCode):
                pending += 1
            else:
                failed += 1
    return pending, sidecars, failed
