"""CRI over gRPC: requests in, what sandboxes, containers and images say out."""

import asyncio
import base64
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio

import tiphys
from tiphys.base.clock import Clock
from tiphys.runtime import answers, execsync, plan
from tiphys.runtime.containers import Containers
from tiphys.runtime.cri import api_pb2, api_pb2_grpc, images_pb2, images_pb2_grpc
from tiphys.runtime.errors import InvalidArgument, NotFound, RuntimeFault, Unavailable
from tiphys.runtime.events import Events
from tiphys.runtime.images import archive, reference
from tiphys.runtime.images.registry import Credentials, Puller, PullError
from tiphys.runtime.images.store import Image, ImageStore
from tiphys.runtime.images.unpack import BadLayer
from tiphys.runtime.interfaces import SandboxNetwork
from tiphys.runtime.linux.cgroups import Cgroups, Usage
from tiphys.runtime.records import Container, Sandbox
from tiphys.runtime.sandboxes import Sandboxes, nanoseconds
from tiphys.runtime.spawning import SpawnError
from tiphys.runtime.streaming import StreamingServer

logger = logging.getLogger(__name__)
NAME = "tiphys"
CRI_VERSION = "v1"
HANDLERS = ("", "tiphys")
_R = TypeVar("_R")
_Method = Callable[[Any, Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[_R]]


def answered(method: _Method[_R]) -> _Method[_R]:
    """Turns what the runtime refuses into a gRPC status, and what it did not expect into INTERNAL with a log line."""

    @wraps(method)
    async def call(self: Any, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> _R:
        try:
            return await method(self, request, context)
        except RuntimeFault as fault:
            await context.abort(fault.code, str(fault))
        except (SpawnError, ConnectionError) as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        except Exception as error:
            if isinstance(error, grpc.aio.AbortError):
                raise
            logger.exception("%s failed", method.__name__)
            await context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
        raise AssertionError("abort returned")

    return call


class RuntimeService(api_pb2_grpc.RuntimeServiceServicer):
    """Sandboxes, containers, streams."""

    def __init__(
        self,
        sandboxes: Sandboxes,
        containers: Containers,
        network: SandboxNetwork,
        streams: StreamingServer,
        cgroups: Cgroups,
        clock: Clock,
    ) -> None:
        self._sandboxes = sandboxes
        self._containers = containers
        self._network = network
        self._streams = streams
        self._cgroups = cgroups
        self._clock = clock
        self.events = Events()
        sandboxes.changed = self._sandbox_changed
        containers.changed = self._container_changed

    # Events

    def _sandbox_changed(self, sandbox: Sandbox) -> None:
        kind = api_pb2.CONTAINER_STARTED_EVENT if sandbox.ready else api_pb2.CONTAINER_STOPPED_EVENT
        self._push(sandbox.id, kind, sandbox)

    def _container_changed(self, container: Container, kind: int) -> None:
        sandbox = self._sandboxes.records.find(container.sandbox_id)
        if sandbox is not None:
            self._push(container.id, kind, sandbox)

    def _push(self, record_id: str, kind: int, sandbox: Sandbox) -> None:
        self.events.push(
            api_pb2.ContainerEventResponse(
                container_id=record_id,
                container_event_type=kind,  # type: ignore[arg-type]
                created_at=nanoseconds(self._clock),
                pod_sandbox_status=answers.sandbox_status(sandbox),
                containers_statuses=[answers.container_status(c) for c in self._containers.of_sandbox(sandbox.id)],
            )
        )

    async def GetContainerEvents(
        self, request: api_pb2.GetEventsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[api_pb2.ContainerEventResponse]:
        async for event in self.events.follow():
            yield event

    # The runtime itself

    @answered
    async def Version(self, request: api_pb2.VersionRequest, _: Any) -> api_pb2.VersionResponse:
        return api_pb2.VersionResponse(
            version="0.1.0",
            runtime_name=NAME,
            runtime_version=tiphys.__version__,
            runtime_api_version=CRI_VERSION,
        )

    @answered
    async def Status(self, request: api_pb2.StatusRequest, _: Any) -> api_pb2.StatusResponse:
        ready, reason, message = self._network.status()
        conditions = [
            api_pb2.RuntimeCondition(type="RuntimeReady", status=True),
            api_pb2.RuntimeCondition(type="NetworkReady", status=ready, reason=reason, message=message),
        ]
        features = api_pb2.RuntimeHandlerFeatures(recursive_read_only_mounts=True)
        return api_pb2.StatusResponse(
            status=api_pb2.RuntimeStatus(conditions=conditions),
            runtime_handlers=[api_pb2.RuntimeHandler(name=name, features=features) for name in HANDLERS],
            features=api_pb2.RuntimeFeatures(supplemental_groups_policy=True),
        )

    @answered
    async def RuntimeConfig(self, request: api_pb2.RuntimeConfigRequest, _: Any) -> api_pb2.RuntimeConfigResponse:
        linux = api_pb2.LinuxRuntimeConfiguration(cgroup_driver=api_pb2.CGROUPFS)
        return api_pb2.RuntimeConfigResponse(linux=linux)

    @answered
    async def UpdateRuntimeConfig(
        self, request: api_pb2.UpdateRuntimeConfigRequest, _: Any
    ) -> api_pb2.UpdateRuntimeConfigResponse:
        if cidr := request.runtime_config.network_config.pod_cidr:
            try:
                await self._network.configure(cidr)
            except ValueError as error:
                raise InvalidArgument(str(error)) from error
            except OSError as error:
                raise Unavailable(f"network for {cidr}: {error}") from error
        return api_pb2.UpdateRuntimeConfigResponse()

    # Sandboxes

    @answered
    async def RunPodSandbox(self, request: api_pb2.RunPodSandboxRequest, _: Any) -> api_pb2.RunPodSandboxResponse:
        if request.runtime_handler not in HANDLERS:
            raise InvalidArgument(f'no runtime for "{request.runtime_handler}" is configured')
        sandbox = await self._sandboxes.run(request.config, request.runtime_handler)
        return api_pb2.RunPodSandboxResponse(pod_sandbox_id=sandbox.id)

    @answered
    async def StopPodSandbox(self, request: api_pb2.StopPodSandboxRequest, _: Any) -> api_pb2.StopPodSandboxResponse:
        sandbox = self._sandboxes.records.match(request.pod_sandbox_id)
        if sandbox is not None:
            for container in self._containers.of_sandbox(sandbox.id):
                await self._containers.stop(container, 0)
            await self._sandboxes.stop(sandbox)
        return api_pb2.StopPodSandboxResponse()

    @answered
    async def RemovePodSandbox(
        self, request: api_pb2.RemovePodSandboxRequest, _: Any
    ) -> api_pb2.RemovePodSandboxResponse:
        sandbox = self._sandboxes.records.match(request.pod_sandbox_id)
        if sandbox is not None:
            for container in self._containers.of_sandbox(sandbox.id):
                await self._containers.remove(container)
            await self._sandboxes.remove(sandbox)
        return api_pb2.RemovePodSandboxResponse()

    @answered
    async def PodSandboxStatus(
        self, request: api_pb2.PodSandboxStatusRequest, _: Any
    ) -> api_pb2.PodSandboxStatusResponse:
        sandbox = self._sandboxes.get(request.pod_sandbox_id)
        return api_pb2.PodSandboxStatusResponse(
            status=answers.sandbox_status(sandbox),
            containers_statuses=[answers.container_status(c) for c in self._containers.of_sandbox(sandbox.id)],
            timestamp=nanoseconds(self._clock),
        )

    def _listed_sandboxes(self, wanted: api_pb2.PodSandboxFilter) -> list[api_pb2.PodSandbox]:
        return [answers.sandbox_row(s) for s in self._sandboxes.records if answers.sandbox_matches(s, wanted)]

    @answered
    async def ListPodSandbox(self, request: api_pb2.ListPodSandboxRequest, _: Any) -> api_pb2.ListPodSandboxResponse:
        return api_pb2.ListPodSandboxResponse(items=self._listed_sandboxes(request.filter))

    async def StreamPodSandboxes(
        self, request: api_pb2.StreamPodSandboxesRequest, context: Any
    ) -> AsyncIterator[api_pb2.StreamPodSandboxesResponse]:
        yield api_pb2.StreamPodSandboxesResponse(pod_sandboxes=self._listed_sandboxes(request.filter))

    @answered
    async def UpdatePodSandboxResources(
        self, request: api_pb2.UpdatePodSandboxResourcesRequest, _: Any
    ) -> api_pb2.UpdatePodSandboxResourcesResponse:
        sandbox = self._sandboxes.get(request.pod_sandbox_id)
        self._cgroups.update(self._sandboxes.cgroup(sandbox), plan.limits_of(request.resources, 0, None))
        return api_pb2.UpdatePodSandboxResourcesResponse()

    # Containers

    @answered
    async def CreateContainer(self, request: api_pb2.CreateContainerRequest, _: Any) -> api_pb2.CreateContainerResponse:
        sandbox = self._sandboxes.get(request.pod_sandbox_id)
        container = await self._containers.create(sandbox, request.config)
        return api_pb2.CreateContainerResponse(container_id=container.id)

    @answered
    async def StartContainer(self, request: api_pb2.StartContainerRequest, _: Any) -> api_pb2.StartContainerResponse:
        await self._containers.start(self._containers.get(request.container_id))
        return api_pb2.StartContainerResponse()

    @answered
    async def StopContainer(self, request: api_pb2.StopContainerRequest, _: Any) -> api_pb2.StopContainerResponse:
        container = self._containers.records.match(request.container_id)
        if container is not None:
            await self._containers.stop(container, request.timeout)
        return api_pb2.StopContainerResponse()

    @answered
    async def RemoveContainer(self, request: api_pb2.RemoveContainerRequest, _: Any) -> api_pb2.RemoveContainerResponse:
        container = self._containers.records.match(request.container_id)
        if container is not None:
            await self._containers.remove(container)
        return api_pb2.RemoveContainerResponse()

    def _listed_containers(self, wanted: api_pb2.ContainerFilter) -> list[api_pb2.Container]:
        return [answers.container_row(c) for c in self._containers.records if answers.container_matches(c, wanted)]

    @answered
    async def ListContainers(self, request: api_pb2.ListContainersRequest, _: Any) -> api_pb2.ListContainersResponse:
        return api_pb2.ListContainersResponse(containers=self._listed_containers(request.filter))

    async def StreamContainers(
        self, request: api_pb2.StreamContainersRequest, context: Any
    ) -> AsyncIterator[api_pb2.StreamContainersResponse]:
        yield api_pb2.StreamContainersResponse(containers=self._listed_containers(request.filter))

    @answered
    async def ContainerStatus(self, request: api_pb2.ContainerStatusRequest, _: Any) -> api_pb2.ContainerStatusResponse:
        container = self._containers.get(request.container_id)
        info = {"pid": str(container.pid)} if request.verbose else {}
        return api_pb2.ContainerStatusResponse(status=answers.container_status(container), info=info)

    @answered
    async def UpdateContainerResources(
        self, request: api_pb2.UpdateContainerResourcesRequest, _: Any
    ) -> api_pb2.UpdateContainerResourcesResponse:
        self._containers.update(self._containers.get(request.container_id), request.linux)
        return api_pb2.UpdateContainerResourcesResponse()

    @answered
    async def ReopenContainerLog(
        self, request: api_pb2.ReopenContainerLogRequest, _: Any
    ) -> api_pb2.ReopenContainerLogResponse:
        await self._containers.reopen_log(self._containers.get_running(request.container_id))
        return api_pb2.ReopenContainerLogResponse()

    # Commands and streams

    @answered
    async def ExecSync(self, request: api_pb2.ExecSyncRequest, _: Any) -> api_pb2.ExecSyncResponse:
        container = self._containers.get_running(request.container_id)
        code, output, error = await execsync.exec_sync(self._containers, container, list(request.cmd), request.timeout)
        return api_pb2.ExecSyncResponse(exit_code=code, stdout=output, stderr=error)

    @answered
    async def Exec(self, request: api_pb2.ExecRequest, _: Any) -> api_pb2.ExecResponse:
        self._containers.get_running(request.container_id)
        return api_pb2.ExecResponse(url=self._streams.exec_url(request))

    @answered
    async def Attach(self, request: api_pb2.AttachRequest, _: Any) -> api_pb2.AttachResponse:
        self._containers.get_running(request.container_id)
        return api_pb2.AttachResponse(url=self._streams.attach_url(request))

    @answered
    async def PortForward(self, request: api_pb2.PortForwardRequest, _: Any) -> api_pb2.PortForwardResponse:
        self._sandboxes.get(request.pod_sandbox_id)
        return api_pb2.PortForwardResponse(url=self._streams.port_forward_url(request))

    # Usage

    def _usage(self, container: Container) -> api_pb2.ContainerStats:
        config = container.message()
        attributes = api_pb2.ContainerAttributes(
            id=container.id, metadata=config.metadata, labels=config.labels, annotations=config.annotations
        )
        stats = api_pb2.ContainerStats(attributes=attributes)
        if container.state == api_pb2.CONTAINER_RUNNING:
            cpu, memory = _usage_messages(self._cgroups.usage(container.cgroup), nanoseconds(self._clock))
            stats.cpu.CopyFrom(cpu)
            stats.memory.CopyFrom(memory)
        return stats

    @answered
    async def ContainerStats(self, request: api_pb2.ContainerStatsRequest, _: Any) -> api_pb2.ContainerStatsResponse:
        return api_pb2.ContainerStatsResponse(stats=self._usage(self._containers.get(request.container_id)))

    def _running(self, sandbox_id: str = "") -> list[Container]:
        return [
            c
            for c in self._containers.records
            if c.state == api_pb2.CONTAINER_RUNNING and (not sandbox_id or c.sandbox_id == sandbox_id)
        ]

    @answered
    async def ListContainerStats(
        self, request: api_pb2.ListContainerStatsRequest, _: Any
    ) -> api_pb2.ListContainerStatsResponse:
        wanted = request.filter
        found = [
            self._usage(c)
            for c in self._running(wanted.pod_sandbox_id)
            if (not wanted.id or c.id.startswith(wanted.id))
            and answers.has_labels(c.message().labels, wanted.label_selector)
        ]
        return api_pb2.ListContainerStatsResponse(stats=found)

    def _pod_usage(self, sandbox: Sandbox) -> api_pb2.PodSandboxStats:
        config = sandbox.message()
        attributes = api_pb2.PodSandboxAttributes(
            id=sandbox.id, metadata=config.metadata, labels=config.labels, annotations=config.annotations
        )
        now = nanoseconds(self._clock)
        cpu, memory = _usage_messages(self._cgroups.usage(self._sandboxes.cgroup(sandbox)), now)
        containers = [self._usage(c) for c in self._running(sandbox.id)]
        linux = api_pb2.LinuxPodSandboxStats(cpu=cpu, memory=memory, containers=containers)
        return api_pb2.PodSandboxStats(attributes=attributes, linux=linux)

    @answered
    async def PodSandboxStats(self, request: api_pb2.PodSandboxStatsRequest, _: Any) -> api_pb2.PodSandboxStatsResponse:
        return api_pb2.PodSandboxStatsResponse(stats=self._pod_usage(self._sandboxes.get(request.pod_sandbox_id)))

    @answered
    async def ListPodSandboxStats(
        self, request: api_pb2.ListPodSandboxStatsRequest, _: Any
    ) -> api_pb2.ListPodSandboxStatsResponse:
        wanted = request.filter
        found = [
            self._pod_usage(s)
            for s in self._sandboxes.records
            if s.ready
            and (not wanted.id or s.id.startswith(wanted.id))
            and answers.has_labels(s.message().labels, wanted.label_selector)
        ]
        return api_pb2.ListPodSandboxStatsResponse(stats=found)

    @answered
    async def ListMetricDescriptors(
        self, request: api_pb2.ListMetricDescriptorsRequest, _: Any
    ) -> api_pb2.ListMetricDescriptorsResponse:
        return api_pb2.ListMetricDescriptorsResponse()


def _usage_messages(usage: Usage, now: int) -> tuple[api_pb2.CpuUsage, api_pb2.MemoryUsage]:
    def number(value: int) -> api_pb2.UInt64Value:
        return api_pb2.UInt64Value(value=value)

    cpu = api_pb2.CpuUsage(timestamp=now, usage_core_nano_seconds=number(usage.cpu_nanoseconds))
    memory = api_pb2.MemoryUsage(
        timestamp=now,
        working_set_bytes=number(usage.working_set_bytes),
        usage_bytes=number(usage.memory_bytes),
        rss_bytes=number(usage.rss_bytes),
    )
    return cpu, memory


class ImageService(api_pb2_grpc.ImageServiceServicer, images_pb2_grpc.ImagesServicer):
    """Images, by CRI and by our own service beside it."""

    def __init__(self, store: ImageStore, containers: Containers, clock: Clock, data: Path) -> None:
        self._store = store
        self._containers = containers
        self._clock = clock
        self._data = data
        self._puller = Puller(store)
        #: One pull per image at a time; others wait for the same.
        self._pulls: dict[str, asyncio.Lock] = {}

    async def close(self) -> None:
        await self._puller.close()

    def _find(self, name: str) -> Image | None:
        try:
            return self._store.find(name, reference.parse(name))
        except reference.InvalidReference:
            return self._store.find(name, None)

    def _listed(self, wanted: api_pb2.ImageFilter) -> list[api_pb2.Image]:
        if name := wanted.image.image:
            found = self._find(name)
            return [answers.image_row(found)] if found is not None else []
        return [answers.image_row(image) for image in self._store.list()]

    @answered
    async def ListImages(self, request: api_pb2.ListImagesRequest, _: Any) -> api_pb2.ListImagesResponse:
        return api_pb2.ListImagesResponse(images=self._listed(request.filter))

    async def StreamImages(
        self, request: api_pb2.StreamImagesRequest, context: Any
    ) -> AsyncIterator[api_pb2.StreamImagesResponse]:
        yield api_pb2.StreamImagesResponse(images=self._listed(request.filter))

    @answered
    async def ImageStatus(self, request: api_pb2.ImageStatusRequest, _: Any) -> api_pb2.ImageStatusResponse:
        found = self._find(request.image.image)
        if found is None:
            return api_pb2.ImageStatusResponse()
        info = {"info": self._store.configuration(found).decode()} if request.verbose else {}
        return api_pb2.ImageStatusResponse(image=answers.image_row(found), info=info)

    @answered
    async def PullImage(self, request: api_pb2.PullImageRequest, _: Any) -> api_pb2.PullImageResponse:
        name = request.image.image
        own = self._find(name)
        if own is not None and own.host:
            # There is no registry to ask: this image is made of the machine itself.
            return api_pb2.PullImageResponse(image_ref=own.id)
        try:
            wanted = reference.parse(name)
        except reference.InvalidReference as error:
            raise InvalidArgument(str(error)) from error
        lock = self._pulls.setdefault(str(wanted), asyncio.Lock())
        async with lock:
            try:
                image = await self._puller.pull(wanted, _credentials(request.auth))
            except (PullError, OSError, BadLayer) as error:
                raise _pull_fault(str(wanted), error) from error
            except ExceptionGroup as group:
                # Layers are fetched side by side; what one of them met tells enough.
                raise _pull_fault(str(wanted), group.exceptions[0]) from group
        if not lock.locked():
            self._pulls.pop(str(wanted), None)
        return api_pb2.PullImageResponse(image_ref=image.id)

    @answered
    async def RemoveImage(self, request: api_pb2.RemoveImageRequest, _: Any) -> api_pb2.RemoveImageResponse:
        found = self._find(request.image.image)
        if found is None:
            return api_pb2.RemoveImageResponse()
        name = request.image.image
        others = [tag for tag in found.tags if tag != _full(name)]
        if others and len(others) < len(found.tags):
            self._store.untag(found, _full(name))
            return api_pb2.RemoveImageResponse()
        users = self._containers.users_of(found)
        if users:
            raise RuntimeFault(f"image {found.id} is used by container {users[0]}")
        await asyncio.to_thread(self._store.remove, found)
        return api_pb2.RemoveImageResponse()

    @answered
    async def ImageFsInfo(self, request: api_pb2.ImageFsInfoRequest, _: Any) -> api_pb2.ImageFsInfoResponse:
        used = sum(image.size for image in self._store.list())
        info = os.statvfs(self._data)
        usage = api_pb2.FilesystemUsage(
            timestamp=nanoseconds(self._clock),
            fs_id=api_pb2.FilesystemIdentifier(mountpoint=str(self._data)),
            used_bytes=api_pb2.UInt64Value(value=used),
            inodes_used=api_pb2.UInt64Value(value=info.f_files - info.f_ffree),
        )
        return api_pb2.ImageFsInfoResponse(image_filesystems=[usage], container_filesystems=[usage])

    async def Load(
        self, requests: AsyncIterator[images_pb2.LoadRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> images_pb2.LoadResponse:
        """Load an archive: a file on this host, or the bytes that follow."""
        try:
            first = await anext(requests)
            if first.path:
                loaded = await asyncio.to_thread(archive.load, self._store, Path(first.path), first.name)
            else:
                loaded = await self._load_stream(first, requests)
        except StopAsyncIteration:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no archive was sent")
        except (BadLayer, reference.InvalidReference) as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except OSError as error:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, f"{error.filename or self._data}: {error.strerror}"
            )
        images = [images_pb2.LoadedImage(id=image.id, references=image.tags) for image in loaded]
        return images_pb2.LoadResponse(images=images)

    async def _load_stream(
        self, first: images_pb2.LoadRequest, requests: AsyncIterator[images_pb2.LoadRequest]
    ) -> list[Image]:
        with tempfile.NamedTemporaryFile(dir=self._data) as file:
            file.write(first.data)
            async for request in requests:
                file.write(request.data)
            file.flush()
            return list(await asyncio.to_thread(archive.load, self._store, Path(file.name), first.name))


def _full(name: str) -> str:
    try:
        return str(reference.parse(name))
    except reference.InvalidReference:
        return name


def _credentials(auth: api_pb2.AuthConfig) -> Credentials:
    username, password = auth.username, auth.password
    if auth.auth and not username:
        try:
            username, _, password = base64.b64decode(auth.auth).decode().partition(":")
        except ValueError as error:
            raise InvalidArgument("the pull secret's auth is not base64") from error
    return Credentials(username, password, auth.registry_token or auth.identity_token)


def _pull_fault(wanted: str, error: Exception) -> RuntimeFault:
    """In containerd's words, which users know from events."""
    text = f'failed to pull and unpack image "{wanted}": failed to resolve reference "{wanted}": '
    if isinstance(error, PullError) and error.not_found:
        return NotFound(f"{text}{wanted}: {error}")
    return RuntimeFault(f"{text}{error}")
