"""A command whose output is collected: probes, hooks and ``crictl exec``."""

import asyncio
import os
from collections.abc import Sequence

from tiphys.runtime.containers import Command, Containers
from tiphys.runtime.errors import DeadlineExceeded
from tiphys.runtime.records import Container
from tiphys.runtime.streams import descriptors

#: Of both streams together: a kubelet takes answers of 16 MiB, and their frame needs a little.
OUTPUT_BYTES_MAX = 16 * 1024 * 1024 - 4096
#: How long children of an ended command may go on writing to its output before they are cut off.
OUTPUT_SECONDS = 1.0


async def exec_sync(
    containers: Containers, container: Container, command: Sequence[str], timeout: float
) -> tuple[int, bytes, bytes]:
    """Exit code, standard output, standard error. ``timeout`` in seconds, 0 for none; then the command's group ends.

    Raises RuntimeFault, DeadlineExceeded.
    """
    running = await containers.execute(container, command, terminal=False, stdin=False)
    try:
        return await _collect(running, command, timeout)
    finally:
        for descriptor in running.descriptors:
            descriptors.close(descriptor)
        await running.forget()


async def _collect(running: Command, command: Sequence[str], timeout: float) -> tuple[int, bytes, bytes]:
    outputs = [bytearray(), bytearray()]
    async with asyncio.TaskGroup() as group:
        readers = [
            group.create_task(_read(descriptor, output, outputs))
            for descriptor, output in zip(running.descriptors, outputs, strict=False)
        ]
        code = await _wait(running, timeout)
        if readers:
            await asyncio.wait(readers, timeout=OUTPUT_SECONDS)
        for reader in readers:
            reader.cancel()
    if code is None:
        text = f'command "{" ".join(command)}" timed out: timeout {timeout:g}s exceeded: context deadline exceeded'
        raise DeadlineExceeded(text)
    return code, bytes(outputs[0]), bytes(outputs[1])


async def _wait(running: Command, timeout: float) -> int | None:
    """The exit code, None if the time was up; either way the command has ended."""
    try:
        async with asyncio.timeout(timeout or None):
            return await running.wait()
    except TimeoutError:
        await _end(running)
        return None
    except asyncio.CancelledError:
        await asyncio.shield(_end(running))
        raise


async def _end(running: Command) -> None:
    await running.kill()
    await running.wait()


async def _read(descriptor: int, output: bytearray, outputs: Sequence[bytearray]) -> None:
    """What exceeds the limit is read and dropped: the command must not wait for it."""
    os.set_blocking(descriptor, False)
    while data := await descriptors.read(descriptor):
        output += data[: OUTPUT_BYTES_MAX - sum(map(len, outputs))]
