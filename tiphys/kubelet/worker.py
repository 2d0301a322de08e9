"""Decides what happens to one Pod: events in, instructions out, no I/O.

The worker is driven by level. Every event changes what is known; then the whole
Pod is looked at again and whatever is missing and not under way becomes an
instruction. Whoever carries instructions out answers each with an event, also
when it failed, so that nothing is under way for ever.

Stages, each entered once:

- ``new``       not yet admitted by the node
- ``active``    containers are started, restarted and probed
- ``ending``    containers are stopped, then the sandbox, then volumes are unmounted: the Pod was deleted,
                has run to its end, or was failed by the kubelet
- ``ended``     nothing runs; a deleted Pod is taken out of the API, another waits for its deletion
- ``gone``      nothing is left

Source: Kubernetes docs, "Pod Lifecycle"; KEP-753 Sidecar containers; the kubelet's behaviour where those are silent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import msgspec

from tiphys.api import core_v1
from tiphys.kubelet import conditions, resize, restart, status
from tiphys.kubelet.attempts import RETRY_SECONDS, Attempts
from tiphys.kubelet.facts import ContainerFact, ContainerKind, PodFact, SandboxFact
from tiphys.kubelet.protocol import (
    Admitted,
    CancelStart,
    CleanedUp,
    Cleanup,
    ContainerGone,
    Emit,
    Event,
    Finalize,
    Finalized,
    Forget,
    Instruction,
    KillContainer,
    KillDone,
    Observed,
    PrepareVolumes,
    ProbeKind,
    ProbeTurned,
    Rejected,
    RemoveContainers,
    Removed,
    Report,
    ResizeDone,
    ResizeJudged,
    RunSandbox,
    SandboxDone,
    SandboxStopped,
    StartContainer,
    StartDone,
    StartProbe,
    StopProbes,
    StopSandbox,
    Tick,
    Updated,
    VolumesFailed,
    VolumesReady,
    Wake,
)
from tiphys.kubelet.resizing import Resizing
from tiphys.machinery import times

Stage = Literal["new", "active", "ending", "ended", "gone"]

VOLUME_RETRY_SECONDS_MIN = 0.5
VOLUME_RETRY_SECONDS_MAX = 122.0
#: A container is given at least this long between TERM and KILL.
GRACE_SECONDS_MIN = 2
DEFAULT_GRACE_SECONDS = 30


@dataclass(slots=True)
class PodWorker:
    """One Pod's brain. ``handle`` is the only way in."""

    #: Its resources are those that the node has granted.
    pod: core_v1.Pod
    host_ips: Sequence[str] = ()
    runtime_name: str = "tiphys"
    stage: Stage = "new"
    #: The newest that is known of the runtime.
    facts: PodFact = field(default_factory=lambda: PodFact("", "", ""))
    #: The status last reported; what the API had when the worker was made.
    reported: core_v1.PodStatus = field(default_factory=core_v1.PodStatus)
    removed: bool = False
    #: Reason and message, if the kubelet failed the Pod.
    failure: tuple[str, str] | None = None

    # Under way: issued and not answered.
    _volumes: Literal["", "preparing", "ready"] = ""
    _sandbox_running: bool = False
    _starting: set[str] = field(default_factory=set)
    _cancelled: set[str] = field(default_factory=set)
    #: Container id to the instant at which it will be killed.
    _killing: dict[str, float] = field(default_factory=dict)
    _cleaning: bool = False
    _cleaned: Literal["", "volumes", "all"] = ""
    _finalizing: bool = False

    # Failures
    _attempts: Attempts = field(default_factory=Attempts)
    #: When volumes are tried again, and how long that wait is.
    _volume_retry: tuple[float, float] = (0.0, 0.0)
    _sandbox_retry_at: float = 0.0
    _sandbox_failures: int = 0
    _ending_since: float = 0.0
    _removing: set[str] = field(default_factory=set)

    # Probes
    _probing: dict[str, set[ProbeKind]] = field(default_factory=dict)
    _verdicts: dict[tuple[str, ProbeKind], bool] = field(default_factory=dict)
    #: The Pod as the API has it.
    desired: core_v1.Pod = field(default_factory=core_v1.Pod)
    _resizing: Resizing = field(default_factory=Resizing)

    _wake_at: float = 0.0
    _wakes: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reported = self.pod.status
        self.desired = self.pod
        self.pod = resize.as_reported(self.pod)
        self._resizing.actuated = resize.actuated(self.reported)
        if not self.facts.uid:
            self.facts = PodFact(self.pod.metadata.uid, self.pod.metadata.namespace, self.pod.metadata.name)

    # The way in

    def handle(self, event: Event, now: datetime) -> list[Instruction]:
        """Take note of ``event`` and say what is to be done now."""
        if self.stage == "gone":
            return []
        moment = now.timestamp()
        out: list[Instruction] = []
        self._note(event, moment, out)
        self._wakes = []
        if self.stage == "active":
            self._active(moment, out)
        if self.stage == "ending":
            self._ending(moment, out)
        if self.stage == "ended":
            self._ended(now, out)
        if not (self.stage in ("new", "gone") or self._finalizing or self.removed):
            self._report(now, out)
        self._schedule(out)
        return out

    def _note(self, event: Event, now: float, out: list[Instruction]) -> None:
        match event:
            case Updated(pod):
                self._take(pod, now)
            case Removed():
                self.removed = True
                self._end(now)
            case Admitted():
                if self.stage == "new":
                    self.stage = "active"
                    self._take(self.desired, now)
            case Rejected(reason, message):
                self.failure = (reason, message)
                self._end(now)
            case Observed():
                self._observe(event, out)
            case VolumesReady():
                self._volumes = "ready"
                self._volume_retry = (0.0, 0.0)
            case VolumesFailed(message):
                self._volumes = ""
                wait = min(max(self._volume_retry[1] * 2, VOLUME_RETRY_SECONDS_MIN), VOLUME_RETRY_SECONDS_MAX)
                self._volume_retry = (now + wait, wait)
                out.append(Emit("Warning", "FailedMount", message))
            case SandboxDone(error):
                self._sandbox_running = False
                self._sandbox_failures = self._sandbox_failures + 1 if error else 0
                # Repeats like the pod worker's own retries: at once first, then every ten seconds or so.
                self._sandbox_retry_at = now + min(RETRY_SECONDS, 2.0**self._sandbox_failures) if error else 0.0
            case StartDone(name, error):
                self._started(name, error, now)
            case KillDone(container_id):
                self._killing.pop(container_id, None)
            case ContainerGone(container_id):
                self._killing.pop(container_id, None)
                self._removing.discard(container_id)
                kept = tuple(c for c in self.facts.containers if c.id != container_id)
                self.facts = replace(self.facts, containers=kept)
            case SandboxStopped(sandbox_id, error):
                self._sandbox_stopped(sandbox_id, error, now)
            case CleanedUp(removed):
                self._cleaning = False
                self._cleaned = "all" if removed else "volumes"
            case Finalized():
                self.removed = True
                self._finalizing = False
            case ProbeTurned(container_id, kind, passing):
                self._turned(container_id, kind, passing, out)
            case ResizeJudged(refusal):
                self._judged(refusal, out)
            case ResizeDone():
                self._resizing.done(event, self.pod, now, out)
            case Tick(retry):
                # A timer may fire a little early; the same instant then has to be asked for once more.
                self._wake_at = 0.0
                if retry:
                    self._retry_now()

    def _take(self, pod: core_v1.Pod, now: float) -> None:
        self.desired = pod
        self._correct(pod.status)
        self.pod = resize.with_size_of(pod, self.pod)
        if not self.wants_resize:
            self._resizing.pending = None
        if pod.metadata.deletionTimestamp is not None and self.stage in ("active", "new"):
            self._end(now)
        elif self.stage == "active" and pod.status.phase in ("Succeeded", "Failed"):
            # It had ended before this kubelet started.
            self._end(now)

    def _correct(self, theirs: core_v1.PodStatus) -> None:
        """Another has written one of our conditions since: a node that was silent has its Pods called not ready. It
        counts as reported, so that what is true is reported again."""
        ours = {c.type: c for c in self.reported.conditions or () if c.type in conditions.OWNED}
        for found in theirs.conditions or ():
            own = ours.get(found.type)
            # What the API had before our last write may be shown to us after it.
            if own and found.status != own.status and (found.lastTransitionTime or "") > (own.lastTransitionTime or ""):
                ours[found.type] = found
        kept = [ours.get(c.type, c) for c in self.reported.conditions or ()]
        if kept != (self.reported.conditions or []):
            self.reported = msgspec.structs.replace(self.reported, conditions=kept)

    def _end(self, now: float) -> None:
        if self.stage in ("new", "active"):
            self.stage = "ending"
            self._ending_since = now

    def _retry_now(self) -> None:
        """Something that was missing may be there: do not wait for the next attempt."""
        self._volume_retry = (0.0, self._volume_retry[1])
        self._attempts.retry_configuration()

    # Resize

    @property
    def wants_resize(self) -> bool:
        """Whether the spec asks for another size than the node has granted."""
        return (
            self.stage == "active" and self.desired is not self.pod and not resize.is_same_size(self.desired, self.pod)
        )

    def _judged(self, refusal: resize.Refusal | None, out: list[Instruction]) -> None:
        if self.wants_resize and self._resizing.judged(refusal, self.desired, out):
            self.pod = self.desired

    def _resize(self, now: float, out: list[Instruction]) -> None:
        """Bring running containers to the size that was granted."""
        for fact in self._resizing.next(self.pod, self._live, self._killing, now, self._wakes, out):
            out.append(self._kill(fact, now, f"Container {fact.name} resize requires restart", out))
        self._resizing.complete(self.pod, self._live, out)

    # What the runtime says

    def _observe(self, event: Observed, out: list[Instruction]) -> None:
        new = event.facts
        if event.complete:
            # What was made while the runtime was being asked is not in its answer.
            sandboxes = {s.id: s for s in self.facts.sandboxes if s.created_at >= event.asked_at}
            sandboxes |= {s.id: s for s in new.sandboxes}
            known = {c.id: c for c in self.facts.containers}
            containers = {c.id: c for c in self.facts.containers if c.created_at >= event.asked_at}
            containers |= {c.id: c.newer(known[c.id]) if c.id in known else c for c in new.containers}
        else:
            sandboxes = {s.id: s for s in self.facts.sandboxes} | {s.id: s for s in new.sandboxes}
            containers = {c.id: c for c in self.facts.containers}
            for fact in new.containers:
                old = containers.get(fact.id)
                containers[fact.id] = fact.newer(old) if old is not None else fact
        for removed in self._removing:
            containers.pop(removed, None)
        self.facts = PodFact(
            self.facts.uid, self.facts.namespace, self.facts.name, tuple(sandboxes.values()), tuple(containers.values())
        )
        for container_id in list(self._probing):
            probed = containers.get(container_id)
            if probed is None or probed.state != "running":
                kinds = self._probing.pop(container_id)
                out.append(StopProbes(container_id, tuple(sorted(kinds))))
                for kind in ("startup", "readiness", "liveness"):
                    self._verdicts.pop((container_id, kind), None)
        for known_fact in containers.values():
            if known_fact.state == "exited":
                self._killing.pop(known_fact.id, None)

    @property
    def _sandbox(self) -> SandboxFact | None:
        return self.facts.sandbox

    def _usable(self, sandbox: SandboxFact | None) -> bool:
        """Whether containers can be started in it."""
        if sandbox is None or not sandbox.ready:
            return False
        host_network = bool(self.pod.spec.hostNetwork)
        return sandbox.host_network == host_network and (host_network or bool(sandbox.ips))

    def _live(self, name: str) -> ContainerFact | None:
        """The container of that name that runs in the current sandbox."""
        sandbox = self._sandbox
        return next(
            (c for c in self.facts.of(name) if c.state == "running" and sandbox and c.sandbox_id == sandbox.id), None
        )

    def _last(self, name: str) -> ContainerFact | None:
        """The newest container of that name that ran."""
        return next((c for c in self.facts.of(name) if c.state in ("running", "exited")), None)

    # Active

    def _active(self, now: float, out: list[Instruction]) -> None:
        if self._deadline_passed(now):
            self.failure = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
            out.append(Emit("Normal", "DeadlineExceeded", self.failure[1]))
            self._end(now)
            return
        if self._has_finished():
            self._end(now)
            return
        if not self._with_volumes(now, out) or not self._with_sandbox(now, out):
            return
        self._replace_unfit(now, out)
        self._resize(now, out)
        self._probe_running(out)
        if not self._starting:
            self._start_next(now, out)
        self._collect_dead(out)

    def _deadline_passed(self, now: float) -> bool:
        seconds = self.pod.spec.activeDeadlineSeconds
        if seconds is None or self.reported.startTime is None:
            return False
        at = times.parse(self.reported.startTime).timestamp() + seconds
        if now < at:
            self._wakes.append(at)
        return now >= at

    def _has_finished(self) -> bool:
        """Whether nothing of the Pod will run again by its restart policy."""
        if self._starting:
            return False
        for container in self.pod.spec.initContainers or ():
            if restart.is_sidecar(container):
                continue
            last = self._last(container.name)
            if last is None or last.state != "exited" or last.exit_code == 0:
                continue
            if not restart.init_runs_again(self.pod, container, last.exit_code):
                return True
        for app in self.pod.spec.containers:
            last = self._last(app.name)
            if last is None or last.state != "exited" or self._again("app", app, last):
                return False
        return True

    def _with_volumes(self, now: float, out: list[Instruction]) -> bool:
        if self._volumes == "":
            retry_at = self._volume_retry[0]
            if now < retry_at:
                self._wakes.append(retry_at)
            else:
                self._volumes = "preparing"
                out.append(PrepareVolumes())
        # Containers that already run are cared for, whatever has become of their volumes.
        return self._volumes == "ready" or self._usable(self._sandbox)

    def _with_sandbox(self, now: float, out: list[Instruction]) -> bool:
        sandbox = self._sandbox
        if self._usable(sandbox):
            return True
        if self._sandbox_running or self._starting:
            return False
        if now < self._sandbox_retry_at:
            self._wakes.append(self._sandbox_retry_at)
            return False
        if sandbox is not None:
            out.append(Emit("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created."))
            kills = [self._kill(c, now, "", out) for c in self._running()]
            out.extend(kills)
            out.extend(StopSandbox(s.id) for s in self.facts.sandboxes if s.ready)
        self._sandbox_running = True
        out.append(RunSandbox(sandbox.attempt + 1 if sandbox else 0))
        return False

    def _running(self) -> list[ContainerFact]:
        return [c for c in self.facts.containers if c.state == "running" and c.id not in self._killing]

    def _replace_unfit(self, now: float, out: list[Instruction]) -> None:
        """Stop containers that run but must not go on as they are."""
        for kind, container in restart.containers_of(self.pod):
            fact = self._live(container.name)
            if fact is None or kind == "ephemeral" or fact.id in self._killing or container.name in self._starting:
                continue
            if fact.hash and fact.hash != restart.spec_hash(container):
                why = f"Container {container.name} definition changed"
                again = True
            elif self._verdicts.get((fact.id, "liveness")) is False:
                why, again = f"Container {container.name} failed liveness probe", self._restartable(kind, container)
            elif self._verdicts.get((fact.id, "startup")) is False:
                why, again = f"Container {container.name} failed startup probe", self._restartable(kind, container)
            else:
                continue
            out.append(self._kill(fact, now, f"{why}, will be restarted" if again else why, out))

    def _restartable(self, kind: ContainerKind, container: restart.AnyContainer) -> bool:
        judge = restart.init_runs_again if kind == "init" else restart.runs_again
        return judge(self.pod, container, 137)

    def _kill(self, fact: ContainerFact, now: float, why: str, out: list[Instruction]) -> Instruction:
        grace = float(self.pod.spec.terminationGracePeriodSeconds or DEFAULT_GRACE_SECONDS)
        container = restart.find_container(self.pod, fact.name)
        for kind in ("liveness", "startup"):
            probe = getattr(container, f"{kind}Probe", None)
            if self._verdicts.get((fact.id, kind)) is False and probe and probe.terminationGracePeriodSeconds:
                grace = float(probe.terminationGracePeriodSeconds)
        grace = max(grace, GRACE_SECONDS_MIN)
        self._killing[fact.id] = now + grace
        out.append(Emit("Normal", "Killing", why or f"Stopping container {fact.name}", fact.name))
        return KillContainer(fact.id, fact.name, grace)

    # Starting

    def _start_next(self, now: float, out: list[Instruction]) -> None:
        """Start the first container that is due; one at a time, in the order of the spec."""
        for container in self.pod.spec.ephemeralContainers or ():
            if not self.facts.of(container.name) and self._start(container, "ephemeral", now, out):
                return
        ready, issued = self._start_init(now, out)
        if issued or not ready:
            return
        for app in self.pod.spec.containers:
            if self._live(app.name) is not None:
                continue
            last = self._last(app.name)
            if last is not None and last.state == "running":
                # Left over from another sandbox; it is being killed.
                continue
            if last is not None and not self._again("app", app, last):
                continue
            if self._start(app, "app", now, out):
                return

    def _again(self, kind: ContainerKind, container: restart.AnyContainer, last: ContainerFact) -> bool:
        judge = restart.init_runs_again if kind == "init" else restart.runs_again
        changed = bool(last.hash) and last.hash != restart.spec_hash(container)
        return changed or container.name in self._resizing.remade or judge(self.pod, container, last.exit_code)

    def _start_init(self, now: float, out: list[Instruction]) -> tuple[bool, bool]:
        """Whether app containers may start, and whether a start was issued."""
        containers = self.pod.spec.initContainers or ()
        sandbox = self._sandbox
        assert sandbox is not None
        initialized = any(
            c.sandbox_id == sandbox.id and restart.kind_of(self.pod, c.name) == "app" for c in self.facts.containers
        )
        for container in containers:
            here = [c for c in self.facts.of(container.name) if c.sandbox_id == sandbox.id and c.state != "created"]
            last = here[0] if here else None
            if restart.is_sidecar(container):
                if last is None or last.state == "exited":
                    if self._start(container, "init", now, out):
                        return False, True
                    if not initialized:
                        return False, False
                elif not initialized and not self._is_started(last, container):
                    return False, False
                continue
            if initialized:
                continue
            if last is not None and last.state == "running":
                return False, False
            if last is not None and last.exit_code == 0:
                continue
            return False, self._start(container, "init", now, out)
        return True, False

    def _is_started(self, fact: ContainerFact, container: restart.AnyContainer) -> bool:
        return container.startupProbe is None or self._verdicts.get((fact.id, "startup")) is True

    def _start(self, container: restart.AnyContainer, kind: ContainerKind, now: float, out: list[Instruction]) -> bool:
        """Issue the start unless it has to wait; False if it waits."""
        name = container.name
        if self._volumes != "ready":
            return False
        ended = next((c for c in self.facts.of(name) if c.state == "exited"), None)
        until = self._attempts.wait_until(container, ended, self._pod_text(), now, out)
        if until is not None:
            self._wakes.append(until)
            return False
        known = self.facts.of(name)
        reported = self._reported_count(name)
        attempt = known[0].attempt + 1 if known else reported
        self._starting.add(name)
        self._resizing.actuated[name] = container.resources
        out.append(StartContainer(name, attempt))
        return True

    def _reported_count(self, name: str) -> int:
        """The restart count for a container of which the runtime has nothing left."""
        old = self.reported
        for found in (*(old.initContainerStatuses or ()), *(old.containerStatuses or ())):
            if found.name == name:
                return int(found.restartCount) + (1 if found.containerID else 0)
        return 0

    def _pod_text(self) -> str:
        meta = self.pod.metadata
        return f"{meta.name}_{meta.namespace}({meta.uid})"

    def _started(self, name: str, error: tuple[str, str] | None, now: float) -> None:
        self._starting.discard(name)
        self._cancelled.discard(name)
        container = restart.find_container(self.pod, name)
        if error is None or container is None:
            self._resizing.remade.discard(name)
            self._attempts.succeeded(name)
            return
        has_ended = any(c.state == "exited" for c in self.facts.of(name)[:1])
        self._attempts.failed(container, error, has_ended, now)

    # Probes

    def _probe_running(self, out: list[Instruction]) -> None:
        for kind, container in restart.containers_of(self.pod):
            if kind == "ephemeral" or (kind == "init" and not restart.is_sidecar(container)):
                continue
            fact = self._live(container.name)
            if fact is None or container.name in self._starting or fact.id in self._killing:
                continue
            for probe in self._due_probes(fact, container):
                self._probing.setdefault(fact.id, set()).add(probe)
                passing = self._verdicts.get((fact.id, probe), probe == "liveness")
                if probe != "startup":
                    # A startup probe has no verdict until it passes or fails for good.
                    self._verdicts[(fact.id, probe)] = passing
                out.append(StartProbe(fact.id, container.name, probe, fact.started_at, passing))

    def _due_probes(self, fact: ContainerFact, container: restart.AnyContainer) -> Iterable[ProbeKind]:
        running = self._probing.get(fact.id, set())
        if container.startupProbe is not None and "startup" not in running:
            if fact.id not in self._probing:
                self._seed(fact, container)
            if not self._is_started(fact, container):
                return ("startup",)
        if not self._is_started(fact, container):
            return ()
        if fact.id not in self._probing:
            self._seed(fact, container)
        due: list[ProbeKind] = []
        if container.readinessProbe is not None and "readiness" not in running:
            due.append("readiness")
        if container.livenessProbe is not None and "liveness" not in running:
            due.append("liveness")
        return due

    def _seed(self, fact: ContainerFact, container: restart.AnyContainer) -> None:
        """A container that another kubelet has probed keeps its verdicts until they turn."""
        old = self.reported
        for found in (*(old.initContainerStatuses or ()), *(old.containerStatuses or ())):
            if found.name == container.name and (found.containerID or "").endswith(fact.id):
                if found.started and container.startupProbe is not None:
                    self._verdicts[(fact.id, "startup")] = True
                if found.ready and container.readinessProbe is not None:
                    self._verdicts[(fact.id, "readiness")] = True

    def _turned(self, container_id: str, kind: ProbeKind, passing: bool, out: list[Instruction]) -> None:
        if kind not in self._probing.get(container_id, ()):
            return
        self._verdicts[(container_id, kind)] = passing
        if kind == "startup" and passing:
            out.append(StopProbes(container_id, ("startup",)))

    # Dead containers

    def _collect_dead(self, out: list[Instruction]) -> None:
        """Of each name, the newest and the one before it stay, for their logs and the last state."""
        dead: list[str] = []
        for name in {c.name for c in self.facts.containers}:
            ended = [c.id for c in self.facts.of(name) if c.state == "exited"]
            live = any(c.state != "exited" for c in self.facts.of(name))
            dead.extend(ended[1 if live else 2 :])
            if name not in self._starting:
                dead.extend(c.id for c in self.facts.of(name)[1:] if c.state == "created")
        fresh = [i for i in dead if i not in self._removing]
        if fresh:
            self._removing.update(fresh)
            out.append(RemoveContainers(tuple(sorted(fresh))))

    # Ending

    def _grace_seconds(self) -> float:
        meta = self.pod.metadata
        if meta.deletionTimestamp is not None and meta.deletionGracePeriodSeconds is not None:
            return float(max(meta.deletionGracePeriodSeconds, 1))
        if self.pod.spec.terminationGracePeriodSeconds is not None:
            return float(max(self.pod.spec.terminationGracePeriodSeconds, 1))
        return float(DEFAULT_GRACE_SECONDS)

    def _ending(self, now: float, out: list[Instruction]) -> None:
        for container_id, kinds in self._probing.items():
            stopped = tuple(sorted(kinds & {"liveness", "startup"}))
            if stopped:
                kinds.difference_update(stopped)
                out.append(StopProbes(container_id, stopped))
        for name in sorted(self._starting - self._cancelled):
            self._cancelled.add(name)
            out.append(CancelStart(name))
        alive = [c for c in self.facts.containers if c.state == "running"]
        deadline = self._ending_since + self._grace_seconds()
        for fact in self._to_stop(alive):
            self._stop(fact, deadline, now, out)
        if alive or self._starting or self._sandbox_running or self._volumes == "preparing":
            return
        ready = [s for s in self.facts.sandboxes if s.ready]
        if ready:
            if now < self._sandbox_retry_at:
                self._wakes.append(self._sandbox_retry_at)
                return
            for sandbox in ready:
                if sandbox.id not in self._removing:
                    self._removing.add(sandbox.id)
                    out.append(StopSandbox(sandbox.id))
            return
        self.stage = "ended"

    def _stop(self, fact: ContainerFact, deadline: float, now: float, out: list[Instruction]) -> None:
        planned = self._killing.get(fact.id)
        if planned is not None and planned <= deadline + 0.001:
            return
        grace = max(deadline - now, GRACE_SECONDS_MIN)
        if planned is not None and planned <= now + grace:
            return
        if planned is None:
            out.append(Emit("Normal", "Killing", f"Stopping container {fact.name}", fact.name))
        self._killing[fact.id] = now + grace
        out.append(KillContainer(fact.id, fact.name, grace, hook=planned is None))

    def _to_stop(self, alive: Sequence[ContainerFact]) -> list[ContainerFact]:
        """All but sidecars at once; these one after another, the last started first, when the others have ended."""
        sidecars = [c.name for c in self.pod.spec.initContainers or () if restart.is_sidecar(c)]
        first = [c for c in alive if c.name not in sidecars]
        if first or not alive:
            return first
        return [max(alive, key=lambda c: sidecars.index(c.name))]

    def _sandbox_stopped(self, sandbox_id: str, error: str, now: float) -> None:
        self._removing.discard(sandbox_id)
        if error:
            self._sandbox_retry_at = now + 1.0
            return
        sandboxes = tuple(replace(s, ready=False) if s.id == sandbox_id else s for s in self.facts.sandboxes)
        self.facts = replace(self.facts, sandboxes=sandboxes)

    def _ended(self, now: datetime, out: list[Instruction]) -> None:
        leaving = self.removed or self.pod.metadata.deletionTimestamp is not None
        wanted = "all" if leaving else "volumes"
        if self._cleaning or self._finalizing:
            return
        if self._cleaned != wanted and self._cleaned != "all":
            self._cleaning = True
            out.append(Cleanup(remove=leaving))
            return
        if self.removed:
            self.stage = "gone"
            out.append(Forget())
        elif leaving:
            self._finalizing = True
            final = self._status(now)
            self.reported = final
            out.append(Finalize(final))

    # Status

    def _report(self, now: datetime, out: list[Instruction]) -> None:
        new = self._status(now)
        if new != self.reported:
            self.reported = new
            out.append(Report(new))

    def _status(self, now: datetime) -> core_v1.PodStatus:
        others = [c for c in self.pod.status.conditions or () if c.type not in conditions.OWNED]
        ours = [c for c in self.reported.conditions or () if c.type in conditions.OWNED]
        old = msgspec.structs.replace(self.reported, conditions=[*others, *ours])
        pod = msgspec.structs.replace(self.pod, status=old)
        return status.pod_status(
            pod,
            status.Picture(
                facts=self.facts,
                host_ips=self.host_ips,
                now=now,
                waiting=self._attempts.waiting,
                probed=self._probed(),
                starting=frozenset(self._starting),
                all_over=self.stage in ("ended", "gone"),
                failure=self.failure,
                sandbox_usable=self._usable(self._sandbox),
                resizing=self._resizing.progress(self.pod),
                runtime_name=self.runtime_name,
            ),
        )

    def _probed(self) -> Mapping[str, status.Probed]:
        ids = {container_id for container_id, _ in self._verdicts}
        return {
            container_id: status.Probed(
                startup=self._verdicts.get((container_id, "startup")),
                readiness=self._verdicts.get((container_id, "readiness")),
            )
            for container_id in ids
        }

    def _schedule(self, out: list[Instruction]) -> None:
        at = min(self._wakes, default=0.0)
        if at and at != self._wake_at:
            self._wake_at = at
            out.append(Wake(at))
