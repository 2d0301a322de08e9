"""What an aggregated server says about itself, in the form that our own documents need. Pure.

Whatever comes from there may be malformed; ``ValueError`` says so.
Source: KEP-3352 Aggregated Discovery; Kubernetes docs, "OpenAPI interface definition".
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tiphys.machinery import codec

DISCOVERY_FORMS: Final = ",".join(
    (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        "application/json",
    )
)
Entries = Sequence[Mapping[str, Any]]


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = codec.decode_builtins(body)
    except Exception as problem:
        raise ValueError(f"not JSON: {problem}") from problem
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _objects(found: Any) -> Iterable[dict[str, Any]]:
    """The objects of a list; nothing for anything else."""
    return (one for one in found if isinstance(one, dict)) if isinstance(found, list) else ()


def from_aggregated(body: bytes, group: str, version: str) -> Entries | None:
    """The resources of one version in an APIGroupDiscoveryList; None if it is not there. Raises ValueError."""
    for item in _objects(_object(body).get("items")):
        if isinstance(item.get("metadata"), dict) and item["metadata"].get("name") == group:
            for one in _objects(item.get("versions")):
                if one.get("version") == version:
                    return list(_objects(one.get("resources")))
    return None


def from_list(body: bytes, group: str, version: str) -> Entries:
    """The same from an APIResourceList. Raises ValueError."""
    listed = [one for one in _objects(_object(body).get("resources")) if isinstance(one.get("name"), str)]
    found: dict[str, dict[str, Any]] = {}
    for one in listed:
        if "/" not in one["name"]:
            found[one["name"]] = _resource(one, group, version)
    for one in listed:
        name, slash, sub = one["name"].partition("/")
        if slash and name in found:
            entry = {"subresource": sub, "responseKind": _kind(one, group, version), "verbs": one.get("verbs", [])}
            found[name].setdefault("subresources", []).append(entry)
    return list(found.values())


def _resource(one: Mapping[str, Any], group: str, version: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "resource": one["name"],
        "responseKind": _kind(one, group, version),
        "scope": "Namespaced" if one.get("namespaced") else "Cluster",
        "singularResource": one.get("singularName", ""),
        "verbs": one.get("verbs", []),
    }
    return entry | {key: one[key] for key in ("shortNames", "categories") if one.get(key)}


def _kind(one: Mapping[str, Any], group: str, version: str) -> dict[str, Any]:
    return {"group": one.get("group") or group, "version": one.get("version") or version, "kind": one.get("kind", "")}


def openapi_v3_address(body: bytes, path: str) -> str:
    """Where the index of OpenAPI v3 says that the document of ``path`` is; empty if it does not. Raises ValueError."""
    paths = _object(body).get("paths")
    found = paths.get(path) if isinstance(paths, dict) else None
    address = found.get("serverRelativeURL") if isinstance(found, dict) else None
    return address if isinstance(address, str) and address.startswith("/openapi/v3/") else ""


def openapi_v2_part(body: bytes, group: str, version: str) -> Mapping[str, Any]:
    """Paths of one version and all definitions that they lead to. Raises ValueError."""
    content = _object(body)
    root = f"/apis/{group}/{version}/"
    paths, definitions = content.get("paths"), content.get("definitions")
    if not isinstance(paths, dict) or not isinstance(definitions, dict):
        raise ValueError("no OpenAPI document")
    kept = {path: one for path, one in paths.items() if path.startswith(root)}
    used: dict[str, Any] = {}
    todo = list(_references(kept))
    for one in definitions:
        # Kinds of the version that no path mentions.
        kinds = definitions[one].get("x-kubernetes-group-version-kind") if isinstance(definitions[one], dict) else None
        if any(kind.get("group") == group and kind.get("version") == version for kind in _objects(kinds)):
            todo.append(one)
    while todo:
        name = todo.pop()
        if name not in used and name in definitions:
            used[name] = definitions[name]
            todo += _references(definitions[name])
    return {"paths": kept, "definitions": used}


def _references(value: Any) -> Iterable[str]:
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            reference = one.get("$ref")
            if isinstance(reference, str):
                yield reference.removeprefix("#/definitions/")
            todo += one.values()
        elif isinstance(one, list):
            todo += one
