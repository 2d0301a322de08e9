"""Image references: what users write, and the full form in which images are known.

Source: the distribution project's reference grammar, by behaviour.
"""

import re
from typing import NamedTuple

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_REGISTRY = re.compile(r"(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"\w[\w.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class InvalidReference(ValueError):
    """The text is no image reference."""


class Reference(NamedTuple):
    """``registry/repository``, with a tag or a digest or both."""

    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def parse(text: str) -> Reference:
    """The full reference: ``busybox`` is ``docker.io/library/busybox:latest``. Raises InvalidReference."""
    rest, _, digest = text.partition("@")
    if digest and not _DIGEST.fullmatch(digest):
        raise InvalidReference(f'invalid digest in image reference "{text}"')
    head, slash, tail = rest.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost" or head != head.lower()):
        registry, path = head, tail
    else:
        registry, path = DEFAULT_REGISTRY, rest
    path, colon, tag = path.rpartition(":") if ":" in path else (path, "", "")
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = f"library/{path}"
    if not _REGISTRY.fullmatch(registry) or not _NAME.fullmatch(path) or (colon and not _TAG.fullmatch(tag)):
        raise InvalidReference(f'couldn\'t parse image name "{text}": invalid reference format')
    if not tag and not digest:
        tag = DEFAULT_TAG
    return Reference(registry, path, tag, digest)
