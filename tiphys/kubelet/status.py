"""A Pod's status, computed from what the runtime has, what probes said and what was reported before.

Pure: the same input gives the same status. Source: Kubernetes docs, "Pod Lifecycle"; API reference, PodStatus;
the kubelet's behaviour where those are silent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from tiphys.api import core_v1
from tiphys.api.scalars import Time
from tiphys.kubelet import conditions, phase, qos, resize, restart
from tiphys.kubelet.facts import ContainerFact, PodFact
from tiphys.machinery import times

#: Why a container that should run does not: reason and message of its waiting state.
Waiting = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Probed:
    """What probes say of one running container: None where there is no such probe."""

    startup: bool | None = None
    readiness: bool | None = None


@dataclass(slots=True)
class Picture:
    """Everything a status is made of, besides the Pod."""

    facts: PodFact
    host_ips: Sequence[str]
    now: datetime
    #: By container name.
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    #: By container id; a running container that is not in here has no probes that matter.
    probed: Mapping[str, Probed] = field(default_factory=dict)
    #: Containers whose start is under way (postStart included): not shown as running before it is over.
    starting: frozenset[str] = frozenset()
    #: Nothing of the Pod will run again.
    all_over: bool = False
    #: The kubelet failed the Pod: reason and message of its status.
    failure: Waiting | None = None
    sandbox_usable: bool = False
    resizing: resize.Progress = field(default_factory=resize.Progress)
    #: The scheme of container ids: ``<runtime name>://<id>``.
    runtime_name: str = "tiphys"

    def container_id(self, fact: ContainerFact) -> str:
        return f"{self.runtime_name}://{fact.id}"

    def terminated(self, fact: ContainerFact) -> core_v1.ContainerState:
        return core_v1.ContainerState(terminated=terminated(fact, self.container_id(fact)))


def pod_status(pod: core_v1.Pod, picture: Picture) -> core_v1.PodStatus:
    """The status to report. ``pod.status`` is what was reported last."""
    old = pod.status
    now = times.format_time(picture.now)
    nothing = not picture.facts.sandboxes and not picture.facts.containers
    if picture.failure is not None and nothing and not _ever_ran(old):
        return _rejected(pod, picture, now)
    has_init = bool(pod.spec.initContainers)
    init = [_container(pod, c, old.initContainerStatuses, picture, has_init, "init") for c in _init(pod)]
    apps = [_container(pod, c, old.containerStatuses, picture, has_init, "app") for c in pod.spec.containers]
    ephemeral = [
        _container(pod, c, old.ephemeralContainerStatuses, picture, False, "ephemeral")
        for c in pod.spec.ephemeralContainers or ()
    ]
    if picture.failure is not None:
        found: str = "Failed"
    elif old.phase in ("Succeeded", "Failed"):
        found = old.phase
    else:
        found = phase.phase(pod, init, apps, picture.all_over)
        if found in ("Succeeded", "Failed") and any(c.state == "running" for c in picture.facts.containers):
            # A sidecar still runs: what has not ended is not reported as ended.
            found = old.phase or "Running"
    # In the order of their names, as clients of Kubernetes know it; init containers stay in the order of the spec.
    apps.sort(key=lambda s: s.name)
    ephemeral.sort(key=lambda s: s.name)
    new = core_v1.PodStatus(
        phase=found,
        observedGeneration=pod.metadata.generation or None,
        reason=picture.failure[0] if picture.failure else old.reason,
        message=picture.failure[1] if picture.failure else old.message,
        startTime=old.startTime or now,
        qosClass=old.qosClass or qos.qos_class(pod),
        hostIP=picture.host_ips[0] if picture.host_ips else None,
        hostIPs=[core_v1.HostIP(ip=ip) for ip in picture.host_ips] or None,
        initContainerStatuses=init or None,
        containerStatuses=apps or None,
        ephemeralContainerStatuses=ephemeral or None,
        nominatedNodeName=old.nominatedNodeName,
        resize=old.resize,
        resourceClaimStatuses=old.resourceClaimStatuses,
    )
    ips = _addresses(pod, picture, old)
    new.podIP = ips[0] if ips else None
    new.podIPs = [core_v1.PodIP(ip=ip) for ip in ips] or None
    new.conditions = conditions.conditions(pod, found, init, apps, picture.sandbox_usable, now, picture.resizing)
    return new


def _ever_ran(status: core_v1.PodStatus) -> bool:
    return bool(status.containerStatuses or status.initContainerStatuses)


def _rejected(pod: core_v1.Pod, picture: Picture, now: Time) -> core_v1.PodStatus:
    """A Pod that the node did not admit: only phase, reason and message are said of it."""
    assert picture.failure is not None
    return msgspec.structs.replace(
        pod.status,
        phase="Failed",
        reason=picture.failure[0],
        message=picture.failure[1],
        startTime=pod.status.startTime or now,
        qosClass=pod.status.qosClass or qos.qos_class(pod),
        observedGeneration=pod.metadata.generation or None,
    )


def _init(pod: core_v1.Pod) -> Sequence[core_v1.Container]:
    return pod.spec.initContainers or ()


def _addresses(pod: core_v1.Pod, picture: Picture, old: core_v1.PodStatus) -> list[str]:
    """The Pod's addresses; once ended it keeps the ones it had."""
    if pod.spec.hostNetwork:
        return list(picture.host_ips) if picture.facts.sandbox or old.podIP else []
    sandbox = picture.facts.sandbox
    if sandbox is not None and sandbox.ips:
        return list(sandbox.ips)
    if sandbox is None or not sandbox.ready:
        return [p.ip for p in old.podIPs or ()]
    return []


def _container(
    pod: core_v1.Pod,
    container: restart.AnyContainer,
    old_statuses: Sequence[core_v1.ContainerStatus] | None,
    picture: Picture,
    has_init: bool,
    kind: str,
) -> core_v1.ContainerStatus:
    old = next((s for s in old_statuses or () if s.name == container.name), None)
    facts = picture.facts.of(container.name)
    if container.name in picture.starting:
        # The newest one's start is under way; what it replaces is the last one that counts.
        facts = [f for f in facts if f.state == "exited"]
    status = core_v1.ContainerStatus(name=container.name, image=container.image or "")
    if facts:
        _from_fact(status, facts[0], picture)
        if len(facts) > 1 and facts[1].state == "exited":
            status.lastState = picture.terminated(facts[1])
        elif old is not None and old.containerID == status.containerID:
            status.lastState = old.lastState
        elif old is not None and old.state.terminated:
            status.lastState = core_v1.ContainerState(terminated=old.state.terminated)
        elif old is not None:
            status.lastState = old.lastState
    elif old is not None and old.state.terminated and container.name not in picture.starting:
        status = msgspec.structs.replace(old)
    else:
        status.state = core_v1.ContainerState(
            waiting=core_v1.ContainerStateWaiting(reason="PodInitializing" if has_init else "ContainerCreating")
        )
        if old is not None:
            status.restartCount = old.restartCount
            status.lastState = old.lastState
            if old.state.terminated:
                status.lastState = core_v1.ContainerState(terminated=old.state.terminated)
            elif old.state.running:
                _vanished(pod, status)
    _apply_waiting(pod, container, status, picture, kind)
    if picture.all_over and status.state.terminated is None and (kind != "init" or status.state.running):
        _lost(pod, status)
    _resources(status, container, picture.resizing)
    _mounts(status, container)
    if kind != "ephemeral":
        _readiness(pod, container, status, picture, kind)
    return status


def _from_fact(status: core_v1.ContainerStatus, fact: ContainerFact, picture: Picture) -> None:
    status.containerID = picture.container_id(fact)
    status.imageID = fact.image_id
    status.image = fact.image or status.image
    status.restartCount = fact.attempt
    if fact.state == "running":
        running = core_v1.ContainerStateRunning(startedAt=at(fact.started_at))
        status.state = core_v1.ContainerState(running=running)
    elif fact.state == "exited":
        status.state = picture.terminated(fact)
    else:
        waiting = core_v1.ContainerStateWaiting(reason="ContainerCreating")
        status.state = core_v1.ContainerState(waiting=waiting)
    if fact.user is not None and fact.state == "running":
        uid, gid, groups = fact.user
        linux = core_v1.LinuxContainerUser(uid=uid, gid=gid, supplementalGroups=list(groups) or None)
        status.user = core_v1.ContainerUser(linux=linux)


def terminated(fact: ContainerFact, container_id: str) -> core_v1.ContainerStateTerminated:
    return core_v1.ContainerStateTerminated(
        containerID=container_id,
        exitCode=fact.exit_code,
        reason=fact.reason or ("Completed" if fact.exit_code == 0 else "Error"),
        message=fact.message or None,
        startedAt=at(fact.started_at),
        finishedAt=at(fact.finished_at),
    )


def at(nanoseconds: int) -> Time | None:
    """None for 0, which is CRI's way to say never."""
    if not nanoseconds:
        return None
    return times.format_time(datetime.fromtimestamp(nanoseconds // 10**9, UTC))


def _apply_waiting(
    pod: core_v1.Pod,
    container: restart.AnyContainer,
    status: core_v1.ContainerStatus,
    picture: Picture,
    kind: str,
) -> None:
    """A container that ended and is to run again waits; why is said by its last attempt to start."""
    ended = status.state.terminated
    if picture.all_over:
        return
    if ended is not None:
        judge = restart.init_runs_again if kind == "init" else restart.runs_again
        if kind == "ephemeral" or not judge(pod, container, ended.exitCode):
            return
    reason = picture.waiting.get(container.name)
    if reason is None or status.state.running:
        return
    if ended is not None:
        status.lastState = status.state
    waiting = core_v1.ContainerStateWaiting(reason=reason[0], message=reason[1] or None)
    status.state = core_v1.ContainerState(waiting=waiting)


def _vanished(pod: core_v1.Pod, status: core_v1.ContainerStatus) -> None:
    """It ran, and the runtime knows nothing of it: the node was taken down meanwhile."""
    status.lastState = core_v1.ContainerState(
        terminated=core_v1.ContainerStateTerminated(
            reason="ContainerStatusUnknown",
            message="The container could not be located when the pod was deleted.  The container used to be Running",
            exitCode=137,
        )
    )
    if pod.metadata.deletionTimestamp is None:
        status.restartCount += 1


def _lost(pod: core_v1.Pod, status: core_v1.ContainerStatus) -> None:
    """The Pod is over, and nobody can tell how this container ended; or it never ran, though its turn had come."""
    initialized = any(c.type == conditions.INITIALIZED and c.status == "True" for c in pod.status.conditions or ())
    if pod.spec.initContainers and not initialized:
        return
    status.lastState = core_v1.ContainerState()
    status.state = core_v1.ContainerState(
        terminated=core_v1.ContainerStateTerminated(
            reason="ContainerStatusUnknown",
            message="The container could not be located when the pod was terminated",
            exitCode=137,
        )
    )


def _readiness(
    pod: core_v1.Pod,
    container: restart.AnyContainer,
    status: core_v1.ContainerStatus,
    picture: Picture,
    kind: str,
) -> None:
    running = status.state.running is not None
    probed = picture.probed.get((status.containerID or "").rpartition("//")[2], Probed())
    status.started = running and (probed.startup if container.startupProbe else True) is True
    if kind == "init" and not restart.is_sidecar(container):
        ended = status.state.terminated
        status.ready = ended is not None and ended.exitCode == 0
        return
    if not status.started:
        status.ready = False
    elif container.readinessProbe is None:
        status.ready = True
    else:
        status.ready = probed.readiness is True


def _resources(status: core_v1.ContainerStatus, container: restart.AnyContainer, resizing: resize.Progress) -> None:
    """What is in force is what was granted, unless the runtime has yet to be told."""
    if status.state.running is None and not status.containerID:
        return
    granted = container.resources
    status.allocatedResources = granted.requests or None
    actual = resizing.actuated.get(container.name, granted) if status.state.running else granted
    status.resources = core_v1.ResourceRequirements(limits=actual.limits or None, requests=actual.requests or None)


def _mounts(status: core_v1.ContainerStatus, container: restart.AnyContainer) -> None:
    mounts = []
    for mount in container.volumeMounts or ():
        read_only = mount.readOnly or None
        mounts.append(
            core_v1.VolumeMountStatus(
                name=mount.name,
                mountPath=mount.mountPath,
                readOnly=read_only,
                recursiveReadOnly=(mount.recursiveReadOnly or "Disabled") if read_only else None,
            )
        )
    status.volumeMounts = mounts or None
