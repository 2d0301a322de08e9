"""Carries out what a Pod's worker decides, and tells it what came of it.

Each instruction is a task of its own, so that nothing of one Pod waits for
another, and a Pod's writes wait for nothing but the API. What an instruction
does when it fails is answered to the worker, which decides when to try again.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from tiphys.api import core_v1
from tiphys.kubelet import (
    containers,
    cri,
    downward,
    environment,
    metrics,
    names,
    objects,
    restart,
    statuswriter,
    worker,
)
from tiphys.kubelet import protocol as w
from tiphys.kubelet.context import Context
from tiphys.kubelet.cri import RuntimeFault
from tiphys.kubelet.facts import ContainerFact, PodFact
from tiphys.kubelet.images import Found, ImageFault
from tiphys.kubelet.messages import termination_message
from tiphys.kubelet.objects import PodSources
from tiphys.kubelet.prober import ProbeErrored, Target
from tiphys.kubelet.probing import run_probe
from tiphys.kubelet.volumes import claims, payload, plan
from tiphys.kubelet.volumes.manager import VolumeFault
from tiphys.machinery import errors
from tiphys.machinery.goformat import quote
from tiphys.runtime.cri import api_pb2

logger = logging.getLogger(__name__)

SLEEP_MIN_SECONDS = 0.001
#: How long the API may take to give the ConfigMaps and Secrets of a Pod.
OBJECT_SECONDS = 10.0


class PodAgent:
    """One Pod on this node. ``post`` is the way in; ``gone`` is called when nothing is left of the Pod."""

    def __init__(self, pod: core_v1.Pod, context: Context, gone: Callable[["PodAgent"], None]) -> None:
        self.context = context
        self.worker = worker.PodWorker(pod, host_ips=context.config.node_ips, runtime_name=context.runtime_name)
        self.uid = pod.metadata.uid
        self._gone = gone
        self._files_written = False
        #: The volumes behind the Pod's claims, once they are known.
        self._claimed: Mapping[str, plan.PlannedVolume] = {}
        #: When it came to this kubelet, until it runs; None for one that ran before.
        self._seen_at = context.clock.monotonic() if pod.status.phase == "Pending" else None
        self._writer = statuswriter.StatusWriter(context, pod)
        self._starts: dict[str, asyncio.Task[None]] = {}
        self._pulling: set[str] = set()
        self._kills: dict[str, asyncio.Task[None]] = {}
        self._probes: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._timer: asyncio.Task[None] | None = None
        self._refresh: asyncio.Task[None] | None = None
        self._sandbox_config: api_pb2.PodSandboxConfig | None = None
        #: Told whenever the worker has seen something new; log followers wait for it.
        self.listeners: set[Callable[[], None]] = set()

    @property
    def pod(self) -> core_v1.Pod:
        return self.worker.pod

    @property
    def facts(self) -> PodFact:
        return self.worker.facts

    def post(self, event: w.Event) -> None:
        for instruction in self.worker.handle(event, self.context.clock.now()):
            self._carry_out(instruction)
        for listener in list(self.listeners):
            listener()

    def _carry_out(self, instruction: w.Instruction) -> None:
        match instruction:
            case w.Emit():
                self._say(instruction.type, instruction.reason, instruction.message, instruction.name)
            case w.Report(status):
                self._measure_start(status)
                self._writer.write(status)
            case w.Wake(at):
                self._wake(at)
            case w.PrepareVolumes():
                self._task("volumes", self._prepare_volumes(), w.VolumesFailed("internal error, see the log"))
            case w.RunSandbox(attempt):
                self._task("sandbox", self._run_sandbox(attempt), w.SandboxDone("internal error, see the log"))
            case w.StartContainer(name, attempt):
                failed = w.StartDone(name, ("CreateContainerError", "internal error, see the log"))
                self._starts[name] = self._task(f"start {name}", self._start(name, attempt), failed)
            case w.CancelStart(name):
                if name in self._pulling:
                    self._starts[name].cancel()
            case w.KillContainer():
                self._kill(instruction)
            case w.ResizeContainer(container_id, name, resources):
                failed_resize = w.ResizeDone(container_id, name, resources, "internal error, see the log")
                self._task(f"resize {name}", self._resize(instruction), failed_resize)
            case w.StopSandbox(sandbox_id):
                failed_stop = w.SandboxStopped(sandbox_id, "internal error, see the log")
                self._task("stop sandbox", self._stop_sandbox(sandbox_id), failed_stop)
            case w.RemoveContainers(ids):
                self._task("remove", self._remove(ids), None)
            case w.Cleanup(remove):
                self._task("clean up", self._clean_up(remove), None)
            case w.StartProbe():
                self._start_probe(instruction)
            case w.StopProbes(container_id, kinds):
                for kind in kinds:
                    task = self._probes.pop((container_id, kind), None)
                    if task is not None:
                        task.cancel()
            case w.Finalize(status):
                self._task("finalize", self._finalize(status), None)
            case w.Forget():
                self.close()
                self._gone(self)

    def _measure_start(self, status: core_v1.PodStatus) -> None:
        if self._seen_at is not None and status.phase != "Pending":
            metrics.START_SECONDS.observe(self.context.clock.monotonic() - self._seen_at)
            self._seen_at = None

    def close(self) -> None:
        """Let go of everything but the Pod's containers."""
        for task in (*self._probes.values(), self._timer, self._refresh):
            if task is not None:
                task.cancel()
        self._probes.clear()
        self.context.objects.use(self.uid, ())
        self.context.tokens.forget(self.uid)

    def _say(self, event_type: str, reason: str, message: str, name: str = "") -> None:
        path = ""
        if name:
            field = {"init": "initContainers", "app": "containers", "ephemeral": "ephemeralContainers"}
            path = f"spec.{field[restart.kind_of(self.pod, name)]}{{{name}}}"
        self.context.recorder.event(self.pod, event_type, reason, message, field_path=path)

    def _task(self, what: str, coroutine: Coroutine[Any, Any, None], failed: w.Event | None) -> asyncio.Task[None]:
        meta = self.pod.metadata
        task = self.context.tasks.start(self._guarded(coroutine, failed), name=f"{what} {meta.namespace}/{meta.name}")
        # A task that is cancelled before its first step never comes to what it guards.
        task.add_done_callback(lambda _: coroutine.close())
        return task

    async def _guarded(self, coroutine: Coroutine[Any, Any, None], failed: w.Event | None) -> None:
        """One Pod's fault, ours included, must not take the node down."""
        try:
            await coroutine
        except Exception:
            logger.exception("pod %s: an instruction failed", self.uid)
            metrics.FAILURES.inc()
            if failed is not None:
                self.post(failed)

    def _wake(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._task("timer", self._tick_at(at), None)

    async def _tick_at(self, at: float) -> None:
        await self.context.clock.sleep(max(at - self.context.clock.now().timestamp(), SLEEP_MIN_SECONDS))
        # Not cancelled by the Wake that this tick may bring.
        self._timer = None
        self.post(w.Tick())

    # Volumes

    def _itself(self) -> downward.Itself:
        sandbox = self.facts.sandbox
        ips = self.context.config.node_ips if self.pod.spec.hostNetwork else (sandbox.ips if sandbox else ())
        return downward.Itself(self.pod, ips, self.context.config.node_ips, self.context.allocatable)

    def _volumes(self) -> list[plan.PlannedVolume]:
        return plan.planned_volumes(self.pod, self.context.pod_directory(self.uid), self._claimed)

    async def _prepare_volumes(self) -> None:
        try:
            await self._set_up_volumes()
        except VolumeFault as fault:
            self.post(w.VolumesFailed(str(fault)))
            return
        self._keep_fresh()
        self._files_written = True
        self.post(w.VolumesReady())

    async def _set_up_volumes(self) -> None:
        await self._find_claimed()
        planned = self._volumes()
        everyone = [c for _, c in restart.containers_of(self.pod)]
        in_volumes = [key for p in planned for key in payload.objects_of(p.volume)]
        self.context.objects.use(self.uid, objects.keys_of(self.pod, in_volumes, everyone))
        await self._objects_read()
        paths = self.context.paths(self.pod)
        paths.pod_directory.mkdir(parents=True, exist_ok=True)
        sources = PodSources(self.context.objects, self.pod.metadata.namespace)
        await self.context.volumes.set_up(self._itself(), planned, sources)

    async def _find_claimed(self) -> None:
        """Raises VolumeFault, naming the volume, if a claim has no volume yet."""
        if self._claimed or not any(claims.claim_name(self.pod, volume) for volume in self.pod.spec.volumes or ()):
            return
        try:
            self._claimed = await claims.found(self.context.client, self.pod, self.context.config.node_name)
        except (payload.PayloadError, errors.StatusError) as problem:
            raise VolumeFault(f"Unable to attach or mount volumes: {problem}") from problem

    async def _objects_read(self) -> None:
        """Raises VolumeFault if the API does not give what the Pod names."""
        missing = self.context.objects.unread(self.uid)
        if not missing:
            return
        try:
            async with asyncio.timeout(OBJECT_SECONDS):
                await self.context.objects.ready(self.uid)
        except TimeoutError as error:
            kind, name = missing[0]
            raise VolumeFault(
                f"MountVolume.SetUp failed for volume {quote(name)} : "
                f"failed to sync {kind} cache: timed out waiting for the condition"
            ) from error

    def objects_changed(self) -> None:
        """A ConfigMap or Secret of the Pod has changed: bring its volumes up to date, and what waited for it on."""
        if self.worker.stage in ("ending", "ended", "gone"):
            return
        self.post(w.Tick(retry=True))
        if any(p.kind == "objects" for p in self._volumes()):
            self._task("refresh", self._refresh_volumes(), None)

    def updated(self, pod: core_v1.Pod) -> None:
        """The API has another version of the Pod; what its volumes say of it follows."""
        old = self.pod.metadata
        self.post(w.Updated(pod))
        told = old.labels, old.annotations
        if self._files_written and told != (pod.metadata.labels, pod.metadata.annotations):
            self.objects_changed()

    async def _refresh_volumes(self) -> None:
        try:
            await self._set_up_volumes()
        except VolumeFault as fault:
            # What is there stays; the object may come back.
            logger.info("pod %s: %s", self.uid, fault)

    def _keep_fresh(self) -> None:
        renew_at = self.context.tokens.renew_at(self.uid)
        if renew_at is None:
            return
        if self._refresh is not None:
            self._refresh.cancel()
        self._refresh = self._task("tokens", self._renew(renew_at), None)

    async def _renew(self, at: float) -> None:
        while True:
            await self.context.clock.sleep(max(at - self.context.clock.now().timestamp(), 1.0))
            await self._refresh_volumes()
            at = self.context.tokens.renew_at(self.uid) or at + 60.0
            at = max(at, self.context.clock.now().timestamp() + 10.0)

    # Sandbox

    async def _run_sandbox(self, attempt: int) -> None:
        context = self.context
        if not self.pod.spec.hostNetwork and not context.network_ready.is_set():
            self._say("Warning", "NetworkNotReady", f"network is not ready: {context.network_problem}")
            await context.network_ready.wait()
        async with context.starting:
            try:
                config = self._make_sandbox_config(attempt)
                handler = await self._runtime_handler()
                sandbox_id = await context.cri.run_sandbox(config, handler)
                sandbox = await context.cri.sandbox(sandbox_id)
            except (RuntimeFault, names.NameTooLong, errors.StatusError) as fault:
                self._say("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {fault}")
                self.post(w.SandboxDone(str(fault)))
                return
        self._sandbox_config = config
        self.post(w.Observed(PodFact(self.uid, "", "", (sandbox,))))
        self.post(w.SandboxDone())

    def _make_sandbox_config(self, attempt: int) -> api_pb2.PodSandboxConfig:
        config = self.context.config
        hostname, _ = names.hostname_of(self.pod, config.cluster_domain)
        resolv = names.resolv_of(self.pod, self.context.resolv, config.cluster_dns, config.cluster_domain)
        return containers.sandbox_config(
            self.pod, attempt, self.context.paths(self.pod), resolv, hostname, config.cgroup_root
        )

    async def _runtime_handler(self) -> str:
        name = self.pod.spec.runtimeClassName
        if not name:
            return ""
        found = await self.context.client.resource("node.k8s.io", "v1", "runtimeclasses", False).get(name)
        return str(found.get("handler", ""))

    async def _stop_sandbox(self, sandbox_id: str) -> None:
        try:
            await self.context.cri.stop_sandbox(sandbox_id)
        except RuntimeFault as fault:
            if not fault.not_found:
                self._say("Warning", "FailedKillPod", f"error killing pod: {fault}")
                self.post(w.SandboxStopped(sandbox_id, str(fault)))
                return
        self.post(w.SandboxStopped(sandbox_id))

    # Containers

    async def _start(self, name: str, attempt: int) -> None:
        try:
            error = await self._try_start(name, attempt)
        except asyncio.CancelledError:
            if not self.worker.stage == "ending":
                raise
            # Asked for by the worker: the Pod ends while its image is on the way.
            error = ("ContainerCreating", "")
        finally:
            self._starts.pop(name, None)
            self._pulling.discard(name)
        self.post(w.StartDone(name, error))

    async def _try_start(self, name: str, attempt: int) -> tuple[str, str] | None:
        """None if it runs, else why not."""
        context, pod, sandbox = self.context, self.pod, self.facts.sandbox
        container = restart.find_container(pod, name)
        if container is None or sandbox is None:
            return "CreateContainerError", "the container or its sandbox is gone"
        kind = restart.kind_of(pod, name)

        def say(event_type: str, reason: str, text: str) -> None:
            self._say(event_type, reason, text, name)

        sandbox_config = self._sandbox_config or self._make_sandbox_config(sandbox.attempt)
        try:
            self._pulling.add(name)
            image = await context.images.ensure(container, self._pull_secrets(), sandbox_config, say)
            mounted = {
                volume.name: await context.images.ensure(
                    _as_container(volume), self._pull_secrets(), sandbox_config, say
                )
                for volume in self._image_volumes(container)
            }
            self._pulling.discard(name)
            config = await self._configure(container, kind, attempt, image, {v: i.ref for v, i in mounted.items()})
        except ImageFault as fault:
            say("Warning", "Failed", f"Error: {fault.reason}")
            return fault.reason, str(fault)
        except (environment.ConfigError, VolumeFault, OSError) as problem:
            say("Warning", "Failed", f"Error: {problem}")
            return "CreateContainerConfigError", str(problem)
        try:
            container_id = await context.cri.create_container(sandbox.id, config, sandbox_config)
        except RuntimeFault as fault:
            say("Warning", "Failed", f"Error: {fault.details}")
            return "CreateContainerError", fault.details
        say("Normal", "Created", "Container created")
        try:
            await context.cri.start_container(container_id)
        except RuntimeFault as fault:
            say("Warning", "Failed", f"Error: {fault.details}")
            await self.observe_container(container_id, sandbox.id)
            return "RunContainerError", fault.details
        say("Normal", "Started", "Container started")
        await self.observe_container(container_id, sandbox.id)
        return await self._post_start(container, container_id)

    async def observe_container(self, container_id: str, sandbox_id: str) -> None:
        """Ask the runtime about one container, unless its events have told already."""
        known = next((c for c in self.facts.containers if c.id == container_id), None)
        if known is not None and known.state in ("running", "exited"):
            return
        try:
            status = await self.context.cri.container_status(container_id)
        except RuntimeFault:
            return
        self.post(w.Observed(PodFact(self.uid, "", "", (), (container_fact(status, sandbox_id),))))

    def _image_volumes(self, container: restart.AnyContainer) -> list[core_v1.Volume]:
        mounted = {mount.name for mount in container.volumeMounts or ()}
        return [v for v in self.pod.spec.volumes or () if v.image is not None and v.name in mounted]

    def _pull_secrets(self) -> list[core_v1.Secret]:
        sources = PodSources(self.context.objects, self.pod.metadata.namespace)
        found = [sources.secret(r.name or "") for r in self.pod.spec.imagePullSecrets or ()]
        return [secret for secret in found if secret is not None]

    async def _configure(
        self,
        container: restart.AnyContainer,
        kind: str,
        attempt: int,
        image: Found,
        image_volumes: Mapping[str, str],
    ) -> api_pb2.ContainerConfig:
        context, pod = self.context, self.pod
        if kind == "ephemeral":
            # It came after the Pod's objects were looked up.
            in_volumes = [key for p in self._volumes() for key in payload.objects_of(p.volume)]
            everyone = [c for _, c in restart.containers_of(pod)]
            context.objects.use(self.uid, objects.keys_of(pod, in_volumes, everyone))
            await self._objects_read()
        sources = PodSources(context.objects, pod.metadata.namespace)
        await context.services.wait_synced()
        services = environment.service_variables(pod, context.services.list())
        variables = environment.environment(self._itself(), container, sources, services)
        volumes = {p.name: p for p in self._volumes()}
        mounts = plan.planned_mounts(container, volumes, variables, image_volumes)
        paths = context.paths(pod)
        self._prepare_files(container, mounts, volumes, attempt, paths)
        target = getattr(container, "targetContainerName", None)
        target_id = next((c.id for c in self.facts.of(target) if c.state == "running"), "") if target else ""
        made = containers.Made(
            image_ref=image.ref,
            variables=variables,
            mounts=mounts,
            attempt=attempt,
            image_user=image.user,
            image_uid=image.uid,
            target_id=target_id,
            memory_capacity=context.memory_capacity,
        )
        return containers.container_config(pod, container, kind, made, paths)

    def _prepare_files(
        self,
        container: restart.AnyContainer,
        mounts: list[plan.PlannedMount],
        volumes: dict[str, plan.PlannedVolume],
        attempt: int,
        paths: containers.Paths,
    ) -> None:
        """Everything on the host that the container's mounts need."""
        for mount in mounts:
            volume = volumes[mount.volume]
            if mount.image:
                continue
            if mount.sub_path:
                plan.check_inside(volume.path, mount.host_path)
            if not mount.host_path.exists() and not mount.host_path.is_symlink():
                mount.host_path.mkdir(parents=True, exist_ok=True)
                if mount.sub_path:
                    mount.host_path.chmod(volume.path.stat().st_mode & 0o7777)
        message = paths.message(container.name, attempt)
        message.parent.mkdir(parents=True, exist_ok=True)
        message.touch()
        message.chmod(0o666)
        log = paths.log_directory / container.name
        log.mkdir(parents=True, exist_ok=True)
        hostname, domain = names.hostname_of(self.pod, self.context.config.cluster_domain)
        of_host = containers.host_hosts() if self.pod.spec.hostNetwork else ""
        text = names.hosts_file(self.pod, self._itself().pod_ips, hostname, domain, of_host)
        if not paths.hosts.exists() or paths.hosts.read_text() != text:
            paths.hosts.write_text(text)
            paths.hosts.chmod(0o644)

    async def _post_start(self, container: restart.AnyContainer, container_id: str) -> tuple[str, str] | None:
        hook = container.lifecycle.postStart if container.lifecycle else None
        if hook is None:
            return None
        ok, text = await self._run_hook(hook, container, container_id, None)
        if ok:
            return None
        self._say("Warning", "FailedPostStartHook", "PostStartHook failed", container.name)
        self._say("Normal", "Killing", "FailedPostStartHook", container.name)
        grace = int(self.pod.spec.terminationGracePeriodSeconds or worker.DEFAULT_GRACE_SECONDS)
        await self._stop_container(container_id, max(grace, worker.GRACE_SECONDS_MIN))
        return "PostStartHookError", text

    async def _run_hook(
        self,
        hook: core_v1.LifecycleHandler,
        container: restart.AnyContainer,
        container_id: str,
        seconds: float | None,
    ) -> tuple[bool, str]:
        if hook.sleep is not None:
            await self.context.clock.sleep(min(float(hook.sleep.seconds), seconds or float("inf")))
            return True, ""
        ips = self._itself().pod_ips
        target = Target(container, container_id, ips[0] if ips else "")
        try:
            return await self.context.prober.handle(hook, target, seconds)
        except ProbeErrored as error:
            return False, str(error)

    async def _resize(self, instruction: w.ResizeContainer) -> None:
        context, pod, sandbox = self.context, self.pod, self.facts.sandbox
        container = restart.find_container(pod, instruction.name)
        error = ""
        if container is not None and sandbox is not None:
            try:
                # The Pod's own group first: its weight holds whatever its containers come to.
                await context.cri.update_sandbox(sandbox.id, containers.pod_weight(pod))
                wanted = containers.container_resources(pod, container, context.memory_capacity)
                await context.cri.update_container(instruction.container_id, containers.changed(wanted))
            except RuntimeFault as fault:
                error = fault.details
        self.post(w.ResizeDone(instruction.container_id, instruction.name, instruction.resources, error))
        if self._files_written:
            # Files may tell of the container's resources.
            self.objects_changed()

    # Stopping

    def _kill(self, instruction: w.KillContainer) -> None:
        earlier = self._kills.get(instruction.container_id)
        if earlier is not None:
            # Only the time is shorter now: the runtime kills when the first of both is over.
            earlier.cancel()
        done = w.KillDone(instruction.container_id)
        name = f"stop {instruction.name}"
        self._kills[instruction.container_id] = self._task(name, self._stop(instruction), done)

    async def _stop(self, instruction: w.KillContainer) -> None:
        context = self.context
        end = context.clock.monotonic() + instruction.grace_seconds
        container = restart.find_container(self.pod, instruction.name)
        hook = container.lifecycle.preStop if container and container.lifecycle else None
        if instruction.hook and hook is not None and container is not None:
            await self._pre_stop(hook, container, instruction)
        left = max(round(end - context.clock.monotonic()), worker.GRACE_SECONDS_MIN)
        if instruction.grace_seconds < left:
            left = int(instruction.grace_seconds)
        await self._stop_container(instruction.container_id, left)
        if self._kills.get(instruction.container_id) is asyncio.current_task():
            del self._kills[instruction.container_id]
        fact = next((c for c in self.facts.containers if c.id == instruction.container_id), None)
        if fact is not None and fact.state == "running":
            await self._observe_end(instruction.container_id, fact.sandbox_id)
        self.post(w.KillDone(instruction.container_id))

    async def _observe_end(self, container_id: str, sandbox_id: str) -> None:
        """The runtime's answer to StopContainer may come before its event."""
        try:
            status = await self.context.cri.container_status(container_id)
        except RuntimeFault as fault:
            if fault.not_found:
                self.post(w.ContainerGone(container_id))
            return
        self.post(w.Observed(PodFact(self.uid, "", "", (), (container_fact(status, sandbox_id),))))

    async def _pre_stop(
        self, hook: core_v1.LifecycleHandler, container: restart.AnyContainer, instruction: w.KillContainer
    ) -> None:
        try:
            async with asyncio.timeout(instruction.grace_seconds):
                ok, _ = await self._run_hook(hook, container, instruction.container_id, instruction.grace_seconds)
        except TimeoutError:
            # The grace period is over with it; the container gets the minimum to react to TERM.
            logger.info("preStop of %s did not end within its grace period", instruction.container_id)
            return
        if not ok:
            self._say("Warning", "FailedPreStopHook", "PreStopHook failed", container.name)

    async def _stop_container(self, container_id: str, grace_seconds: int) -> None:
        try:
            await self.context.cri.stop_container(container_id, grace_seconds)
        except RuntimeFault as fault:
            if fault.not_found:
                self.post(w.ContainerGone(container_id))
            else:
                logger.warning("stop of container %s: %s", container_id, fault)
                await self.context.clock.sleep(1.0)

    async def _remove(self, ids: tuple[str, ...]) -> None:
        for container_id in ids:
            try:
                await self.context.cri.remove_container(container_id)
            except RuntimeFault as fault:
                if not fault.not_found:
                    logger.info("removal of container %s: %s", container_id, fault)
            self.post(w.ContainerGone(container_id))

    async def _clean_up(self, remove: bool) -> None:
        context = self.context
        self.close()
        while True:
            try:
                if remove:
                    for sandbox in self.facts.sandboxes:
                        await _ignore_missing(context.cri.remove_sandbox(sandbox.id))
                await context.volumes.tear_down(context.pod_directory(self.uid), remove)
                break
            except (RuntimeFault, OSError) as fault:
                logger.warning("cleaning up after pod %s: %s", self.uid, fault)
                await context.clock.sleep(1.0)
        if remove:
            await asyncio.to_thread(statuswriter.remove_tree, context.paths(self.pod).log_directory)
        self.post(w.CleanedUp(remove))

    # Probes

    def _start_probe(self, instruction: w.StartProbe) -> None:
        container = restart.find_container(self.pod, instruction.name)
        probe: core_v1.Probe | None = getattr(container, f"{instruction.kind}Probe", None)
        if container is None or probe is None:
            return
        ips = self._itself().pod_ips
        target = Target(container, instruction.container_id, ips[0] if ips else "")

        def turned(passing: bool) -> None:
            self.post(w.ProbeTurned(instruction.container_id, instruction.kind, passing))

        def say(text: str) -> None:
            self._say("Warning", "Unhealthy", text, instruction.name)

        key = (instruction.container_id, instruction.kind)
        coroutine = run_probe(self.context, instruction, probe, target, turned, say)
        self._probes[key] = self._task(f"{instruction.kind} probe of {instruction.name}", coroutine, None)

    # The API

    async def _finalize(self, status: core_v1.PodStatus) -> None:
        await self._writer.finish(status)
        self.post(w.Finalized())


def container_fact(status: api_pb2.ContainerStatus, sandbox_id: str) -> ContainerFact:
    """The fact with the container's last words, if it has ended."""
    fact = cri.container_fact(status, sandbox_id)
    if fact.state != "exited":
        return fact
    return cri.with_message(fact, termination_message(status))


def _as_container(volume: core_v1.Volume) -> core_v1.Container:
    """What an image volume asks for, in the words in which containers ask."""
    assert volume.image is not None
    return core_v1.Container(name=volume.name, image=volume.image.reference, imagePullPolicy=volume.image.pullPolicy)


async def _ignore_missing(call: Coroutine[Any, Any, None]) -> None:
    try:
        await call
    except RuntimeFault as fault:
        if not fault.not_found:
            raise
