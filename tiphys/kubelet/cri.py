"""The CRI runtime over its unix socket: what the kubelet asks of it, in plain values where the answers are small.

Only this module and ``containers`` know CRI messages. A call that fails raises ``RuntimeFault``; while the runtime
restarts, calls wait for it, except ``status``, which says that it is away.
"""

import dataclasses
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import grpc
import grpc.aio

from tiphys.kubelet import labels
from tiphys.kubelet.facts import ContainerFact, ContainerStateName, PodFact, SandboxFact
from tiphys.runtime.cri import api_pb2, api_pb2_grpc

T = TypeVar("T")

#: Calls that do not wait for a container; as Kubernetes' --runtime-request-timeout.
CALL_SECONDS = 120.0
#: Larger than any list of a node's containers; gRPC's own limit is 4 MiB.
MESSAGE_BYTES = 16 << 20

_STATES: dict[int, ContainerStateName] = {
    api_pb2.CONTAINER_CREATED: "created",
    api_pb2.CONTAINER_RUNNING: "running",
    api_pb2.CONTAINER_EXITED: "exited",
    api_pb2.CONTAINER_UNKNOWN: "unknown",
}


class RuntimeFault(Exception):
    """The runtime refused or could not be reached. ``code`` is gRPC's, ``str()`` the text for people."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"rpc error: code = {code.value[1].title().replace(' ', '')} desc = {details}")
        self.code = code
        self.details = details

    @property
    def not_found(self) -> bool:
        return self.code is grpc.StatusCode.NOT_FOUND

    @property
    def unavailable(self) -> bool:
        return self.code is grpc.StatusCode.UNAVAILABLE


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise RuntimeFault(error.code(), error.details() or "") from error


class CriClient:
    """One channel to one runtime; an ``async with``."""

    def __init__(self, socket: Path) -> None:
        self._target = f"unix:{socket}"
        self._channel: grpc.aio.Channel | None = None
        self._runtime: Any = None
        self._images: Any = None

    async def __aenter__(self) -> "CriClient":
        self._channel = grpc.aio.insecure_channel(
            self._target,
            options=[
                ("grpc.max_receive_message_length", MESSAGE_BYTES),
                # A proxy for HTTP must not come between us and a local socket.
                ("grpc.enable_http_proxy", 0),
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.max_reconnect_backoff_ms", 1000),
            ],
        )
        self._runtime = api_pb2_grpc.RuntimeServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._images = api_pb2_grpc.ImageServiceStub(self._channel)  # type: ignore[no-untyped-call]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._channel is not None:
            await self._channel.close(None)

    # The node

    async def version(self) -> api_pb2.VersionResponse:
        request = api_pb2.VersionRequest(version="v1")
        return await _answer(self._runtime.Version(request, timeout=CALL_SECONDS, wait_for_ready=True))

    async def status(self) -> api_pb2.StatusResponse:
        return await _answer(self._runtime.Status(api_pb2.StatusRequest(), timeout=10.0))

    async def update_pod_cidr(self, pod_cidr: str) -> None:
        config = api_pb2.RuntimeConfig(network_config=api_pb2.NetworkConfig(pod_cidr=pod_cidr))
        request = api_pb2.UpdateRuntimeConfigRequest(runtime_config=config)
        await _answer(self._runtime.UpdateRuntimeConfig(request, timeout=CALL_SECONDS, wait_for_ready=True))

    # Sandboxes

    async def run_sandbox(self, config: api_pb2.PodSandboxConfig, runtime_handler: str = "") -> str:
        request = api_pb2.RunPodSandboxRequest(config=config, runtime_handler=runtime_handler)
        answer = await _answer(self._runtime.RunPodSandbox(request, timeout=2 * CALL_SECONDS, wait_for_ready=True))
        return str(answer.pod_sandbox_id)

    async def sandbox(self, sandbox_id: str) -> SandboxFact:
        request = api_pb2.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id)
        answer = await _answer(self._runtime.PodSandboxStatus(request, timeout=CALL_SECONDS, wait_for_ready=True))
        return sandbox_fact(answer.status)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        request = api_pb2.StopPodSandboxRequest(pod_sandbox_id=sandbox_id)
        await _answer(self._runtime.StopPodSandbox(request, timeout=CALL_SECONDS, wait_for_ready=True))

    async def remove_sandbox(self, sandbox_id: str) -> None:
        request = api_pb2.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
        await _answer(self._runtime.RemovePodSandbox(request, timeout=CALL_SECONDS, wait_for_ready=True))

    async def update_sandbox(self, sandbox_id: str, resources: api_pb2.LinuxContainerResources) -> None:
        request = api_pb2.UpdatePodSandboxResourcesRequest(pod_sandbox_id=sandbox_id, resources=resources)
        await _answer(self._runtime.UpdatePodSandboxResources(request, timeout=CALL_SECONDS, wait_for_ready=True))

    async def list_sandboxes(self) -> list[api_pb2.PodSandbox]:
        answer = await _answer(
            self._runtime.ListPodSandbox(api_pb2.ListPodSandboxRequest(), timeout=CALL_SECONDS, wait_for_ready=True)
        )
        return list(answer.items)

    # Containers

    async def create_container(
        self, sandbox_id: str, config: api_pb2.ContainerConfig, sandbox: api_pb2.PodSandboxConfig
    ) -> str:
        request = api_pb2.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox)
        answer = await _answer(self._runtime.CreateContainer(request, timeout=CALL_SECONDS, wait_for_ready=True))
        return str(answer.container_id)

    async def start_container(self, container_id: str) -> None:
        request = api_pb2.StartContainerRequest(container_id=container_id)
        await _answer(self._runtime.StartContainer(request, timeout=CALL_SECONDS, wait_for_ready=True))

    async def stop_container(self, container_id: str, grace_seconds: int) -> None:
        request = api_pb2.StopContainerRequest(container_id=container_id, timeout=grace_seconds)
        await _answer(self._runtime.StopContainer(request, timeout=grace_seconds + CALL_SECONDS, wait_for_ready=True))

    async def update_container(self, container_id: str, resources: api_pb2.LinuxContainerResources) -> None:
        request = api_pb2.UpdateContainerResourcesRequest(container_id=container_id, linux=resources)
        await _answer(self._runtime.UpdateContainerResources(request, timeout=CALL_SECONDS, wait_for_ready=True))

    async def remove_container(self, container_id: str) -> None:
        request = api_pb2.RemoveContainerRequest(container_id=container_id)
        await _answer(self._runtime.RemoveContainer(request, timeout=CALL_SECONDS, wait_for_ready=True))

    async def list_containers(self) -> list[api_pb2.Container]:
        answer = await _answer(
            self._runtime.ListContainers(api_pb2.ListContainersRequest(), timeout=CALL_SECONDS, wait_for_ready=True)
        )
        return list(answer.containers)

    async def container_status(self, container_id: str) -> api_pb2.ContainerStatus:
        request = api_pb2.ContainerStatusRequest(container_id=container_id)
        answer = await _answer(self._runtime.ContainerStatus(request, timeout=CALL_SECONDS, wait_for_ready=True))
        status: api_pb2.ContainerStatus = answer.status
        return status

    async def exec_sync(self, container_id: str, command: list[str], timeout_seconds: int) -> tuple[int, bytes]:
        """Exit code, and standard output followed by standard error."""
        request = api_pb2.ExecSyncRequest(container_id=container_id, cmd=command, timeout=timeout_seconds)
        limit = timeout_seconds + CALL_SECONDS if timeout_seconds else None
        answer = await _answer(self._runtime.ExecSync(request, timeout=limit, wait_for_ready=True))
        return int(answer.exit_code), bytes(answer.stdout) + bytes(answer.stderr)

    async def exec_url(self, request: api_pb2.ExecRequest) -> str:
        return str((await _answer(self._runtime.Exec(request, timeout=CALL_SECONDS, wait_for_ready=True))).url)

    async def attach_url(self, request: api_pb2.AttachRequest) -> str:
        return str((await _answer(self._runtime.Attach(request, timeout=CALL_SECONDS, wait_for_ready=True))).url)

    async def port_forward_url(self, request: api_pb2.PortForwardRequest) -> str:
        return str((await _answer(self._runtime.PortForward(request, timeout=CALL_SECONDS, wait_for_ready=True))).url)

    async def reopen_log(self, container_id: str) -> None:
        request = api_pb2.ReopenContainerLogRequest(container_id=container_id)
        await _answer(self._runtime.ReopenContainerLog(request, timeout=CALL_SECONDS, wait_for_ready=True))

    async def events(self) -> AsyncIterator[api_pb2.ContainerEventResponse]:
        """Changes of containers and sandboxes, until the runtime ends the stream."""
        try:
            async for event in self._runtime.GetContainerEvents(api_pb2.GetEventsRequest(), wait_for_ready=True):
                yield event
        except grpc.aio.AioRpcError as error:
            raise RuntimeFault(error.code(), error.details() or "") from error

    # Images

    async def image(self, name: str) -> api_pb2.Image | None:
        """The image if the node has it."""
        request = api_pb2.ImageStatusRequest(image=api_pb2.ImageSpec(image=name))
        answer = await _answer(self._images.ImageStatus(request, timeout=CALL_SECONDS, wait_for_ready=True))
        return answer.image if answer.HasField("image") and answer.image.id else None

    async def pull(self, name: str, auth: api_pb2.AuthConfig | None, sandbox: api_pb2.PodSandboxConfig | None) -> str:
        request = api_pb2.PullImageRequest(image=api_pb2.ImageSpec(image=name), auth=auth, sandbox_config=sandbox)
        # No time-out: a large image takes as long as it takes, and who waits can cancel.
        return str((await _answer(self._images.PullImage(request, wait_for_ready=True))).image_ref)

    async def list_images(self) -> list[api_pb2.Image]:
        answer = await _answer(
            self._images.ListImages(api_pb2.ListImagesRequest(), timeout=CALL_SECONDS, wait_for_ready=True)
        )
        return list(answer.images)

    async def remove_image(self, image_id: str) -> None:
        request = api_pb2.RemoveImageRequest(image=api_pb2.ImageSpec(image=image_id))
        await _answer(self._images.RemoveImage(request, timeout=CALL_SECONDS, wait_for_ready=True))

    async def image_filesystems(self) -> list[api_pb2.FilesystemUsage]:
        answer = await _answer(
            self._images.ImageFsInfo(api_pb2.ImageFsInfoRequest(), timeout=CALL_SECONDS, wait_for_ready=True)
        )
        return list(answer.image_filesystems)

    async def container_stats(self) -> list[api_pb2.ContainerStats]:
        request = api_pb2.ListContainerStatsRequest()
        return list(
            (await _answer(self._runtime.ListContainerStats(request, timeout=CALL_SECONDS, wait_for_ready=True))).stats
        )

    async def sandbox_stats(self) -> list[api_pb2.PodSandboxStats]:
        request = api_pb2.ListPodSandboxStatsRequest()
        return list(
            (await _answer(self._runtime.ListPodSandboxStats(request, timeout=CALL_SECONDS, wait_for_ready=True))).stats
        )


def sandbox_fact(status: api_pb2.PodSandboxStatus) -> SandboxFact:
    network = status.network
    options = status.linux.namespaces.options
    host_network = options.network == api_pb2.NODE
    ips = () if host_network or not network.ip else (network.ip, *(p.ip for p in network.additional_ips))
    return SandboxFact(
        id=status.id,
        ready=status.state == api_pb2.SANDBOX_READY,
        attempt=status.metadata.attempt,
        created_at=status.created_at,
        ips=tuple(ips),
        host_network=host_network,
    )


def container_fact(status: api_pb2.ContainerStatus, sandbox_id: str) -> ContainerFact:
    annotations = status.annotations
    count = annotations.get(labels.RESTART_COUNT, "")
    linux = status.user.linux if status.HasField("user") and status.user.HasField("linux") else None
    return ContainerFact(
        id=status.id,
        name=status.labels.get(labels.CONTAINER_NAME, "") or status.metadata.name,
        sandbox_id=sandbox_id,
        state=_STATES[status.state],
        attempt=int(count) if count.isdigit() else status.metadata.attempt,
        created_at=status.created_at,
        started_at=status.started_at,
        finished_at=status.finished_at,
        exit_code=status.exit_code,
        reason=status.reason,
        message=status.message,
        image=status.image.user_specified_image or status.image.image,
        image_id=status.image_ref or status.image_id,
        hash=annotations.get(labels.HASH, ""),
        user=(linux.uid, linux.gid, tuple(linux.supplemental_groups)) if linux is not None else None,
    )


def pod_fact(sandbox: api_pb2.PodSandboxStatus, containers: list[ContainerFact]) -> PodFact:
    meta = sandbox.metadata
    return PodFact(meta.uid, meta.namespace, meta.name, (sandbox_fact(sandbox),), tuple(containers))


def with_message(fact: ContainerFact, message: str) -> ContainerFact:
    return dataclasses.replace(fact, message=message)
