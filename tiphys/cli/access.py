"""How a command reaches an API server: by the files of a cluster on this machine, or by a kubeconfig."""

import base64
import binascii
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.cli.cluster import Cluster
from tiphys.cli.errors import UserError


@dataclass(frozen=True, slots=True)
class Access:
    """An API server's address, and as whom to speak to it. ``ca``, ``cert`` and ``key`` are PEM."""

    server: str
    ca: bytes = b""
    cert: bytes = b""
    key: bytes = b""
    token: str = ""
    insecure: bool = False
    namespace: str = ""


def of_cluster(cluster: Cluster) -> Access:
    """As the administrator of a cluster of this machine."""
    config = cluster.load()
    try:
        ca, cert, key = ((cluster.pki / name).read_bytes() for name in ("ca.crt", "admin.crt", "admin.key"))
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}") from error
    return Access(f"https://127.0.0.1:{config.port}", ca, cert, key)


def kubeconfig_path(given: str | None) -> Path:
    """As given, else the first of ``$KUBECONFIG`` that is there, else ``~/.kube/config``."""
    if given:
        return Path(given).expanduser()
    listed = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return next((path for path in listed if path.exists()), listed[0] if listed else Path.home() / ".kube" / "config")


def of_kubeconfig(path: Path, context: str | None = None) -> Access:
    """The access of a context (by default the current one)."""
    config = _read(path)
    chosen = context or config.get("current-context") or ""
    if not chosen:
        raise UserError(f'{path} has no current context; choose one with --context, or start a cluster: "tiphys up"')
    names = _entry(config, "contexts", "context", chosen, path)
    cluster = _entry(config, "clusters", "cluster", names.get("cluster", ""), path)
    user = _entry(config, "users", "user", names["user"], path) if names.get("user") else {}
    if "exec" in user or "auth-provider" in user:
        raise UserError(
            f'user "{names["user"]}" of {path} logs in with a plugin, which tiphys does not run; use kubectl'
        )
    return Access(
        server=str(cluster.get("server", "")),
        ca=_data(cluster, "certificate-authority", path),
        cert=_data(user, "client-certificate", path),
        key=_data(user, "client-key", path),
        token=str(user.get("token") or "") or _text(path, user.get("tokenFile")),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        namespace=str(names.get("namespace") or ""),
    )


def choose(cluster: Cluster, named: bool, kubeconfig: str | None, context: str | None) -> Access:
    """A kubeconfig if one is asked for; else the cluster; else (unless it was ``named``) the usual kubeconfig."""
    if kubeconfig or context:
        return of_kubeconfig(kubeconfig_path(kubeconfig), context)
    try:
        here = cluster.exists
    except PermissionError:
        # Somebody else's cluster: its administrator may have given us a kubeconfig.
        here = False
    path = kubeconfig_path(None)
    return of_kubeconfig(path) if not here and not named and path.exists() else of_cluster(cluster)


def _read(path: Path) -> dict[str, Any]:
    # Only those who use a kubeconfig pay for the YAML reader.
    import yaml  # noqa: PLC0415

    try:
        found = yaml.load(path.read_bytes(), yaml.CSafeLoader)
    except OSError as error:
        raise UserError(f"kubeconfig {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise UserError(f"kubeconfig {path} is not YAML: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} is not a kubeconfig")
    return found


def _entry(config: dict[str, Any], plural: str, kind: str, name: str, path: Path) -> dict[str, Any]:
    for entry in config.get(plural) or ():
        if isinstance(entry, dict) and entry.get("name") == name:
            found = entry.get(kind) or {}
            return found if isinstance(found, dict) else {}
    raise UserError(f'{kind} "{name}" does not exist in {path}')


def _data(entry: dict[str, Any], field: str, path: Path) -> bytes:
    """PEM that is embedded, or in a file beside the kubeconfig."""
    if embedded := entry.get(f"{field}-data"):
        try:
            return base64.b64decode(embedded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise UserError(f"{field}-data in {path} is not base64: {error}") from error
    return _text(path, entry.get(field)).encode()


def _text(path: Path, name: str | None) -> str:
    if not name:
        return ""
    try:
        return (path.parent / name).read_text().strip()
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}; {path} names it") from error
