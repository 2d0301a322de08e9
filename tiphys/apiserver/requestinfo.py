"""From a request's method and path to what it asks for.

Source: apiserver's RequestInfoFactory, by behaviour; Kubernetes docs,
"Kubernetes API Concepts", "Resource URIs" and "HTTP media types".
"""

from collections.abc import Mapping, Sequence

from tiphys.apiserver.seams import Attributes
from tiphys.wire.exchange import Request

VERBS: Mapping[str, str] = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
# Below /namespaces/<name>/ these are subresources of the Namespace, not resources in it.
NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


def first(query: Mapping[str, Sequence[str]], name: str) -> str:
    """The first value of a query parameter, or an empty string."""
    values = query.get(name)
    return values[0] if values else ""


def flag(query: Mapping[str, Sequence[str]], name: str) -> bool:
    """Whether a boolean parameter is on; ``?watch`` alone and any word but a "no" switch it on."""
    values = query.get(name)
    return values is not None and len(values) > 0 and values[0].lower() not in ("false", "0")


def attributes_of(request: Request) -> Attributes:
    """What ``request`` asks for; its user is filled in later."""
    path = request.path
    method = request.method
    parts = path.strip("/").split("/")
    root = parts[0]
    if root == "api" and len(parts) >= 3:
        found = Attributes(VERBS.get(method, ""), path, is_resource_request=True, version=parts[1])
        rest = parts[2:]
    elif root == "apis" and len(parts) >= 4:
        found = Attributes(VERBS.get(method, ""), path, is_resource_request=True, group=parts[1], version=parts[2])
        rest = parts[3:]
    else:
        return Attributes(method.lower(), path)
    if rest[0] == "watch" and len(rest) > 1:
        found.verb = "watch"
        rest = rest[1:]
    _place(found, rest)
    query = request.query
    if query:
        found.query = query
        found.dry_run = "dryRun" in query
    if not found.name or found.verb == "watch":
        _collection_verb(found, query)
    return found


def _place(found: Attributes, rest: list[str]) -> None:
    """Read namespace, resource, name and subresource off the rest of the path."""
    if rest[0] == "namespaces" and len(rest) > 1:
        found.namespace = rest[1]
        if len(rest) > 2 and rest[2] not in NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    found.resource = rest[0]
    if len(rest) > 1:
        found.name = rest[1]
    if len(rest) > 2:
        found.subresource = rest[2]


def _collection_verb(found: Attributes, query: Mapping[str, Sequence[str]]) -> None:
    if found.verb == "get":
        found.verb = "watch" if query and flag(query, "watch") else "list"
    elif found.verb == "delete":
        found.verb = "deletecollection"
    if query and found.verb in ("list", "watch", "deletecollection"):
        found.field_selector = first(query, "fieldSelector")
        found.label_selector = first(query, "labelSelector")
        # A selector that names one object makes that name count for authorization.
        if not found.name and found.field_selector.startswith("metadata.name="):
            name = found.field_selector.removeprefix("metadata.name=").lstrip("=")
            found.name = name if "," not in name else ""
