"""What a check finds, and the words that all checks share."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

from tiphys.machinery.goformat import quote


class Finding(NamedTuple):
    """Why a Pod does not fulfil a check; both texts are Kubernetes'."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


class Subject(NamedTuple):
    """What is checked: a Pod or a Pod template."""

    metadata: Any
    spec: Any

    def containers(self) -> Iterator[Any]:
        spec = self.spec
        yield from spec.initContainers or ()
        yield from spec.containers
        yield from spec.ephemeralContainers or ()

    @property
    def is_windows(self) -> bool:
        return bool(self.spec.os is not None and self.spec.os.name == "windows")

    @property
    def has_own_users(self) -> bool:
        """Whether root inside is nobody outside."""
        return self.spec.hostUsers is False


Check = Callable[[Subject], Finding | None]


def plural(one: str, many: str, count: int) -> str:
    return one if count == 1 else many


def quoted(texts: Collection[str]) -> str:
    return ", ".join(quote(text) for text in texts)


def containers(names: Sequence[str]) -> str:
    """``container "a"`` or ``containers "a", "b"``."""
    return f"{plural('container', 'containers', len(names))} {quoted(names)}"


def setters(subject: Subject, is_bad: Callable[[Any], bool]) -> list[str]:
    """Who sets something bad in a security context: the Pod, its containers, both."""
    found: list[str] = []
    if subject.spec.securityContext is not None and is_bad(subject.spec.securityContext):
        found.append("pod")
    names = [
        one.name for one in subject.containers() if one.securityContext is not None and is_bad(one.securityContext)
    ]
    if names:
        found.append(containers(names))
    return found
