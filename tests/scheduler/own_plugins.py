"""Plugins as a user writes them: plain functions, named in a configuration as ``tests.scheduler.own_plugins:name``."""

from tiphys.api import core_v1
from tiphys.scheduler.hooks import Wait
from tiphys.scheduler.waiting import Waiting

NAME = "tests.scheduler.own_plugins:"
#: What was called, for tests to look at and clear.
calls: list[str] = []
waiting_of: list[Waiting] = []


def note(pod: core_v1.Pod, node: core_v1.Node) -> str | None:
    if pod.metadata.annotations.get("raise-reserve"):
        raise RuntimeError("out of cheese")
    calls.append(f"reserve {pod.metadata.name} {node.metadata.name}")
    return pod.metadata.annotations.get("refuse-reserve")


def _undo(pod: core_v1.Pod, node: core_v1.Node) -> None:
    calls.append(f"unreserve {pod.metadata.name} {node.metadata.name}")


note.unreserve = _undo  # type: ignore[attr-defined]


def ask(pod: core_v1.Pod, node: core_v1.Node, waiting: Waiting) -> str | Wait | None:
    waiting_of[:] = [waiting]
    notes = pod.metadata.annotations
    if seconds := notes.get("wait"):
        return Wait(float(seconds))
    return notes.get("refuse-permit")


def choosy(pod: core_v1.Pod, node: core_v1.Node) -> str | None:
    if pod.metadata.annotations.get("raise-filter"):
        raise RuntimeError("out of cheese")
    return None


async def prepare(pod: core_v1.Pod, node: core_v1.Node) -> None:
    calls.append(f"preBind {pod.metadata.name}")
    if fault := pod.metadata.annotations.get("fail-prebind"):
        raise RuntimeError(fault)


def finished(pod: core_v1.Pod, node: core_v1.Node) -> None:
    calls.append(f"postBind {pod.metadata.name}")
    if pod.metadata.annotations.get("raise-postbind"):
        raise RuntimeError("out of cheese")
