"""A CRI runtime without containers, over a real unix socket: it keeps what it was told and does what tests say."""

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from tiphys.runtime.cri import api_pb2, api_pb2_grpc


@dataclass
class FakeContainer:
    id: str
    sandbox_id: str
    config: Any
    state: int = api_pb2.CONTAINER_CREATED
    created_at: int = 0
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""


@dataclass
class FakeSandbox:
    id: str
    config: Any
    ip: str
    state: int = api_pb2.SANDBOX_READY
    created_at: int = 0


@dataclass
class FakeRuntime(api_pb2_grpc.RuntimeServiceServicer, api_pb2_grpc.ImageServiceServicer):
    """``images`` maps names to ids; a pull of another name fails. ``calls`` lists what was asked, in order."""

    images: dict[str, str] = field(default_factory=lambda: {"example.test/box:1": "sha256:box"})
    pullable: set[str] = field(default_factory=set)
    network_ready: bool = True
    pod_cidr: str = ""
    sandboxes: dict[str, FakeSandbox] = field(default_factory=dict)
    containers: dict[str, FakeContainer] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    #: Exit code of commands, by their first word; 0 for others.
    exec_codes: dict[str, int] = field(default_factory=dict)
    #: Container names that ignore TERM.
    stubborn: set[str] = field(default_factory=set)
    refuse_start: set[str] = field(default_factory=set)
    #: Where streams are served; what was asked for there.
    stream_url: str = ""
    execs: list[Any] = field(default_factory=list)
    _subscribers: set[asyncio.Queue[Any]] = field(default_factory=set)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    # What tests do

    def container(self, name: str) -> FakeContainer:
        """The newest of that name."""
        found = [c for c in self.containers.values() if c.config.metadata.name == name]
        return max(found, key=lambda c: c.created_at)

    def exit(self, name: str, code: int, reason: str = "") -> None:
        self._end(self.container(name), code, reason)

    def _end(self, container: FakeContainer, code: int, reason: str = "") -> None:
        if container.state == api_pb2.CONTAINER_EXITED:
            return
        container.state = api_pb2.CONTAINER_EXITED
        container.exit_code = code
        container.reason = reason or ("Completed" if code == 0 else "Error")
        container.finished_at = time.time_ns()
        self._tell(container.sandbox_id, container.id, api_pb2.CONTAINER_STOPPED_EVENT)

    def _tell(self, sandbox_id: str, container_id: str, kind: int) -> None:
        sandbox = self.sandboxes.get(sandbox_id)
        if sandbox is None:
            return
        event = api_pb2.ContainerEventResponse(
            container_id=container_id,
            container_event_type=kind,  # type: ignore[arg-type]
            created_at=time.time_ns(),
            pod_sandbox_status=self._sandbox_status(sandbox),
            containers_statuses=[
                self._container_status(c) for c in self.containers.values() if c.sandbox_id == sandbox_id
            ],
        )
        for queue in self._subscribers:
            queue.put_nowait(event)

    def _sandbox_status(self, sandbox: FakeSandbox) -> Any:
        host = sandbox.config.linux.security_context.namespace_options.network == api_pb2.NODE
        return api_pb2.PodSandboxStatus(
            id=sandbox.id,
            metadata=sandbox.config.metadata,
            state=sandbox.state,  # type: ignore[arg-type]
            created_at=sandbox.created_at,
            network=api_pb2.PodSandboxNetworkStatus(ip="" if host else sandbox.ip),
            linux=api_pb2.LinuxPodSandboxStatus(
                namespaces=api_pb2.Namespace(options=sandbox.config.linux.security_context.namespace_options)
            ),
            labels=sandbox.config.labels,
        )

    def _container_status(self, c: FakeContainer) -> Any:
        log_directory = self.sandboxes[c.sandbox_id].config.log_directory
        return api_pb2.ContainerStatus(
            id=c.id,
            metadata=c.config.metadata,
            state=c.state,  # type: ignore[arg-type]
            created_at=c.created_at,
            started_at=c.started_at,
            finished_at=c.finished_at,
            exit_code=c.exit_code,
            image=c.config.image,
            image_ref=c.config.image.image,
            reason=c.reason,
            labels=c.config.labels,
            annotations=c.config.annotations,
            log_path=f"{log_directory}/{c.config.log_path}",
        )

    # The CRI

    async def Version(self, request: Any, context: Any) -> Any:  # noqa: N802
        return api_pb2.VersionResponse(
            version="0.1.0", runtime_name="fake", runtime_version="1.0.0", runtime_api_version="v1"
        )

    async def Status(self, request: Any, context: Any) -> Any:  # noqa: N802
        network = api_pb2.RuntimeCondition(type="NetworkReady", status=self.network_ready)
        if not self.network_ready:
            network.reason, network.message = "NoPodCIDR", "no Pod range yet"
        conditions = [api_pb2.RuntimeCondition(type="RuntimeReady", status=True), network]
        return api_pb2.StatusResponse(status=api_pb2.RuntimeStatus(conditions=conditions))

    async def UpdateRuntimeConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.pod_cidr = request.runtime_config.network_config.pod_cidr
        self.network_ready = True
        self.calls.append(f"UpdateRuntimeConfig {self.pod_cidr}")
        return api_pb2.UpdateRuntimeConfigResponse()

    async def RunPodSandbox(self, request: Any, context: Any) -> Any:  # noqa: N802
        number = next(self._numbers)
        sandbox = FakeSandbox(f"s{number}", request.config, f"10.1.0.{number}", created_at=time.time_ns())
        self.sandboxes[sandbox.id] = sandbox
        self.calls.append(f"RunPodSandbox {request.config.metadata.name}")
        self._tell(sandbox.id, sandbox.id, api_pb2.CONTAINER_STARTED_EVENT)
        return api_pb2.RunPodSandboxResponse(pod_sandbox_id=sandbox.id)

    async def PodSandboxStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        sandbox = self.sandboxes.get(request.pod_sandbox_id)
        if sandbox is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such sandbox")
        return api_pb2.PodSandboxStatusResponse(status=self._sandbox_status(sandbox))

    async def StopPodSandbox(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.calls.append(f"StopPodSandbox {request.pod_sandbox_id}")
        sandbox = self.sandboxes.get(request.pod_sandbox_id)
        if sandbox is not None:
            for container in self.containers.values():
                if container.sandbox_id == sandbox.id:
                    self._end(container, 137)
            sandbox.state = api_pb2.SANDBOX_NOTREADY
            self._tell(sandbox.id, sandbox.id, api_pb2.CONTAINER_STOPPED_EVENT)
        return api_pb2.StopPodSandboxResponse()

    async def RemovePodSandbox(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.calls.append(f"RemovePodSandbox {request.pod_sandbox_id}")
        self.sandboxes.pop(request.pod_sandbox_id, None)
        for container in [c for c in self.containers.values() if c.sandbox_id == request.pod_sandbox_id]:
            del self.containers[container.id]
        return api_pb2.RemovePodSandboxResponse()

    async def ListPodSandbox(self, request: Any, context: Any) -> Any:  # noqa: N802
        items = [
            api_pb2.PodSandbox(
                id=s.id,
                metadata=s.config.metadata,
                state=s.state,  # type: ignore[arg-type]
                created_at=s.created_at,
                labels=s.config.labels,
            )
            for s in self.sandboxes.values()
        ]
        return api_pb2.ListPodSandboxResponse(items=items)

    async def CreateContainer(self, request: Any, context: Any) -> Any:  # noqa: N802
        container = FakeContainer(
            f"c{next(self._numbers)}", request.pod_sandbox_id, request.config, created_at=time.time_ns()
        )
        self.containers[container.id] = container
        self.calls.append(f"CreateContainer {request.config.metadata.name}")
        return api_pb2.CreateContainerResponse(container_id=container.id)

    async def StartContainer(self, request: Any, context: Any) -> Any:  # noqa: N802
        container = self.containers[request.container_id]
        name = container.config.metadata.name
        self.calls.append(f"StartContainer {name}")
        if name in self.refuse_start:
            self._end(container, 128, "StartError")
            await context.abort(grpc.StatusCode.UNKNOWN, f'exec: "{name}": executable file not found in $PATH')
        container.state = api_pb2.CONTAINER_RUNNING
        container.started_at = time.time_ns()
        log = Path(self.sandboxes[container.sandbox_id].config.log_directory) / container.config.log_path
        log.write_text("")
        self._tell(container.sandbox_id, container.id, api_pb2.CONTAINER_STARTED_EVENT)
        return api_pb2.StartContainerResponse()

    async def StopContainer(self, request: Any, context: Any) -> Any:  # noqa: N802
        container = self.containers.get(request.container_id)
        if container is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such container")
        assert container is not None
        self.calls.append(f"StopContainer {container.config.metadata.name} {request.timeout}")
        if container.config.metadata.name in self.stubborn:
            await asyncio.sleep(request.timeout)
            self._end(container, 137)
        else:
            self._end(container, 143)
        return api_pb2.StopContainerResponse()

    async def RemoveContainer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.calls.append(f"RemoveContainer {request.container_id}")
        self.containers.pop(request.container_id, None)
        return api_pb2.RemoveContainerResponse()

    async def ListContainers(self, request: Any, context: Any) -> Any:  # noqa: N802
        items = [
            api_pb2.Container(
                id=c.id,
                pod_sandbox_id=c.sandbox_id,
                metadata=c.config.metadata,
                state=c.state,  # type: ignore[arg-type]
                created_at=c.created_at,
                labels=c.config.labels,
                image_id=c.config.image.image,
            )
            for c in self.containers.values()
        ]
        return api_pb2.ListContainersResponse(containers=items)

    async def ContainerStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        container = self.containers.get(request.container_id)
        if container is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such container")
        assert container is not None
        return api_pb2.ContainerStatusResponse(status=self._container_status(container))

    async def ExecSync(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.calls.append(f"ExecSync {' '.join(request.cmd)}")
        return api_pb2.ExecSyncResponse(exit_code=self.exec_codes.get(request.cmd[0], 0), stdout=b"out\n")

    async def Exec(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.execs.append(request)
        return api_pb2.ExecResponse(url=self.stream_url)

    async def GetContainerEvents(self, request: Any, context: Any) -> Any:  # noqa: N802
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self._subscribers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._subscribers.discard(queue)

    async def ImageStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        name = request.image.image
        found = self.images.get(name) or (name if name in self.images.values() else "")
        if not found:
            return api_pb2.ImageStatusResponse()
        return api_pb2.ImageStatusResponse(image=api_pb2.Image(id=found, repo_tags=[name], size=1000))

    async def PullImage(self, request: Any, context: Any) -> Any:  # noqa: N802
        name = request.image.image
        self.calls.append(f"PullImage {name}")
        if name not in self.pullable:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"{name}: not found")
        self.images[name] = f"sha256:{name}"
        return api_pb2.PullImageResponse(image_ref=self.images[name])

    async def ListImages(self, request: Any, context: Any) -> Any:  # noqa: N802
        images = [api_pb2.Image(id=i, repo_tags=[n], size=1000) for n, i in self.images.items()]
        return api_pb2.ListImagesResponse(images=images)


class FakeCri:
    """``async with FakeCri(socket) as runtime``."""

    def __init__(self, socket: Path, runtime: FakeRuntime | None = None) -> None:
        self._socket = socket
        self.runtime = runtime or FakeRuntime()
        self._server: Any = None

    async def __aenter__(self) -> FakeRuntime:
        self._server = grpc.aio.server()
        api_pb2_grpc.add_RuntimeServiceServicer_to_server(self.runtime, self._server)  # type: ignore[no-untyped-call]
        api_pb2_grpc.add_ImageServiceServicer_to_server(self.runtime, self._server)  # type: ignore[no-untyped-call]
        self._server.add_insecure_port(f"unix:{self._socket}")
        await self._server.start()
        return self.runtime

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(0)
