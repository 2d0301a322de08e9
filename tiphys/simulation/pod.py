"""One Pod on a simulated node: the real kubelet's brain over containers that are only timers.

``PodWorker`` decides as it does on a real node; here its instructions are
carried out by letting time pass, and what came of them is told to it as facts.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec

from tiphys.api import core_v1
from tiphys.base.clock import Clock
from tiphys.client import Client
from tiphys.client.tasks import Tasks
from tiphys.kubelet import downward, restart, statuspatch, worker
from tiphys.kubelet import probes as kubelet_probes
from tiphys.kubelet import protocol as w
from tiphys.kubelet.facts import ContainerFact, PodFact, SandboxFact
from tiphys.machinery import codec, errors
from tiphys.machinery.goformat import quote
from tiphys.simulation import behaviour
from tiphys.simulation.objects import NamespaceObjects, Objects, variable_fault, volume_fault
from tiphys.simulation.probes import SimulatedProbe

SANDBOX_SECONDS = 0.2
PULL_FAILS_SECONDS = 0.3
RETRY_SECONDS_MIN = 0.2
RETRY_SECONDS_MAX = 10.0
_USUAL = ("ContainerCreating", "PodInitializing")
STRATEGIC = "application/strategic-merge-patch+json"


class Place(Protocol):
    """What a Pod needs of its node."""

    client: Client
    clock: Clock
    tasks: Tasks
    ips: tuple[str, ...]
    objects: Objects
    #: How many statuses are written at once; those that wait meanwhile are replaced by newer ones.
    writes: asyncio.Semaphore
    #: How long a Pod that starts is not written, since it will soon run; 0 to write each step.
    patience_seconds: float

    def event(self, pod: core_v1.Pod, event_type: str, reason: str, message: str, field_path: str = "") -> None: ...

    def given(self, pod: core_v1.Pod, container: str) -> Mapping[str, str]:
        """What Simulations say of a container, under the names of ``behaviour``."""

    def pod_address(self) -> str:
        """A free address of the node's range; empty while it has none."""

    def free_address(self, address: str) -> None: ...

    def container_id(self) -> str: ...


@dataclass(slots=True)
class _Run:
    """A container that runs: how it behaves, and the timers that are set for it."""

    behaviour: behaviour.Behaviour
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    probes: dict[w.ProbeKind, asyncio.TimerHandle] = field(default_factory=dict)
    probed: dict[w.ProbeKind, tuple[w.StartProbe, SimulatedProbe]] = field(default_factory=dict)
    #: It has been told to end; nothing that is said of it changes that.
    ending: bool = False


class SimulatedPod:
    """``post`` is the way in; ``gone`` is called when nothing is left of the Pod."""

    def __init__(self, pod: core_v1.Pod, node: Place, gone: Callable[["SimulatedPod"], None]) -> None:
        self._node = node
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        #: As the API has it; the worker's may have probes of ours.
        self.given = pod
        self.worker = worker.PodWorker(self._probed(pod), host_ips=node.ips)
        self._pods = node.client.of(core_v1.Pod)
        self._written: dict[str, Any] = codec.to_builtins(pod.status)
        self._pending: core_v1.PodStatus | None = None
        self._writing: asyncio.Task[None] | None = None
        self._held: asyncio.TimerHandle | None = None
        self._starts: dict[str, asyncio.TimerHandle] = {}
        self._runs: dict[str, _Run] = {}
        self._wake: asyncio.TimerHandle | None = None
        self._others: set[asyncio.TimerHandle] = set()
        self._closed = False
        #: Something that it names was missing when it was last looked for.
        self._wanting = False

    @property
    def pod(self) -> core_v1.Pod:
        return self.worker.pod

    def changed(self, pod: core_v1.Pod) -> None:
        self.given = pod
        if pod.metadata.annotations != self.worker.pod.metadata.annotations:
            self.behaviour_changed()
        else:
            self.post(w.Updated(self._probed(pod)))
        if self.worker.wants_resize:
            # Nothing is short on a simulated node.
            self.post(w.ResizeJudged())

    def behaviour_changed(self) -> None:
        """Something else is said of the Pod: what runs goes on as if it had been said from its start."""
        self.post(w.Updated(self._probed(self.given)))
        for fact in self.worker.facts.containers:
            run = self._runs.get(fact.id)
            container = restart.find_container(self.pod, fact.name)
            if run is None or container is None or run.ending:
                continue
            plan = self._plan(container, fact.attempt)
            if plan != run.behaviour:
                run.behaviour = plan
                _cancel(*run.timers)
                run.timers.clear()
                self._set_end(fact.id, fact.started_at, run)
                for instruction, probe in list(run.probed.values()):
                    probe.behaviour = plan
                    _cancel(*[run.probes.pop(probe.kind)] if probe.kind in run.probes else [])
                    self._set_probe(instruction, probe, max(probe.first(), self._age(fact.started_at)))

    def running(self) -> list[tuple[ContainerFact, behaviour.Behaviour]]:
        """Containers that run now, and how they behave."""
        return [(fact, self._runs[fact.id].behaviour) for fact in self.worker.facts.containers if fact.id in self._runs]

    def plan_of(self, fact: ContainerFact) -> behaviour.Behaviour | None:
        """How a container behaves, or behaved; None if the Pod has no container of its name any more."""
        container = restart.find_container(self.pod, fact.name)
        return self._plan(container, fact.attempt) if container is not None else None

    def _plan(self, container: restart.AnyContainer, attempt: int) -> behaviour.Behaviour:
        kind = restart.kind_of(self.pod, container.name)
        return behaviour.behaviour(self.pod, container, kind, attempt, self._node.given(self.pod, container.name))

    def _age(self, started_at: int) -> float:
        return max(0.0, self._node.clock.now().timestamp() - started_at / 1e9)

    def post(self, event: w.Event) -> None:
        if self._closed:
            return
        for instruction in self.worker.handle(event, self._node.clock.now()):
            self._carry_out(instruction)

    def close(self) -> None:
        """The node is lost, or the Pod is: nothing more happens here."""
        self._closed = True
        for run in self._runs.values():
            _cancel(*run.timers, *run.probes.values())
        single = [timer for timer in (self._wake, self._held) if timer is not None]
        _cancel(*self._starts.values(), *self._others, *single)
        if self._writing is not None:
            self._writing.cancel()
        for sandbox in self.worker.facts.sandboxes:
            for ip in sandbox.ips:
                self._node.free_address(ip)

    def _carry_out(self, instruction: w.Instruction) -> None:
        match instruction:
            case w.Emit():
                self._say(instruction.type, instruction.reason, instruction.message, instruction.name)
            case w.Report(status):
                self._write(status)
            case w.Wake(at):
                _cancel(*([self._wake] if self._wake else []))
                wait = max(at - self._node.clock.now().timestamp(), 0.001)
                self._wake = self._loop.call_later(wait, self.post, w.Tick())
            case w.PrepareVolumes():
                self._later(0.0, self._prepare_volumes)
            case w.RunSandbox(attempt):
                self._later(SANDBOX_SECONDS, self._run_sandbox, attempt)
            case w.StartContainer(name, attempt):
                self._start(name, attempt)
            case w.CancelStart(name):
                timer = self._starts.pop(name, None)
                if timer is not None:
                    timer.cancel()
                    self._later(0.0, self.post, w.StartDone(name, ("ContainerCreating", "")))
            case w.KillContainer():
                self._kill(instruction)
            case w.ResizeContainer(container_id, name, resources):
                self._later(0.0, self.post, w.ResizeDone(container_id, name, resources))
            case w.StopSandbox(sandbox_id):
                self._later(0.0, self._stop_sandbox, sandbox_id)
            case w.RemoveContainers(ids):
                for container_id in ids:
                    self._later(0.0, self.post, w.ContainerGone(container_id))
            case w.Cleanup(remove):
                self._later(0.0, self.post, w.CleanedUp(remove))
            case w.StartProbe():
                self._start_probe(instruction)
            case w.StopProbes(container_id, kinds):
                run = self._runs.get(container_id)
                if run is not None:
                    _cancel(*(run.probes.pop(kind) for kind in kinds if kind in run.probes))
                    for kind in kinds:
                        run.probed.pop(kind, None)
            case w.Finalize(status):
                self._task("finalize", self._finalize(status))
            case w.Forget():
                self.close()
                self._gone(self)

    def _later(self, seconds: float, function: Callable[..., None], *arguments: Any) -> None:
        def fire() -> None:
            self._others.discard(handle)
            function(*arguments)

        handle = self._loop.call_later(seconds, fire)
        self._others.add(handle)

    def _say(self, event_type: str, reason: str, message: str, name: str = "") -> None:
        path = ""
        if name:
            of_kind = {"init": "initContainers", "app": "containers", "ephemeral": "ephemeralContainers"}
            path = f"spec.{of_kind[restart.kind_of(self.pod, name)]}{{{name}}}"
        self._node.event(self.pod, event_type, reason, message, path)

    def _task(self, what: str, work: Any) -> asyncio.Task[None]:
        meta = self.pod.metadata
        return self._node.tasks.start(work, name=f"{what} {meta.namespace}/{meta.name}")

    def _nanoseconds(self) -> int:
        return int(self._node.clock.now().timestamp() * 10**6) * 1000

    def _itself(self) -> downward.Itself:
        sandbox = self.worker.facts.sandbox
        ips = self._node.ips if self.pod.spec.hostNetwork else (sandbox.ips if sandbox else ())
        return downward.Itself(self.pod, ips, self._node.ips)

    def _sources(self) -> NamespaceObjects:
        return self._node.objects.of(self.pod.metadata.namespace)

    def objects_changed(self) -> None:
        """A ConfigMap or Secret of the Pod's namespace has changed; perhaps it waits for that one."""
        if self._wanting:
            self.post(w.Tick(retry=True))

    def _prepare_volumes(self) -> None:
        fault = volume_fault(self._itself(), self._sources())
        self._wanting = bool(fault)
        self.post(w.VolumesFailed(fault) if fault else w.VolumesReady())

    # Sandbox

    def _run_sandbox(self, attempt: int) -> None:
        host = bool(self.pod.spec.hostNetwork)
        address = "" if host else self._node.pod_address()
        if not host and not address:
            text = "the node has no Pod range"
            self._say("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {text}")
            self.post(w.SandboxDone(text))
            return
        ips = (address,) if address else ()
        fact = SandboxFact(self._node.container_id(), True, attempt, self._nanoseconds(), ips, host)
        self._observe(sandboxes=(fact,))
        self.post(w.SandboxDone())

    def _stop_sandbox(self, sandbox_id: str) -> None:
        for container_id in [c.id for c in self.worker.facts.containers if c.sandbox_id == sandbox_id]:
            self._end(container_id, 137, "Error")
        for sandbox in self.worker.facts.sandboxes:
            if sandbox.id == sandbox_id:
                for ip in sandbox.ips:
                    self._node.free_address(ip)
        self.post(w.SandboxStopped(sandbox_id))

    def _observe(self, sandboxes: tuple[SandboxFact, ...] = (), containers: tuple[ContainerFact, ...] = ()) -> None:
        meta = self.pod.metadata
        self.post(w.Observed(PodFact(meta.uid, meta.namespace, meta.name, sandboxes, containers)))

    # Containers

    def _start(self, name: str, attempt: int) -> None:
        container = restart.find_container(self.pod, name)
        assert container is not None, name
        plan = self._plan(container, attempt)
        image = quote(container.image or "")
        if plan.fault == "image":
            self._say("Normal", "Pulling", f"Pulling image {image}", name)
            self._starts[name] = self._loop.call_later(PULL_FAILS_SECONDS, self._pull_failed, name, image)
            return
        present = f"Container image {image} already present on machine and can be accessed by the pod"
        self._say("Normal", "Pulled", present, name)
        fault = variable_fault(self._itself(), container, self._sources())
        if fault:
            self._wanting = True
            self._say("Warning", "Failed", f"Error: {fault}", name)
            self._later(0.0, self.post, w.StartDone(name, ("CreateContainerConfigError", fault)))
            return
        self._starts[name] = self._loop.call_later(plan.start_seconds, self._started, container, attempt, plan)

    def _pull_failed(self, name: str, image: str) -> None:
        self._starts.pop(name, None)
        text = f"failed to pull image {image}: not found"
        self._say("Warning", "Failed", f"Failed to pull image {image}: {text}", name)
        self._say("Warning", "Failed", "Error: ErrImagePull", name)
        self.post(w.StartDone(name, ("ErrImagePull", text)))

    def _started(self, container: restart.AnyContainer, attempt: int, plan: behaviour.Behaviour) -> None:
        name = container.name
        self._starts.pop(name, None)
        sandbox = self.worker.facts.sandbox
        if sandbox is None or not sandbox.ready:
            self.post(w.StartDone(name, ("CreateContainerError", "the sandbox is gone")))
            return
        if plan.fault == "create":
            self._say("Warning", "Failed", "Error: simulated", name)
            self.post(w.StartDone(name, ("CreateContainerError", "simulated")))
            return
        self._say("Normal", "Created", "Container created", name)
        now = self._nanoseconds()
        fact = ContainerFact(
            self._node.container_id(),
            name,
            sandbox.id,
            "running",
            attempt,
            created_at=now,
            started_at=now,
            image=container.image or "",
            image_id=container.image or "",
            hash=restart.spec_hash(container),
        )
        if plan.fault == "start":
            self._say("Warning", "Failed", "Error: simulated", name)
            ended = replace(fact, state="exited", exit_code=128, finished_at=now, reason="StartError")
            self._observe(containers=(ended,))
            self.post(w.StartDone(name, ("RunContainerError", "simulated")))
            return
        self._say("Normal", "Started", "Container started", name)
        # Something else may have been said of it while it started.
        run = self._runs[fact.id] = _Run(self._plan(container, attempt))
        self._set_end(fact.id, now, run)
        self._observe(containers=(fact,))
        self.post(w.StartDone(name))

    def _set_end(self, container_id: str, started_at: int, run: _Run) -> None:
        plan = run.behaviour
        if plan.run_seconds != behaviour.FOREVER:
            code, reason = (137, "OOMKilled") if plan.fault == "oom" else (plan.exit_code, "")
            left = max(0.0, plan.run_seconds - self._age(started_at))
            run.timers.append(self._loop.call_later(left, self._end, container_id, code, reason))

    def _end(self, container_id: str, code: int, reason: str = "") -> None:
        run = self._runs.pop(container_id, None)
        if run is None:
            return
        _cancel(*run.timers, *run.probes.values())
        fact = next(c for c in self.worker.facts.containers if c.id == container_id)
        reason = reason or ("Completed" if code == 0 else "Error")
        ended = replace(fact, state="exited", exit_code=code, reason=reason, finished_at=self._nanoseconds())
        self._observe(containers=(ended,))

    def _kill(self, instruction: w.KillContainer) -> None:
        container_id = instruction.container_id
        run = self._runs.get(container_id)
        if run is None:
            self._later(0.0, self.post, w.KillDone(container_id))
            return
        hook = self._hook_seconds(instruction.name) if instruction.hook else 0.0
        wanted = hook + run.behaviour.stop_seconds
        forced = wanted > instruction.grace_seconds
        _cancel(*run.timers)
        run.timers.clear()
        run.ending = True
        seconds = instruction.grace_seconds if forced else wanted
        run.timers.append(self._loop.call_later(seconds, self._killed, container_id, 137 if forced else 143))

    def _killed(self, container_id: str, code: int) -> None:
        self._end(container_id, code)
        self.post(w.KillDone(container_id))

    def _hook_seconds(self, name: str) -> float:
        container = restart.find_container(self.pod, name)
        hook = container.lifecycle.preStop if container is not None and container.lifecycle else None
        return float(hook.sleep.seconds) if hook is not None and hook.sleep is not None else 0.0

    # Probes

    def _start_probe(self, instruction: w.StartProbe) -> None:
        run = self._runs.get(instruction.container_id)
        container = restart.find_container(self.pod, instruction.name)
        probe = getattr(container, f"{instruction.kind}Probe", None)
        if run is None or probe is None:
            return
        verdicts = kubelet_probes.ProbeRun.of(instruction.kind, probe, instruction.passing)
        simulated = SimulatedProbe(instruction.kind, probe, run.behaviour, verdicts)
        run.probed[instruction.kind] = (instruction, simulated)
        self._set_probe(instruction, simulated, simulated.first())

    def _set_probe(self, instruction: w.StartProbe, probe: SimulatedProbe, at: float) -> None:
        run = self._runs.get(instruction.container_id)
        if run is None or at == behaviour.FOREVER:
            return
        wait = max(0.0, instruction.started_at / 1e9 + at - self._node.clock.now().timestamp())
        run.probes[probe.kind] = self._loop.call_later(wait, self._try_probe, instruction, probe, at)

    def _try_probe(self, instruction: w.StartProbe, probe: SimulatedProbe, at: float) -> None:
        passed = probe.passes(at)
        if not passed:
            text = f"{probe.kind.capitalize()} probe failed: simulated"
            self._say("Warning", "Unhealthy", text, instruction.name)
        verdict = probe.run.note(passed)
        after = probe.after(at)
        if after is not None:
            self._set_probe(instruction, probe, after)
        if verdict is not None:
            self.post(w.ProbeTurned(instruction.container_id, probe.kind, verdict))

    def _probed(self, pod: core_v1.Pod) -> core_v1.Pod:
        """The Pod as the worker sees it: a container whose readiness is simulated, but not probed, has a probe.

        Nothing of this is written to the API, which gets the status alone.
        """
        slow = [
            c.readinessProbe is None and behaviour.slow_to_be_ready(pod, c.name, self._node.given(pod, c.name))
            for c in pod.spec.containers
        ]
        if not any(slow):
            return pod
        probe = core_v1.Probe(exec=core_v1.ExecAction(command=["simulated"]), periodSeconds=1, failureThreshold=1)
        containers = [
            msgspec.structs.replace(c, readinessProbe=probe) if lacks else c
            for c, lacks in zip(pod.spec.containers, slow, strict=True)
        ]
        return msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, containers=containers))

    # The API

    def _write(self, status: core_v1.PodStatus) -> None:
        """Of several statuses that come while one is written, or waited with, the last is written."""
        self._pending = status
        if self._writing is not None:
            return
        if self._node.patience_seconds and _on_its_way(status):
            if self._held is None:
                self._held = self._loop.call_later(self._node.patience_seconds, self._write_now)
            return
        self._write_now()

    def _write_now(self) -> None:
        _cancel(*([self._held] if self._held else []))
        self._held = None
        if self._writing is None and self._pending is not None:
            self._writing = self._task("status", self._write_pending())

    async def _write_pending(self) -> None:
        wait = RETRY_SECONDS_MIN
        try:
            while self._pending is not None:
                try:
                    async with self._node.writes:
                        await self._write_latest()
                    wait = RETRY_SECONDS_MIN
                except (errors.NotFound, errors.Conflict):
                    # Gone, or another Pod of that name: the watch will say so.
                    return
                except (errors.StatusError, ConnectionError):
                    await self._node.clock.sleep(wait)
                    wait = min(wait * 2, RETRY_SECONDS_MAX)
        finally:
            self._writing = None

    async def _write_latest(self) -> None:
        status, self._pending = self._pending, None
        meta = self.pod.metadata
        new: dict[str, Any] = codec.to_builtins(status)
        body = statuspatch.patch(meta.uid, self._written, new)
        if body is None:
            return
        path = self._pods.path(meta.namespace, meta.name, "status")
        try:
            # The answer is of no interest: the watch brings it.
            await self._pods.client.request("PATCH", path, body=codec.encode(body), content_type=STRATEGIC)
        except (errors.StatusError, ConnectionError):
            self._pending = self._pending or status
            raise
        self._written = new

    async def _finalize(self, status: core_v1.PodStatus) -> None:
        self._write(status)
        if self._writing is not None:
            await asyncio.wait((self._writing,))
        meta = self.pod.metadata
        wait = RETRY_SECONDS_MIN
        while True:
            try:
                await self._pods.delete(meta.name, meta.namespace, uid=meta.uid, grace_period_seconds=0)
                break
            except (errors.NotFound, errors.Conflict):
                break
            except (errors.StatusError, ConnectionError):
                await self._node.clock.sleep(wait)
                wait = min(wait * 2, RETRY_SECONDS_MAX)
        self.post(w.Finalized())


def _on_its_way(status: core_v1.PodStatus) -> bool:
    """Starting, and nothing is wrong so far."""
    found = (*(status.initContainerStatuses or ()), *(status.containerStatuses or ()))
    return status.phase == "Pending" and not any(
        one.restartCount or (one.state.waiting is not None and one.state.waiting.reason not in _USUAL) for one in found
    )


def _cancel(*timers: asyncio.TimerHandle) -> None:
    for timer in timers:
        timer.cancel()
