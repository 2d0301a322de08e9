"""Images that containers need: present, pulled, or refused, and what is said of it in Events.

Source: Kubernetes docs, "Images"; messages by behaviour.
"""

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from tiphys.api import core_v1
from tiphys.base.clock import Clock
from tiphys.kubelet import containers, restart
from tiphys.kubelet.cri import CriClient, RuntimeFault
from tiphys.kubelet.environment import ConfigError
from tiphys.machinery import times
from tiphys.machinery.goformat import quote
from tiphys.runtime.cri import api_pb2

#: Type, reason, message.
Say = Callable[[str, str, str], None]


class ImageFault(Exception):
    """The container has no image: ``reason`` and the message of its waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Found:
    """An image on the node, and the user it brings: a number or a name."""

    ref: str
    uid: int | None = None
    user: str = ""


class Images:
    def __init__(self, cri: CriClient, clock: Clock) -> None:
        self._cri = cri
        self._clock = clock

    async def ensure(
        self,
        container: restart.AnyContainer,
        secrets: Iterable[core_v1.Secret],
        sandbox: api_pb2.PodSandboxConfig,
        say: Say,
    ) -> Found:
        """Raises ImageFault."""
        shown = quote(container.image or "")
        try:
            name = containers.default_tag(container.image or "")
        except ConfigError as error:
            say("Warning", "InspectFailed", str(error))
            raise ImageFault("InvalidImageName", str(error)) from error
        try:
            present = await self._cri.image(name)
        except RuntimeFault as fault:
            text = f"Failed to inspect image {shown}: {fault}"
            say("Warning", "InspectFailed", text)
            raise ImageFault("ImageInspectError", text) from fault
        policy = container.imagePullPolicy or ("Always" if name.endswith(":latest") else "IfNotPresent")
        if present is not None and policy != "Always":
            say(
                "Normal", "Pulled", f"Container image {shown} already present on machine and can be accessed by the pod"
            )
            return _found(present)
        if policy == "Never":
            text = f"Container image {shown} is not present with pull policy of Never"
            say("Warning", "ErrImageNeverPull", text)
            raise ImageFault("ErrImageNeverPull", text)
        return await self._pull(name, shown, list(secrets), sandbox, say)

    async def _pull(
        self,
        name: str,
        shown: str,
        secrets: list[core_v1.Secret],
        sandbox: api_pb2.PodSandboxConfig,
        say: Say,
    ) -> Found:
        say("Normal", "Pulling", f"Pulling image {shown}")
        start = self._clock.monotonic()
        fault: RuntimeFault | None = None
        for auth in credentials(name, secrets) or [None]:
            try:
                ref = await self._cri.pull(name, auth, sandbox)
                break
            except RuntimeFault as error:
                fault = error
        else:
            say("Warning", "Failed", f"Failed to pull image {shown}: {fault}")
            raise ImageFault("ErrImagePull", str(fault)) from fault
        took = times.format_duration(round(self._clock.monotonic() - start, 3))
        image = await self._cri.image(ref) or await self._cri.image(name)
        size = image.size if image is not None else 0
        say(
            "Normal",
            "Pulled",
            f"Successfully pulled image {shown} in {took} ({took} including waiting). Image size: {size} bytes.",
        )
        return _found(image) if image is not None else Found(ref)


def _found(image: api_pb2.Image) -> Found:
    uid = image.uid.value if image.HasField("uid") else None
    return Found(image.id, uid, image.username)


def credentials(image: str, secrets: Iterable[core_v1.Secret]) -> list[api_pb2.AuthConfig | None]:
    """What the Pod's pull secrets hold for this image's registry, the most specific first."""
    registry, path = split_registry(image)
    matches: list[tuple[int, api_pb2.AuthConfig]] = []
    for secret in secrets:
        for server, entry in _servers(secret).items():
            host, _, below = server.removeprefix("https://").removeprefix("http://").partition("/")
            below = below.removesuffix("/")
            if below in ("v1", "v2"):
                below = ""
            if host != registry and not (registry == "docker.io" and host.endswith("docker.io")):
                continue
            if below and not (path == below or path.startswith(f"{below}/")):
                continue
            matches.append((len(below), _auth(server, entry)))
    return [auth for _, auth in sorted(matches, key=lambda m: -m[0])]


def split_registry(image: str) -> tuple[str, str]:
    """Registry host and repository path of an image name."""
    head, slash, rest = image.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost"):
        return head, rest
    return "docker.io", image


def _servers(secret: core_v1.Secret) -> dict[str, Any]:
    data = secret.data or {}
    try:
        if ".dockerconfigjson" in data:
            return dict(msgspec.json.decode(data[".dockerconfigjson"]).get("auths") or {})
        if ".dockercfg" in data:
            return dict(msgspec.json.decode(data[".dockercfg"]))
    except (msgspec.DecodeError, AttributeError, TypeError):
        # A secret that is not what its type says grants nothing; the pull then fails and says so.
        return {}
    return {}


def _auth(server: str, entry: Any) -> api_pb2.AuthConfig:
    fields = entry if isinstance(entry, dict) else {}
    user, password = str(fields.get("username") or ""), str(fields.get("password") or "")
    if fields.get("auth") and not user:
        try:
            user, _, password = base64.b64decode(str(fields["auth"])).decode(errors="replace").partition(":")
        except (binascii.Error, ValueError):
            user, password = "", ""
    return api_pb2.AuthConfig(
        username=user,
        password=password,
        server_address=server,
        identity_token=str(fields.get("identitytoken") or ""),
        registry_token=str(fields.get("registrytoken") or ""),
    )
