"""The runtime as a component: everything put together behind one unix socket."""

import asyncio
import os
from contextlib import AsyncExitStack

import grpc.aio

from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.runtime import facts
from tiphys.runtime.config import RuntimeConfig
from tiphys.runtime.containers import Containers
from tiphys.runtime.cri import api_pb2_grpc, images_pb2_grpc
from tiphys.runtime.images import host
from tiphys.runtime.images.store import ImageStore
from tiphys.runtime.interfaces import SandboxNetwork
from tiphys.runtime.linux import cgroups
from tiphys.runtime.sandboxes import Sandboxes
from tiphys.runtime.service import ImageService, RuntimeService
from tiphys.runtime.spawning import Message, Spawner
from tiphys.runtime.streaming import StreamingServer

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
GRACE_SECONDS = 1.0


class Runtime:
    """``async with``: entry returns once the CRI socket answers; containers stay when it is left."""

    def __init__(self, config: RuntimeConfig, network: SandboxNetwork, clock: Clock, ids: Ids) -> None:
        self._config = config
        self._network = network
        self._clock = clock
        self._ids = ids
        self._stack = AsyncExitStack()
        self._containers: Containers | None = None
        self.sandboxes: Sandboxes
        self.spawner: Spawner

    def _exited(self, event: Message) -> None:
        if self._containers is not None:
            self._containers.exited(event)

    async def __aenter__(self) -> "Runtime":
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _start(self) -> None:
        config = self._config
        config.data.mkdir(mode=0o711, parents=True, exist_ok=True)
        config.run.mkdir(mode=0o711, parents=True, exist_ok=True)
        images = ImageStore(config.data / "images")
        await asyncio.to_thread(host.ensure, images)
        groups = cgroups.of_this_host()
        self.spawner = await self._stack.enter_async_context(Spawner(config.spawner_socket, self._exited))
        self._stack.push_async_callback(self._network.close)
        self.sandboxes = Sandboxes(config, self.spawner, self._network, groups, self._clock, self._ids)
        node = facts.of_this_host(groups)
        containers = Containers(config, self.spawner, images, self.sandboxes, groups, node, self._clock, self._ids)
        streams = await self._stack.enter_async_context(StreamingServer(containers, self.sandboxes))
        service = RuntimeService(self.sandboxes, containers, self._network, streams, groups, self._clock)
        self._containers = containers
        self._stack.callback(containers.close)
        await self.sandboxes.adopt()
        await containers.adopt()
        image_service = ImageService(images, containers, self._clock, config.data)
        self._stack.push_async_callback(image_service.close)
        await self._listen(service, image_service)

    async def _listen(self, service: RuntimeService, images: ImageService) -> None:
        server = grpc.aio.server(
            options=[("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.so_reuseport", 0)]
        )
        api_pb2_grpc.add_RuntimeServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
        api_pb2_grpc.add_ImageServiceServicer_to_server(images, server)  # type: ignore[no-untyped-call]
        images_pb2_grpc.add_ImagesServicer_to_server(images, server)  # type: ignore[no-untyped-call]
        self._config.socket.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            server.add_insecure_port(f"unix:{self._config.socket}")
            await server.start()
        finally:
            os.umask(mask)

        async def stop() -> None:
            service.events.close()
            await server.stop(GRACE_SECONDS)

        self._stack.push_async_callback(stop)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def wait(self) -> None:
        """Return only by raising, when the spawner is gone."""
        await self.spawner.wait()

    async def purge(self) -> None:
        """End all containers and remove all sandboxes, with everything that was made for them."""
        assert self._containers is not None
        containers = self._containers
        async with asyncio.TaskGroup() as group:
            for container in containers.records:
                group.create_task(containers.remove(container))
        async with asyncio.TaskGroup() as group:
            for sandbox in self.sandboxes.records:
                group.create_task(self.sandboxes.remove(sandbox))
