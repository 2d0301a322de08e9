"""Containers: their root file system, their start, their end."""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.runtime import groups, plan, security
from tiphys.runtime.config import RuntimeConfig
from tiphys.runtime.cri import api_pb2
from tiphys.runtime.errors import FailedPrecondition, InvalidArgument, NotFound, RuntimeFault
from tiphys.runtime.images import reference
from tiphys.runtime.images.store import Image, ImageStore
from tiphys.runtime.images.unpack import resolve
from tiphys.runtime.linux import seccomp
from tiphys.runtime.linux.cgroups import Cgroups, Limits
from tiphys.runtime.orphans import Orphans
from tiphys.runtime.records import Container, Records, Sandbox
from tiphys.runtime.sandboxes import Sandboxes, nanoseconds
from tiphys.runtime.security import Identity
from tiphys.runtime.spawning import Message, Spawner, SpawnError

IDENTITY_BYTES_MAX = 4 * 1024 * 1024
#: Exit code of a container whose program could not be started, as Kubernetes shows it.
START_ERROR = 128
#: Of a container that nobody saw end, as containerd shows it.
UNKNOWN_EXIT_CODE = 255
#: What is killed ends at once; when it has not by then, something keeps it from dying.
KILL_SECONDS = 2.0
Event = Callable[[Container, int], None]


class Containers:
    """See the module. ``changed`` is told of each container and the CRI event type that it went through."""

    def __init__(
        self,
        config: RuntimeConfig,
        spawner: Spawner,
        images: ImageStore,
        sandboxes: Sandboxes,
        cgroups: Cgroups,
        node: plan.Node,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._config = config
        self._spawner = spawner
        self._images = images
        self._sandboxes = sandboxes
        self._cgroups = cgroups
        self._node = node
        self._clock = clock
        self._ids = ids
        self._filters = seccomp.FilterCache(config.data / "seccomp")
        self.records: Records[Container] = Records(config.data / "containers", Container)
        self.changed: Event = lambda _container, _event: None
        #: Who waits for a container's end.
        self._ends: dict[str, asyncio.Event] = {}
        self._orphans = Orphans(self._lost)
        #: Exits of commands in containers, by process id as the spawner knows it.
        self._commands: dict[str, asyncio.Future[int]] = {}

    def get(self, container_id: str) -> Container:
        found = self.records.match(container_id)
        if found is None:
            raise NotFound(f'an error occurred when try to find container "{container_id}": not found')
        return found

    def get_running(self, container_id: str) -> Container:
        found = self.get(container_id)
        if found.state != api_pb2.CONTAINER_RUNNING:
            state = api_pb2.ContainerState.Name(found.state)
            raise FailedPrecondition(f"container {found.id} is in {state} state, not running")
        return found

    def of_sandbox(self, sandbox_id: str) -> list[Container]:
        return [record for record in self.records if record.sandbox_id == sandbox_id]

    def users_of(self, image: Image) -> list[str]:
        """Ids of containers that run from it or mount it."""
        return [
            container.id
            for container in self.records
            if container.image_id == image.id or image.id in self._mounted(container)
        ]

    def _mounted(self, container: Container) -> set[str]:
        """Ids of the images that it has as volumes."""
        found: set[str] = set()
        for mount in container.message().mounts:
            with suppress(NotFound):
                if mount.image.image:
                    found.add(self._find_image(mount.image.image).id)
        return found

    def image_of(self, container: Container) -> Image | None:
        return self._images.find(container.image_id, None)

    def _place(self, container: Container) -> plan.Place:
        return plan.Place(self._images.layers_folder, self.records.folder(container.id))

    # Creating

    async def create(self, sandbox: Sandbox, config: api_pb2.ContainerConfig) -> Container:
        """Prepare a container. Raises RuntimeFault, and leaves nothing then."""
        image = self._find_image(config.image.image)
        if not plan.arguments(config, image.config):
            raise InvalidArgument("failed to generate container spec: no command specified")
        container_id = self._ids.uid().replace("-", "") + self._ids.uid().replace("-", "")
        log_directory = sandbox.message().log_directory
        container = Container(
            id=container_id,
            created_at=nanoseconds(self._clock),
            sandbox_id=sandbox.id,
            config=config.SerializeToString(),
            image_id=image.id,
            image_ref=image.digests[0] if image.digests else "",
            cgroup=f"{self._sandboxes.cgroup(sandbox)}/{container_id}",
            log_path=os.path.join(log_directory, config.log_path) if config.log_path and log_directory else "",
            stop_signal=plan.stop_signal(config, image.config),
        )
        self.records.save(container)
        try:
            self._make_root(container, sandbox, config, image)
        except (OSError, ValueError) as error:
            self._erase(container)
            raise RuntimeFault(f"failed to create containerd container: {error}") from error
        self.records.save(container)
        self.changed(container, api_pb2.CONTAINER_CREATED_EVENT)
        return container

    def _find_image(self, name: str) -> Image:
        with suppress(reference.InvalidReference):
            if (found := self._images.find(name, reference.parse(name))) is not None:
                return found
        if (found := self._images.find(name, None)) is not None:
            return found
        raise NotFound(f'failed to get image "{name}": not found')

    def _make_root(self, container: Container, sandbox: Sandbox, config: api_pb2.ContainerConfig, image: Image) -> None:
        place = self._place(container)
        for folder in (place.merged, place.upper, place.work):
            folder.mkdir()
        if image.host:
            (place.folder / "usr-upper").mkdir()
            (place.folder / "usr-work").mkdir()
        identity = self._identity(config, image)
        container.uid, container.gid, container.groups = identity.uid, identity.gid, list(identity.groups)
        etc = place.upper / "etc"
        # The sandbox's files are bound over these; without them the kernel has nothing to bind over.
        present = {mount.container_path for mount in config.mounts}
        for name in ("resolv.conf", "hostname"):
            if f"/etc/{name}" not in present and not self._in_image(image, f"etc/{name}"):
                etc.mkdir(exist_ok=True)
                (etc / name).touch()

    def _in_image(self, image: Image, path: str) -> bool:
        return any(os.path.lexists(self._images.layer_path(layer) / path) for layer in image.layers)

    def _image_file(self, image: Image, path: str) -> str:
        """A small text file as the image's topmost layer has it; empty if none has."""
        for layer in reversed(image.layers):
            found = Path(resolve(str(self._images.layer_path(layer)), path))
            if found.is_file():
                with found.open("rb") as file:
                    return file.read(IDENTITY_BYTES_MAX).decode("utf-8", "replace")
        return ""

    def _identity(self, config: api_pb2.ContainerConfig, image: Image) -> Identity:
        """Who the container runs as: what it asks for, else what the image says."""
        context = config.linux.security_context
        passwd, group = self._image_file(image, "etc/passwd"), self._image_file(image, "etc/group")
        wanted = image.config.user or "0"
        if context.run_as_username:
            wanted = context.run_as_username
        elif context.HasField("run_as_user"):
            wanted = str(context.run_as_user.value)
        uid, gid, home, name = security.resolve_user(wanted, passwd, group)
        if context.HasField("run_as_group"):
            gid = context.run_as_group.value
        groups = [gid, *context.supplemental_groups]
        if context.supplemental_groups_policy == api_pb2.Merge:
            groups += security.groups_of(name, group)
        return Identity(uid, gid, tuple(dict.fromkeys(groups)), home)

    # Starting

    async def start(self, container: Container) -> None:
        """Run it. A program that cannot be executed ends the container with reason StartError; raises RuntimeFault."""
        if container.state != api_pb2.CONTAINER_CREATED:
            raise FailedPrecondition(f"container {container.id} has been started already")
        sandbox = self._sandboxes.get(container.sandbox_id)
        if not sandbox.ready:
            raise FailedPrecondition(f"sandbox {sandbox.id} is not running")
        config = container.message()
        image = self.image_of(container)
        if image is None:
            raise NotFound(f"image {container.image_id} of container {container.id} not found")
        try:
            spec = self._spec(container, sandbox, config, image)
            started = await self._spawner.call("start", **spec)
        except (SpawnError, OSError, security.SecurityError, seccomp.ProfileError) as error:
            self._failed(container, error)
            raise RuntimeFault(f"failed to create containerd task: {error}") from error
        container.pid, container.started_at = started["pid"], started["started_at"]
        if container.exit_code is None:
            self.records.save(container)
            self.changed(container, api_pb2.CONTAINER_STARTED_EVENT)

    def _failed(self, container: Container, error: Exception) -> None:
        container.exit_code = START_ERROR
        container.reason = "StartError"
        container.text = f"failed to create containerd task: {error}"
        container.finished_at = nanoseconds(self._clock)
        self._finish(container)

    def _spec(
        self, container: Container, sandbox: Sandbox, config: api_pb2.ContainerConfig, image: Image
    ) -> dict[str, Any]:
        context = config.linux.security_context
        rules: Sequence[str] | None = None if context.privileged else ()
        limits = plan.limits_of(config.linux.resources, self._config.pids_limit, rules)
        folders = self._cgroups.create(container.cgroup, limits)
        container.oom_kills = self._cgroups.oom_kills(container.cgroup)
        process = self._process(container, sandbox, config, image)
        target = ""
        if context.namespace_options.target_id:
            target = context.namespace_options.target_id
        target_pid = self.get(target).pid if target else 0
        spec = plan.container(
            config,
            sandbox,
            image.layers,
            self._place(container),
            self._node,
            process,
            host_image=image.host,
            target_pid=target_pid,
            image_volumes=self._image_volumes(container, config),
        )
        self._bind_sandbox_files(spec["mounts"], sandbox, config)
        return spec | {"id": container.id, "log": container.log_path, "cgroups": folders}

    def _image_volumes(self, container: Container, config: api_pb2.ContainerConfig) -> list[dict[str, Any]]:
        place = self._place(container)
        found = []
        for number, mount in enumerate(m for m in config.mounts if m.image.image):
            scratch = place.folder / f"image-{number}"
            scratch.mkdir(exist_ok=True)
            layers = self._find_image(mount.image.image).layers
            found.append(plan.image_volume(mount, layers, place.layers, str(scratch)))
        return found

    def _process(
        self, container: Container, sandbox: Sandbox, config: api_pb2.ContainerConfig, image: Image
    ) -> dict[str, Any]:
        identity = self._identity(config, image)
        hostname = sandbox.message().hostname
        process = plan.process(config, image.config, identity, hostname, self._node)
        context = config.linux.security_context
        if context.HasField("seccomp") and not context.privileged:
            process["filter"] = self._filters.path(context.seccomp, process["bounding"])
        return process

    def _bind_sandbox_files(
        self, mounts: list[dict[str, Any]], sandbox: Sandbox, config: api_pb2.ContainerConfig
    ) -> None:
        present = {mount.container_path for mount in config.mounts}
        for name in ("resolv.conf", "hostname"):
            if f"/etc/{name}" not in present:
                mount = api_pb2.Mount(
                    host_path=str(self._sandboxes.folder(sandbox) / name), container_path=f"/etc/{name}"
                )
                mounts.append(plan.volume(mount))

    # Ending

    def exited(self, event: Message) -> None:
        """The spawner says that a process has ended."""
        command = self._commands.pop(event["id"], None)
        if command is not None:
            if not command.done():
                command.set_result(event["exit_code"])
            return
        container = self.records.find(event["id"])
        if container is None or container.exit_code is not None:
            return
        container.pid = container.pid or event["pid"]
        container.started_at = container.started_at or event["started_at"]
        container.exit_code = event["exit_code"]
        container.finished_at = event["finished_at"]
        oom = self._cgroups.oom_kills(container.cgroup) > container.oom_kills
        container.reason = "OOMKilled" if oom else "Completed" if container.exit_code == 0 else "Error"
        self._finish(container)

    def _finish(self, container: Container) -> None:
        self.records.save(container)
        if (end := self._ends.pop(container.id, None)) is not None:
            end.set()
        self.changed(container, api_pb2.CONTAINER_STOPPED_EVENT)

    async def stop(self, container: Container, grace_seconds: float) -> None:
        """Ask it to end, and make it end after ``grace_seconds``. Returns once it has."""
        if container.state != api_pb2.CONTAINER_RUNNING:
            return
        end = self._ends.setdefault(container.id, asyncio.Event())
        if grace_seconds > 0:
            await self._signal(container, plan.signal_number(container.stop_signal))
            with suppress(TimeoutError):
                await asyncio.wait_for(end.wait(), grace_seconds)
        while container.exit_code is None:
            await self._kill_all(container)
            with suppress(TimeoutError):
                await asyncio.wait_for(end.wait(), KILL_SECONDS)
                return
            self._unthrottle(container)

    def _unthrottle(self, container: Container) -> None:
        """Dying takes processor time too: at a tenth of a processor, hundreds of processes die for minutes."""
        for group in (container.cgroup, container.cgroup.rpartition("/")[0]):
            with suppress(OSError):
                self._cgroups.update(group, Limits(cpu_quota=-1))

    async def _signal(self, container: Container, number: int) -> None:
        if self._orphans.signal(container.id, number):
            return
        with suppress(SpawnError):
            await self._spawner.call("signal", id=container.id, signal=number)

    async def _kill_all(self, container: Container) -> None:
        """The first process takes its PID namespace with it; where it shares one, its group says who belongs to it."""
        await self._signal(container, signal.SIGKILL)
        for pid in self._cgroups.processes(container.cgroup):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def remove(self, container: Container) -> None:
        """End it if it runs, and forget it; repeating it is fine."""
        await self.stop(container, 0)
        with suppress(SpawnError):
            await self._spawner.call("forget", id=container.id)
        await groups.dissolve(self._cgroups, container.cgroup, self._clock)
        await asyncio.to_thread(self._erase, container)
        self.changed(container, api_pb2.CONTAINER_DELETED_EVENT)

    def _erase(self, container: Container) -> None:
        shutil.rmtree(self.records.folder(container.id), ignore_errors=True)
        if container.log_path:
            with suppress(FileNotFoundError):
                os.unlink(container.log_path)
        self.records.forget(container.id)

    def update(self, container: Container, resources: api_pb2.LinuxContainerResources) -> None:
        """Change the limits of a container that has not ended. Raises RuntimeFault if it uses more memory already."""
        limit = resources.memory_limit_in_bytes
        if limit > 0 and (used := self._cgroups.usage(container.cgroup).working_set_bytes) > limit:
            # Version 1 would refuse; version 2 would kill.
            raise FailedPrecondition(f"attempting to set memory limit ({limit}) below current usage ({used})")
        self._cgroups.update(container.cgroup, plan.limits_of(resources, 0, None))
        config = container.message()
        for field, value in resources.ListFields():
            if field.name not in ("hugepage_limits", "unified"):
                setattr(config.linux.resources, field.name, value)
        container.config = config.SerializeToString()
        self.records.save(container)

    async def reopen_log(self, container: Container) -> None:
        try:
            await self._spawner.call("reopen-log", id=container.id)
        except SpawnError as error:
            raise RuntimeFault(str(error)) from error

    # Commands

    async def execute(self, container: Container, command: Sequence[str], *, terminal: bool, stdin: bool) -> "Command":
        """Start a command in a running container. Raises RuntimeFault."""
        sandbox = self._sandboxes.get(container.sandbox_id)
        config = container.message()
        image = self.image_of(container)
        if image is None:
            raise NotFound(f"image {container.image_id} of container {container.id} not found")
        process = self._process(container, sandbox, config, image)
        process |= {"args": list(command), "terminal": terminal, "stdin": stdin}
        if terminal:
            process["env"].setdefault("TERM", "xterm")
        command_id = f"exec-{self._ids.uid()}"
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._commands[command_id] = ended
        folders = self._cgroups.create(container.cgroup, plan.limits_of(api_pb2.LinuxContainerResources(), 0, None))
        try:
            _, descriptors = await self._spawner.call_with_descriptors(
                "exec", id=command_id, pid=container.pid, cgroups=folders, process=process
            )
        except SpawnError as error:
            self._commands.pop(command_id, None)
            raise RuntimeFault(f"failed to exec in container: {error}") from error
        return Command(command_id, self._spawner, descriptors, ended)

    # Attaching

    async def listen(self, container: Container, descriptors: list[int]) -> None:
        """Copy output, from now on, to these pipes too. Raises SpawnError, ConnectionError."""
        await self._spawner.call("listen", descriptors, id=container.id)

    async def input(self, container: Container) -> tuple[bool, list[int]]:
        """Whether it has a terminal, and that or its standard input, if it has either; the caller closes it."""
        answer, descriptors = await self._spawner.call_with_descriptors("input", id=container.id)
        return bool(answer["terminal"]), descriptors

    async def close_input(self, container: Container) -> None:
        """Its standard input has ended for good."""
        with suppress(SpawnError):
            await self._spawner.call("close-input", id=container.id)

    async def adopt(self) -> None:
        """After a restart: learn what has ended meanwhile and what still runs."""
        running = {p["id"]: p for p in (await self._spawner.call("list"))["processes"]}
        for container in self.records:
            known = running.get(container.id)
            if container.state == api_pb2.CONTAINER_EXITED:
                continue
            if known is None and container.pid:
                # Its number may be another's by now; who is in its group is still its own.
                members = self._cgroups.processes(container.cgroup)
                if container.pid not in members or not self._orphans.watch(container.id, container.pid):
                    self._lost(container.id)
            elif known is not None:
                container.pid, container.started_at = known["pid"], known["started_at"]
                self.records.save(container)
                if known["exit_code"] is not None:
                    self.exited(known)

    def _lost(self, name: str) -> None:
        """An orphan has ended, and its exit code went with the spawner."""
        container = self.records.find(name)
        if container is None or container.exit_code is not None:
            return
        container.exit_code, container.finished_at = UNKNOWN_EXIT_CODE, nanoseconds(self._clock)
        container.reason = "Unknown"
        self._finish(container)

    def close(self) -> None:
        """Watch no more; containers stay."""
        self._orphans.close()


class Command:
    """A command in a container. ``descriptors``: a terminal's master alone, or standard output, error and input."""

    def __init__(self, name: str, spawner: Spawner, descriptors: list[int], ended: "asyncio.Future[int]") -> None:
        self.name = name
        self.descriptors = descriptors
        self._spawner = spawner
        self._ended = ended

    async def wait(self) -> int:
        """The exit code."""
        return await asyncio.shield(self._ended)

    async def kill(self) -> None:
        """End it and what it started in its process group."""
        try:
            with suppress(SpawnError):
                await self._spawner.call("signal", id=self.name, signal=signal.SIGKILL, group=True)
        except ConnectionError:
            # Whoever would have told of its end is gone; nobody is to wait for that.
            if not self._ended.done():
                self._ended.set_result(128 + signal.SIGKILL)

    async def forget(self) -> None:
        """Free what the spawner keeps; the command has ended."""
        with suppress(SpawnError, ConnectionError):
            await self._spawner.call("forget", id=self.name)
