"""Volumes of a Pod or of a Pod template."""

from collections.abc import Callable, Iterator
from typing import Any

from tiphys.cli.describe.parts import NONE, UNSET, Dict
from tiphys.cli.describe.writer import Writer

Lines = Iterator[tuple[Any, ...]]


def volumes(w: Writer, found: list[Dict] | None, template: bool) -> None:
    space, indent = ("  ", " ") if template else ("", "")
    if not found:
        w.line(0, f"{space}Volumes:", NONE)
        return
    w.line(0, f"{space}Volumes:")
    for volume in found:
        w.line(1, f"{indent}{volume['name']}:")
        known = next((kind for kind in volume if kind in _KINDS), None)
        if known is None:
            w.line(2, UNKNOWN)
            continue
        text, lines = _KINDS[known]
        w.line(2, "Type:", text)
        for cells in lines(volume[known] or {}):
            w.line(2, *cells)


UNKNOWN = "<unknown>"


def _host_path(source: Dict) -> Lines:
    yield "Path:", source.get("path", "")
    yield "HostPathType:", source.get("type", "") or ""


def _empty_dir(source: Dict) -> Lines:
    yield "Medium:", source.get("medium", "")
    yield "SizeLimit:", source.get("sizeLimit") or UNSET


def _secret(source: Dict) -> Lines:
    yield "SecretName:", source.get("secretName", "")
    yield "Optional:", _bool(source.get("optional"))


def _config_map(source: Dict) -> Lines:
    yield "Name:", source.get("name", "")
    yield "Optional:", _bool(source.get("optional"))


def _claim(source: Dict) -> Lines:
    yield "ClaimName:", source.get("claimName", "")
    yield "ReadOnly:", _bool(source.get("readOnly"))


def _downward(source: Dict) -> Lines:
    yield ("Items:",)
    for item in source.get("items") or ():
        ref = item.get("fieldRef") or {}
        wanted = ref.get("fieldPath") or (item.get("resourceFieldRef") or {}).get("resource", "")
        yield (f"  {wanted} -> {item.get('path', '')}",)


def _projected(source: Dict) -> Lines:
    for part in source.get("sources") or ():
        if secret := part.get("secret"):
            yield "SecretName:", secret.get("name", "")
            yield "SecretOptionalName:", _or_nil(secret.get("optional"))
        elif part.get("downwardAPI"):
            yield "DownwardAPI:", "true"
        elif config := part.get("configMap"):
            yield "ConfigMapName:", config.get("name", "")
            yield "Optional:", _bool(config.get("optional"))
        elif token := part.get("serviceAccountToken"):
            yield "TokenExpirationSeconds:", token.get("expirationSeconds", 3600)


def _bool(value: Any) -> str:
    return str(bool(value)).lower()


def _or_nil(value: Any) -> str:
    return "<nil>" if value is None else _bool(value)


_KINDS: dict[str, tuple[str, Callable[[Dict], Lines]]] = {
    "hostPath": ("HostPath (bare host directory volume)", _host_path),
    "emptyDir": ("EmptyDir (a temporary directory that shares a pod's lifetime)", _empty_dir),
    "secret": ("Secret (a volume populated by a Secret)", _secret),
    "configMap": ("ConfigMap (a volume populated by a ConfigMap)", _config_map),
    "persistentVolumeClaim": (
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        _claim,
    ),
    "downwardAPI": ("DownwardAPI (a volume populated by information about the pod)", _downward),
    "projected": ("Projected (a volume that contains injected data from multiple sources)", _projected),
}
