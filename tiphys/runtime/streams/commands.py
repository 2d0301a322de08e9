"""Exec and attach: a client's channels on one side, a program's pipes or terminal on the other."""

import asyncio
import os
from collections.abc import Sequence

from tiphys.runtime.containers import Command, Containers
from tiphys.runtime.errors import RuntimeFault
from tiphys.runtime.records import Container
from tiphys.runtime.spawning import SpawnError
from tiphys.runtime.streams import descriptors
from tiphys.runtime.streams.sessions import Session, Wanted
from tiphys.wire import channels

#: How long children of an ended command may go on writing to its output before they are cut off.
OUTPUT_SECONDS = 1.0


async def execute(
    session: Session, containers: Containers, container: Container, command: Sequence[str], wanted: Wanted
) -> None:
    """Run a command for a client; when the client goes, the command goes."""
    try:
        running = await containers.execute(container, command, terminal=wanted.tty, stdin=wanted.stdin)
    except (RuntimeFault, ConnectionError) as fault:
        await session.finish(channels.internal_error(f"error executing command in container: {fault}"))
        return
    code = None
    try:
        code = await _converse(session, running, wanted)
    finally:
        for descriptor in set(running.descriptors):
            descriptors.close(descriptor)
        if code is None:
            # Cancelled on the way: nothing of the command may stay.
            await asyncio.shield(_end(running))
        await running.forget()
    await session.finish(channels.exit_status(code))


async def _end(running: Command) -> None:
    await running.kill()
    await running.wait()


async def _converse(session: Session, running: Command, wanted: Wanted) -> int:
    """Carry everything both ways until the command has ended; its exit code."""
    for descriptor in running.descriptors:
        os.set_blocking(descriptor, False)
    if wanted.tty:
        (terminal,) = running.descriptors
        outputs = [(terminal, channels.STDOUT, wanted.stdout)]
        given = descriptors.Input(terminal) if wanted.stdin else None
    else:
        output, error, *inputs = running.descriptors
        outputs = [(output, channels.STDOUT, wanted.stdout), (error, channels.STDERR, wanted.stderr)]
        given = descriptors.Input(inputs[0]) if inputs else None
    async with asyncio.TaskGroup() as group:
        copies = [group.create_task(_copy(session, *each)) for each in outputs]
        helpers = [group.create_task(_feed(running, given, wanted.tty))] if given is not None else []
        hearing = group.create_task(_hear(session, given, running.descriptors[0] if wanted.tty else None))
        ended = group.create_task(running.wait())
        await asyncio.wait({hearing, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            await running.kill()
        code = await ended
        await asyncio.wait(copies, timeout=OUTPUT_SECONDS)
        for task in (hearing, *helpers, *copies):
            task.cancel()
    return code


async def _feed(running: Command, given: descriptors.Input, tty: bool) -> None:
    """Input until its end, which a pipe passes on by being closed and a terminal not at all."""
    await given.run()
    if not tty:
        descriptors.close(running.descriptors.pop())


async def _copy(session: Session, descriptor: int, channel: int, wanted: bool) -> None:
    """Output nobody wants is read as well: the program must not wait for it."""
    while data := await descriptors.read(descriptor):
        if wanted:
            try:
                await session.send(channel, data)
            except ConnectionError:
                return


async def _hear(session: Session, given: descriptors.Input | None, terminal: int | None) -> None:
    """Take what the client says, until it has gone."""
    sizes = channels.Sizes()
    while (frames := await session.receive()) is not None:
        for frame in frames:
            if frame.channel == channels.STDIN and given is not None:
                await (given.end() if frame.close else given.put(frame.data))
            elif frame.channel == channels.RESIZE and terminal is not None and not frame.close:
                try:
                    for size in sizes.receive(frame.data):
                        descriptors.resize(terminal, size)
                except channels.ChannelError:
                    return


async def attach(session: Session, containers: Containers, container: Container, wanted: Wanted) -> None:
    """Join a running container's streams; the container does not end with the client."""
    try:
        outputs = await _listen(containers, container)
        try:
            status = await _attached(session, containers, container, wanted, outputs)
        finally:
            for descriptor in outputs:
                descriptors.close(descriptor)
    except (SpawnError, ConnectionError) as error:
        status = channels.internal_error(f"error attaching to container: {error}")
    await session.finish(status)


async def _listen(containers: Containers, container: Container) -> list[int]:
    """Reading ends of pipes to which the spawner copies standard output and error from now on."""
    pipes = [os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)]
    try:
        await containers.listen(container, [write for _, write in pipes])
    except BaseException:
        for read, _ in pipes:
            descriptors.close(read)
        raise
    finally:
        for _, write in pipes:
            descriptors.close(write)
    for read, _ in pipes:
        os.set_blocking(read, False)
    return [read for read, _ in pipes]


async def _attached(
    session: Session, containers: Containers, container: Container, wanted: Wanted, outputs: Sequence[int]
) -> bytes:
    config = container.message()
    is_terminal, handed = await containers.input(container)
    terminal = handed[0] if handed and is_terminal else None
    given = descriptors.Input(handed[0]) if handed and wanted.stdin else None
    stays = config.stdin_once and not config.tty
    try:
        async with asyncio.TaskGroup() as group:
            copies = [
                group.create_task(_copy(session, outputs[0], channels.STDOUT, wanted.stdout)),
                group.create_task(_copy(session, outputs[1], channels.STDERR, wanted.stderr)),
            ]
            hearing = group.create_task(_hear(session, given, terminal))
            feeding = group.create_task(given.run()) if given is not None else None
            everything = group.create_task(asyncio.wait(copies), name="outputs")
            waited = {hearing, everything} | ({feeding} if feeding is not None else set())
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if feeding is not None and feeding.done() and stays and not everything.done():
                # The only input there will be has ended: the program is told, and its output goes on.
                descriptors.close(handed.pop())
                await containers.close_input(container)
                await asyncio.wait({hearing, everything}, return_when=asyncio.FIRST_COMPLETED)
            elif given is not None and stays and not everything.done():
                await containers.close_input(container)
            for task in (hearing, everything, *copies, *([feeding] if feeding is not None else [])):
                task.cancel()
    finally:
        for descriptor in handed:
            descriptors.close(descriptor)
    return channels.success()
