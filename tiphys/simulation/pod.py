"""One Pod on a simulated node: the real kubelet's brain over containers that are only timers.

``PodWorker`` decides as it does on a real node; here its instructions are
carried out by letting time pass, and what came of them is told to it as facts.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec

from tiphys.api import core_v1
from tiphys.base.clock import Clock
from tiphys.client import Client, Recorder
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


class Place(Protocol):
    """What a Pod needs of its node."""

    client: Client
    clock: Clock
    recorder: Recorder
    tasks: Tasks
    ips: tuple[str, ...]
    objects: Objects

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


class SimulatedPod:
    """``post`` is the way in; ``gone`` is called when nothing is left of the Pod."""

    def __init__(self, pod: core_v1.Pod, node: Place, gone: Callable[["SimulatedPod"], None]) -> None:
        self._node = node
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self.worker = worker.PodWorker(_probed(pod), host_ips=node.ips)
        self._pods = node.client.of(core_v1.Pod)
        self._written: dict[str, Any] = codec.to_builtins(pod.status)
        self._pending: core_v1.PodStatus | None = None
        self._writing: asyncio.Task[None] | None = None
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
        self.post(w.Updated(_probed(pod)))

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
        _cancel(*self._starts.values(), *self._others, *([self._wake] if self._wake else []))
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
        self._node.recorder.event(self.pod, event_type, reason, message, field_path=path)

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
        plan = behaviour.behaviour(self.pod, container, restart.kind_of(self.pod, name), attempt)
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
        run = self._runs[fact.id] = _Run(plan)
        if plan.run_seconds != behaviour.FOREVER:
            code, reason = (137, "OOMKilled") if plan.fault == "oom" else (plan.exit_code, "")
            run.timers.append(self._loop.call_later(plan.run_seconds, self._end, fact.id, code, reason))
        self._observe(containers=(fact,))
        self.post(w.StartDone(name))

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

    # The API

    def _write(self, status: core_v1.PodStatus) -> None:
        """Of several statuses that come while one is written, the last is written."""
        self._pending = status
        if self._writing is None:
            self._writing = self._task("status", self._write_pending())

    async def _write_pending(self) -> None:
        meta = self.pod.metadata
        wait = RETRY_SECONDS_MIN
        try:
            while self._pending is not None:
                status, self._pending = self._pending, None
                new: dict[str, Any] = codec.to_builtins(status)
                body = statuspatch.patch(meta.uid, self._written, new)
                if body is None:
                    continue
                try:
                    await self._pods.patch(meta.name, meta.namespace, body, "strategic", subresource="status")
                    self._written = new
                    wait = RETRY_SECONDS_MIN
                except (errors.NotFound, errors.Conflict):
                    # Gone, or another Pod of that name: the watch will say so.
                    return
                except (errors.StatusError, ConnectionError):
                    self._pending = self._pending or status
                    await self._node.clock.sleep(wait)
                    wait = min(wait * 2, RETRY_SECONDS_MAX)
        finally:
            self._writing = None

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


def _cancel(*timers: asyncio.TimerHandle) -> None:
    for timer in timers:
        timer.cancel()


def _probed(pod: core_v1.Pod) -> core_v1.Pod:
    """The Pod as the worker sees it: a container whose readiness is simulated, but not probed, has a probe.

    Nothing of this is written to the API, which gets the status alone.
    """
    if not any(behaviour.slow_to_be_ready(pod, c.name) and c.readinessProbe is None for c in pod.spec.containers):
        return pod
    probe = core_v1.Probe(exec=core_v1.ExecAction(command=["simulated"]), periodSeconds=1, failureThreshold=1)
    containers = [
        msgspec.structs.replace(c, readinessProbe=probe)
        if c.readinessProbe is None and behaviour.slow_to_be_ready(pod, c.name)
        else c
        for c in pod.spec.containers
    ]
    return msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, containers=containers))
