"""A cluster's context in a user's kubeconfig: added, made current, and taken out again.

The file belongs to the user: entries of other clusters and fields that we do
not know stay as they are. It is replaced whole, readable by its owner only.
Certificates are embedded, so the context works wherever the file is copied to.
Source: Kubernetes docs, "Organizing Cluster Access Using kubeconfig Files".
"""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tiphys.apiserver import pki

ENTRY_LISTS = ("clusters", "users", "contexts")


class KubeconfigError(ValueError):
    """The file is there and is no kubeconfig."""


@dataclass(frozen=True, slots=True)
class Access:
    """How one cluster is reached, and as whom. All PEM."""

    server: str
    ca: bytes
    cert: bytes
    key: bytes
    namespace: str = ""

    @classmethod
    def of(cls, server: str, ca: Path, pair: pki.Pair, namespace: str = "") -> "Access":
        """The access that these files give."""
        return cls(server, ca.read_bytes(), pair.cert.read_bytes(), pair.key.read_bytes(), namespace)


def path(given: str | Path | None = None, environment: Mapping[str, str] | None = None) -> Path:
    """The file to write to: as given, else the first of ``$KUBECONFIG``, else ``~/.kube/config``."""
    if given:
        return Path(given).expanduser()
    listed = (os.environ if environment is None else environment).get("KUBECONFIG", "")
    first = next((part for part in listed.split(os.pathsep) if part), "")
    return Path(first) if first else Path.home() / ".kube" / "config"


def merge(target: Path, name: str, access: Access, *, select: bool = True) -> None:
    """Add (or replace) the cluster, user and context ``name`` and make it the current context.

    Raises KubeconfigError if the file cannot be understood, OSError if it cannot be written.
    """
    config = _read(target)
    cluster = {"server": access.server, "certificate-authority-data": _base64(access.ca)}
    user = {"client-certificate-data": _base64(access.cert), "client-key-data": _base64(access.key)}
    context = {"cluster": name, "user": name} | ({"namespace": access.namespace} if access.namespace else {})
    for kind, entry in (("cluster", cluster), ("user", user), ("context", context)):
        _put(config, f"{kind}s", name, kind, entry)
    if select:
        config["current-context"] = name
    _write(target, config)


def remove(target: Path, name: str) -> bool:
    """Take the cluster, user and context ``name`` out; False if nothing of it was there."""
    if not target.exists():
        return False
    config = _read(target)
    found = config.get("current-context") == name
    for kind in ENTRY_LISTS:
        entries = config[kind]
        kept = [entry for entry in entries if entry.get("name") != name]
        found = found or len(kept) != len(entries)
        config[kind] = kept
    if not found:
        return False
    if config.get("current-context") == name:
        config["current-context"] = ""
    _write(target, config)
    return True


def _put(config: dict[str, Any], plural: str, name: str, kind: str, fields: dict[str, Any]) -> None:
    entries = config[plural]
    for entry in entries:
        if entry.get("name") == name:
            entry[kind] = fields
            return
    entries.append({"name": name, kind: fields})


def _read(target: Path) -> dict[str, Any]:
    """The file's content with all lists there; an empty one where there is no file."""
    try:
        found = yaml.load(target.read_bytes(), yaml.CSafeLoader)
    except FileNotFoundError:
        found = None
    except yaml.YAMLError as problem:
        raise KubeconfigError(f"{target} is not YAML: {problem}") from problem
    if found is None:
        found = {"apiVersion": "v1", "kind": "Config", "preferences": {}}
    if not isinstance(found, dict):
        raise KubeconfigError(f"{target} is not a kubeconfig")
    for kind in ENTRY_LISTS:
        entries = found.get(kind) or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise KubeconfigError(f"{target} is not a kubeconfig: {kind} is not a list of entries")
        found[kind] = entries
    return found


def _write(target: Path, config: dict[str, Any]) -> None:
    # A link (as some people keep their configuration elsewhere) stays a link.
    real = target.resolve()
    real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text: str = yaml.dump(config, Dumper=yaml.CSafeDumper, default_flow_style=False, sort_keys=True)
    pki.write_atomically(real, text.encode())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
