"""What a simulated container does, as its Pod's annotations and Simulations say. Pure.

``sim.tiphys.dev/<name>`` is for all containers of the Pod,
``<container>.sim.tiphys.dev/<name>`` for one of them and wins; what Simulations
say (``given``, under the same names) holds where the Pod says nothing. Names:

- ``start-seconds``: from the decision to start until the process runs
- ``run-seconds``: how long it then runs; ``forever`` for ever
- ``exit-code``: how it ends by itself; several, with commas, are used one after another, the last for ever
- ``ready-after-seconds``: when its readiness and startup probes begin to pass
- ``unready-after-seconds``: when its readiness probe begins to fail again
- ``unhealthy-after-seconds``: when its liveness probe begins to fail
- ``stop-seconds``: how long it takes to end after TERM; more than its grace, and it is killed
- ``fail``: ``image`` (cannot be pulled), ``create``, ``start`` or ``oom``
  (ends by 137, OOMKilled, after ``run-seconds``)
- ``cpu``, ``memory``: quantities, what it uses while it runs
- ``log``: what it writes when it starts; with ``log-every-seconds`` again and again

A value that is not understood is as good as none: a test's typing error shows in ``problems``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tiphys.api import core_v1
from tiphys.kubelet import restart
from tiphys.kubelet.facts import ContainerKind
from tiphys.machinery import quantity
from tiphys.simulation.names import DOMAIN

NAMES = frozenset(
    {
        "start-seconds",
        "run-seconds",
        "exit-code",
        "ready-after-seconds",
        "unready-after-seconds",
        "unhealthy-after-seconds",
        "stop-seconds",
        "fail",
        "cpu",
        "memory",
        "log",
        "log-every-seconds",
    }
)
Fault = Literal["", "image", "create", "start", "oom"]
FAULTS: tuple[Fault, ...] = ("image", "create", "start", "oom")
FOREVER = float("inf")

START_SECONDS = 0.4
INIT_RUN_SECONDS = 1.0
#: Of Pods that are meant to end.
JOB_RUN_SECONDS = 5.0
STOP_SECONDS = 0.5
#: Of containers that request nothing; others use a tenth of the CPU and half of the memory that they request.
CPU_MILLI = 1
MEMORY_BYTES = 16 << 20
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One start of one container."""

    start_seconds: float = START_SECONDS
    run_seconds: float = FOREVER
    exit_code: int = 0
    ready_after_seconds: float = 0.0
    unready_after_seconds: float = FOREVER
    unhealthy_after_seconds: float = FOREVER
    stop_seconds: float = STOP_SECONDS
    fault: Fault = ""
    cpu_milli: int = 0
    memory_bytes: int = 0
    log: str = ""
    log_every_seconds: float = FOREVER


def behaviour(
    pod: core_v1.Pod,
    container: restart.AnyContainer,
    kind: ContainerKind,
    attempt: int,
    given: Mapping[str, str] = NOTHING,
) -> Behaviour:
    """What the container does when it is started for the ``attempt``-th time, counted from 0."""
    said = {**given, **_said(pod, container.name)}
    fault = said.get("fail", "")
    return Behaviour(
        start_seconds=_seconds(said.get("start-seconds"), START_SECONDS),
        run_seconds=_seconds(said.get("run-seconds"), _usual_run_seconds(pod, container, kind)),
        exit_code=_exit_code(said.get("exit-code", ""), attempt),
        ready_after_seconds=_seconds(said.get("ready-after-seconds"), 0.0),
        unready_after_seconds=_seconds(said.get("unready-after-seconds"), FOREVER),
        unhealthy_after_seconds=_seconds(said.get("unhealthy-after-seconds"), FOREVER),
        stop_seconds=_seconds(said.get("stop-seconds"), STOP_SECONDS),
        fault=next((known for known in FAULTS if known == fault), ""),
        cpu_milli=_amount(said.get("cpu"), quantity.milli) or _part(container, "cpu", 0.1, quantity.milli) or CPU_MILLI,
        memory_bytes=_amount(said.get("memory"), quantity.value)
        or _part(container, "memory", 0.5, quantity.value)
        or MEMORY_BYTES,
        log=said.get("log", f"simulated container {container.name} of {container.image} started"),
        log_every_seconds=_seconds(said.get("log-every-seconds"), FOREVER) or FOREVER,
    )


def slow_to_be_ready(pod: core_v1.Pod, name: str, given: Mapping[str, str] = NOTHING) -> bool:
    """Whether anything is said of the container's readiness."""
    said = {**given, **_said(pod, name)}
    return "ready-after-seconds" in said or "unready-after-seconds" in said


def problems(annotations: Mapping[str, str]) -> list[str]:
    """A sentence for each annotation of ours that says nothing."""
    found = []
    for key, text in sorted(annotations.items()):
        domain, _, name = key.partition("/")
        if domain != DOMAIN and not domain.endswith(f".{DOMAIN}"):
            continue
        if wrong := problem(name, text):
            found.append(f"{key}: {wrong}")
    return found


def problem(name: str, text: str) -> str:
    """Why ``text`` says nothing as ``name``; empty if it does."""
    if name not in NAMES:
        return f"there is no such annotation; known are {', '.join(sorted(NAMES))}"
    if name == "fail" and text not in FAULTS:
        return f"{text!r} is none of {', '.join(FAULTS)}"
    if name.endswith("-seconds") and _number(text) is None:
        return f"{text!r} is not a number of seconds"
    if name == "exit-code" and not all(part.strip().isdigit() for part in text.split(",")):
        return f"{text!r} is not an exit code"
    if name in ("cpu", "memory") and _amount(text, quantity.milli) is None:
        return f"{text!r} is not a quantity"
    return ""


def _said(pod: core_v1.Pod, container: str) -> dict[str, str]:
    annotations = pod.metadata.annotations
    own = f"{container}.{DOMAIN}/"
    of_all = {k.removeprefix(f"{DOMAIN}/"): text for k, text in annotations.items() if k.startswith(f"{DOMAIN}/")}
    return of_all | {k.removeprefix(own): text for k, text in annotations.items() if k.startswith(own)}


def _usual_run_seconds(pod: core_v1.Pod, container: restart.AnyContainer, kind: ContainerKind) -> float:
    if kind == "init":
        return FOREVER if restart.is_sidecar(container) else INIT_RUN_SECONDS
    if kind == "ephemeral":
        return FOREVER
    return FOREVER if (pod.spec.restartPolicy or "Always") == "Always" else JOB_RUN_SECONDS


def _amount(text: str | None, read: Callable[[str], int]) -> int | None:
    try:
        return read(text) if text is not None else None
    except ValueError:
        return None


def _part(container: restart.AnyContainer, resource: str, part: float, read: Callable[[str], int]) -> int:
    """Of what the container requests."""
    requests = container.resources.requests if container.resources is not None else None
    return int((_amount((requests or {}).get(resource), read) or 0) * part)


def _number(text: str) -> float | None:
    if text == "forever":
        return FOREVER
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number >= 0 else None


def _seconds(text: str | None, usual: float) -> float:
    number = None if text is None else _number(text)
    return usual if number is None else number


def _exit_code(text: str, attempt: int) -> int:
    codes = [int(part) for part in text.split(",") if part.strip().isdigit()]
    return codes[min(attempt, len(codes) - 1)] if codes else 0
