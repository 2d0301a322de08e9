"""When a container may be started again after it has failed, and what is shown of it meanwhile. Pure.

Two back-offs: of containers that end, by container, and of images that cannot
be pulled, by image. Anything else is tried again after ten seconds, as the
kubelet of Kubernetes does with a Pod whose sync has failed.
"""

from dataclasses import dataclass, field

from tiphys.kubelet import restart
from tiphys.kubelet.backoff import IMAGE_SECONDS_MAX, IMAGE_SECONDS_MIN, Backoff
from tiphys.kubelet.facts import ContainerFact
from tiphys.kubelet.protocol import Emit, Instruction
from tiphys.machinery import times
from tiphys.machinery.goformat import quote

RETRY_SECONDS = 10.0
#: How soon a failed pull is shown as backing off.
PULL_SHOWN_SECONDS = 1.0
PULL_ERRORS = frozenset({"ErrImagePull", "RegistryUnavailable", "SignatureValidationFailed", "ImageInspectError"})

#: Reason and message.
Why = tuple[str, str]


@dataclass(slots=True)
class Attempts:
    """Of one Pod. Times are seconds since the epoch."""

    #: Container name to why it waits.
    waiting: dict[str, Why] = field(default_factory=dict)
    _crashes: Backoff = field(default_factory=Backoff)
    _pulls: Backoff = field(default_factory=lambda: Backoff(IMAGE_SECONDS_MIN, IMAGE_SECONDS_MAX))
    #: Container name and what it was made from, to the instant of the next attempt.
    _retry_at: dict[str, float] = field(default_factory=dict)
    #: The same, to when a failed pull is shown as backing off, and the pull's error.
    _pull_failed: dict[str, tuple[float, str]] = field(default_factory=dict)
    #: Containers whose back-off has been told, with their restart count.
    _told: set[tuple[str, int]] = field(default_factory=set)

    def wait_until(
        self,
        container: restart.AnyContainer,
        last: ContainerFact | None,
        pod_text: str,
        now: float,
        out: list[Instruction],
    ) -> float | None:
        """When to look again; None if the container may be started now. ``last`` is its newest that has ended."""
        key = _key(container)
        if (shown := self._pull_failed.get(key)) is not None:
            if now < shown[0]:
                return shown[0]
            self._show_pull(container, shown[1], out)
        retry_at = self._retry_at.get(key, 0.0)
        if now < retry_at:
            return retry_at
        if last is not None:
            again = self._after_crash(container, last, pod_text, now, out)
            if again is not None:
                return again
        self._retry_at.pop(key, None)
        self._pull_failed.pop(key, None)
        return None

    def succeeded(self, name: str) -> None:
        self.waiting.pop(name, None)

    def failed(self, container: restart.AnyContainer, why: Why, has_ended: bool, now: float) -> None:
        """``has_ended``: it was made and died at once, which is a crash, with a back-off of its own."""
        self.waiting[container.name] = why
        key = _key(container)
        if why[0] in PULL_ERRORS:
            image = container.image or ""
            self._pulls.next(image, now, now)
            self._retry_at[key] = now + self._pulls.seconds(image)
            self._pull_failed[key] = (now + PULL_SHOWN_SECONDS, f"{why[0]}: {why[1]}")
        elif not has_ended:
            self._retry_at[key] = now + RETRY_SECONDS

    def retry_configuration(self) -> None:
        """What was missing may be there: containers that could not be configured are tried at once."""
        for name, (reason, _) in self.waiting.items():
            if reason == "CreateContainerConfigError":
                for key in [k for k in self._retry_at if k.startswith(f"{name}/")]:
                    del self._retry_at[key]

    def _after_crash(
        self, container: restart.AnyContainer, last: ContainerFact, pod_text: str, now: float, out: list[Instruction]
    ) -> float | None:
        key, name = _key(container), container.name
        ended = last.finished_at / 1e9 or now
        left = self._crashes.remaining(key, ended, now)
        if left <= 0:
            self._crashes.next(key, ended, now)
            return None
        wait = times.format_duration(self._crashes.seconds(key))
        text = f"back-off {wait} restarting failed container={name} pod={pod_text}"
        self.waiting[name] = ("CrashLoopBackOff", text)
        if (name, last.attempt) not in self._told:
            self._told.add((name, last.attempt))
            text = f"Back-off restarting failed container {name} in pod {pod_text}"
            out.append(Emit("Warning", "BackOff", text, name))
        return now + left

    def _show_pull(self, container: restart.AnyContainer, error: str, out: list[Instruction]) -> None:
        if self.waiting.get(container.name, ("", ""))[0] == "ImagePullBackOff":
            return
        back = f"Back-off pulling image {quote(container.image or '')}"
        self.waiting[container.name] = ("ImagePullBackOff", f"{back}: {error}")
        out.append(Emit("Normal", "BackOff", back, container.name))
        out.append(Emit("Warning", "Failed", "Error: ImagePullBackOff", container.name))


def _key(container: restart.AnyContainer) -> str:
    """Another image is another matter: it has not failed yet."""
    return f"{container.name}/{restart.spec_hash(container)}"
