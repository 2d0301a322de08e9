"""Who the API server is to webhooks: users of a kubeconfig file, by the names of the servers that they are for.

Source: Kubernetes docs, "Dynamic Admission Control", "Authenticate API servers".
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tiphys.apiserver.remote import Target

KIND: Final = "WebhookAdmissionConfiguration"
HTTPS: Final = ":443"
NOBODY: Final = Target("")


class Credentials:
    """What to show to which server; nothing without a file."""

    def __init__(self, users: Mapping[str, Target] | None = None) -> None:
        self._users = users or {}

    @classmethod
    def configured(cls, configuration: Any) -> "Credentials":
        """From a plugin's part of the admission configuration. Raises ValueError."""
        if not configuration:
            return cls()
        if configuration.get("kind") != KIND:
            raise ValueError(f"unsupported webhook configuration: {KIND} is expected")
        path = configuration.get("kubeConfigFile") or ""
        if not path:
            return cls()
        if not Path(path).is_absolute():
            raise ValueError(f'kubeConfigFile must be an absolute file path: "{path}"')
        return cls(_users_of(Path(path)))

    def of(self, host: str, port: int) -> Target:
        """The user for a server: by name and port, by ``*.`` and the rest of its name, without port 443, by ``*``."""
        if not self._users:
            return NOBODY
        return next((self._users[name] for name in _names(f"{host}:{port}") if name in self._users), NOBODY)


def _names(target: str) -> Iterator[str]:
    for name in (target, target.removesuffix(HTTPS)) if target.endswith(HTTPS) else (target,):
        yield name
        steps = name.split(".")
        yield from ("*." + ".".join(steps[index:]) for index in range(1, len(steps)))
    yield "*"


def _users_of(path: Path) -> dict[str, Target]:
    """Raises ValueError."""
    try:
        found = yaml.load(path.read_bytes(), yaml.CSafeLoader)
        return {one["name"]: _target(one.get("user") or {}, path.parent) for one in found.get("users") or ()}
    except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError, binascii.Error) as problem:
        raise ValueError(f"{path}: {problem}") from problem


def _target(user: Mapping[str, Any], directory: Path) -> Target:
    def pem(key: str) -> bytes:
        if data := user.get(f"{key}-data"):
            return base64.b64decode(data, validate=True)
        return (directory / user[key]).read_bytes() if user.get(key) else b""

    token_file = user.get("tokenFile") or ""
    return Target(
        "",
        certificate=pem("client-certificate"),
        key=pem("client-key"),
        token=user.get("token") or "",
        token_file=str(directory / token_file) if token_file else "",
        username=user.get("username") or "",
        password=user.get("password") or "",
    )
