"""Paths and operations of the served resources, in both dialects."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tiphys.apiserver.aggregation.catalog import Published
from tiphys.apiserver.openapi.schemas import PLACES, Dialect
from tiphys.resources.rules import Resource, Subresource

PATCHES: Final = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
FORMS: Final = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
STREAMED: Final = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
# Of custom resources nobody knows merge keys or field numbers.
CUSTOM_PATCHES: Final = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
CUSTOM_FORMS: Final = ("application/json", "application/yaml")
META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
#: Verb -> method, in the order in which methods are written.
METHODS: Final = {
    "get": "get",
    "list": "get",
    "update": "put",
    "create": "post",
    "delete": "delete",
    "deletecollection": "delete",
    "patch": "patch",
}
ACTIONS: Final = {"create": "post", "update": "put"}
NAMES: Final = {"get": "read", "update": "replace", "deletecollection": "deleteCollection"}

_QUERY: Final[dict[str, tuple[str, str]]] = {
    "allowWatchBookmarks": ("boolean", "Ask for events of type BOOKMARK."),
    "continue": ("string", "Continue a paged list where an earlier answer ended."),
    "dryRun": ("string", "With All, nothing is persisted."),
    "fieldManager": ("string", "Who makes the changes."),
    "fieldSelector": ("string", "Restrict to objects with these fields."),
    "fieldValidation": ("string", "Ignore, Warn or Strict: what happens to unknown and duplicate fields."),
    "force": ("boolean", "Take over fields that others have applied."),
    "gracePeriodSeconds": ("integer", "Seconds before the object is removed."),
    "labelSelector": ("string", "Restrict to objects with these labels."),
    "limit": ("integer", "At most this many objects in an answer."),
    "orphanDependents": ("boolean", "Deprecated: leave dependents alone."),
    "pretty": ("string", "Indent the answer."),
    "propagationPolicy": ("string", "Orphan, Background or Foreground."),
    "resourceVersion": ("string", "Which version of the data is good enough."),
    "resourceVersionMatch": ("string", "How resourceVersion is meant."),
    "sendInitialEvents": ("boolean", "Begin a watch with what exists."),
    "timeoutSeconds": ("integer", "How long a list or watch may take."),
    "watch": ("boolean", "Send changes as they happen."),
}
_LIST: Final = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
_WRITE: Final = ("dryRun", "fieldManager", "fieldValidation")
_DELETE: Final = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
QUERY_OF: Final[dict[str, Sequence[str]]] = {
    "get": (),
    "list": _LIST,
    "create": _WRITE,
    "update": _WRITE,
    "patch": (*_WRITE, "force"),
    "delete": _DELETE,
    "deletecollection": (*_LIST, *_DELETE),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A group, version and kind, and its schema's name (empty if it has none)."""

    group: str
    version: str
    kind: str
    schema: str


#: Gives the schema's name for a group, version and kind.
Names = Callable[[str, str, str], str]


def paths(served: Sequence[Published], names: Names, dialect: Dialect) -> dict[str, Any]:
    """Every path of ``served``, sorted."""
    found: dict[str, Any] = {}
    for one in served:
        row = one.row
        kind = Kind(row.group, row.version, row.kind, names(row.group, row.version, row.kind))
        for place in _places(row):
            found[place.path] = _path(one, place, kind, names, dialect)
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class _Place:
    """One path of a resource: which verbs it has, and for which subresource."""

    path: str
    verbs: Sequence[str]
    namespaced: bool
    subresource: Subresource | None = None
    suffix: str = ""


def _places(row: Resource) -> Iterator[_Place]:
    root = f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"
    base = f"{root}/namespaces/{{namespace}}/{row.plural}" if row.namespaced else f"{root}/{row.plural}"
    collection = [verb for verb in ("list", "create", "deletecollection") if verb in row.verbs]
    yield _Place(base, collection, row.namespaced)
    if row.namespaced and "list" in row.verbs:
        yield _Place(f"{root}/{row.plural}", ["list"], False, suffix="ForAllNamespaces")
    single = [verb for verb in ("get", "update", "patch", "delete") if verb in row.verbs]
    if single:
        yield _Place(f"{base}/{{name}}", single, row.namespaced)
    for sub in row.subresources:
        yield _Place(f"{base}/{{name}}/{sub.name}", sub.verbs, row.namespaced, sub)
        if sub.name == "proxy":
            yield _Place(f"{base}/{{name}}/proxy/{{path}}", sub.verbs, row.namespaced, sub, suffix="WithPath")


def _path(one: Published, place: _Place, kind: Kind, names: Names, dialect: Dialect) -> dict[str, Any]:
    sub = place.subresource
    if sub is not None and sub.kind:
        kind = Kind(sub.group, sub.version, sub.kind, names(sub.group, sub.version, sub.kind))
    found: dict[str, Any] = {}
    for verb in METHODS:
        if verb in place.verbs:
            found[METHODS[verb]] = _operation(one, place, verb, kind, names, dialect)
    found["parameters"] = _path_parameters(place, dialect)
    return found


@dataclass(frozen=True, slots=True)
class _Exchange:
    """What goes in and out of an operation: schemas' names (empty: plain text or nothing) and media types."""

    parameters: list[dict[str, Any]]
    body: str
    requires_body: bool
    sent: Sequence[str]
    answer: str
    given: Sequence[str]
    codes: Sequence[str]


def _operation(one: Published, place: _Place, verb: str, kind: Kind, names: Names, dialect: Dialect) -> dict[str, Any]:
    row = one.row
    sub = place.subresource
    connects = sub is not None and sub.kind.endswith("Options")
    operation: dict[str, Any] = {
        "description": _description(row, place, verb),
        "operationId": _operation_id(row, place, verb),
        "tags": [_tag(row)],
        "x-kubernetes-action": "connect" if connects else ACTIONS.get(verb, verb),
        "x-kubernetes-group-version-kind": {"group": kind.group, "kind": kind.kind, "version": kind.version},
    }
    forms = FORMS if one.built_in else CUSTOM_FORMS
    patches = PATCHES if one.built_in else CUSTOM_PATCHES
    exchange = _Exchange(
        parameters=[] if connects else [_parameter(name, dialect) for name in QUERY_OF[verb]],
        body="" if connects else _body(verb, kind),
        requires_body=verb in ("create", "update", "patch"),
        sent=patches if verb == "patch" else ("*/*",),
        answer="" if connects or (sub is not None and sub.name == "log") else _answer(one, verb, kind, names),
        given=("*/*",) if connects else (*forms, *(STREAMED[: len(forms) - 1] if verb == "list" else ())),
        codes={"create": ("200", "201", "202"), "update": ("200", "201"), "patch": ("200", "201")}.get(verb, ("200",)),
    )
    complete = _complete_v2 if dialect == "v2" else _complete_v3
    complete(operation, exchange)
    return operation


def _complete_v2(operation: dict[str, Any], exchange: _Exchange) -> None:
    parameters = exchange.parameters
    if exchange.body:
        body = {"in": "body", "name": "body", "schema": {"$ref": PLACES["v2"] + exchange.body}}
        parameters.append(body | ({"required": True} if exchange.requires_body else {}))
    operation["consumes"] = list(exchange.sent)
    operation["produces"] = list(exchange.given)
    schema = {"$ref": PLACES["v2"] + exchange.answer} if exchange.answer else {"type": "string"}
    operation["responses"] = {code: {"description": _WORDS[code], "schema": schema} for code in exchange.codes}
    operation["responses"]["401"] = {"description": "Unauthorized"}
    operation["schemes"] = ["https"]
    if parameters:
        operation["parameters"] = parameters


def _complete_v3(operation: dict[str, Any], exchange: _Exchange) -> None:
    if exchange.body:
        schema = {"$ref": PLACES["v3"] + exchange.body}
        operation["requestBody"] = {"content": {form: {"schema": schema} for form in exchange.sent}}
        if exchange.requires_body:
            operation["requestBody"]["required"] = True
    schema = {"$ref": PLACES["v3"] + exchange.answer} if exchange.answer else {"type": "string"}
    content = {form: {"schema": schema} for form in exchange.given}
    operation["responses"] = {code: {"description": _WORDS[code], "content": content} for code in exchange.codes}
    operation["responses"]["401"] = {"description": "Unauthorized"}
    if exchange.parameters:
        operation["parameters"] = exchange.parameters


_WORDS: Final = {"200": "OK", "201": "Created", "202": "Accepted"}


def _answer(one: Published, verb: str, kind: Kind, names: Names) -> str:
    """The schema of what comes back."""
    if verb == "list":
        return names(one.row.group, one.row.version, one.list_name)
    if verb in ("delete", "deletecollection"):
        return f"{META}Status"
    return kind.schema


def _body(verb: str, kind: Kind) -> str:
    """The schema of what is sent; empty for nothing."""
    if verb == "patch":
        return f"{META}Patch"
    if verb in ("delete", "deletecollection"):
        return f"{META}DeleteOptions"
    return kind.schema if verb in ("create", "update") else ""


def _parameter(name: str, dialect: Dialect) -> dict[str, Any]:
    type_, description = _QUERY[name]
    head = {"name": name, "in": "query", "description": description}
    if dialect == "v2":
        return head | {"type": type_, "uniqueItems": True}
    return head | {"schema": {"type": type_, "uniqueItems": True}}


def _path_parameters(place: _Place, dialect: Dialect) -> list[dict[str, Any]]:
    described = {
        "name": "The object's name.",
        "namespace": "The Namespace that the object is in.",
        "path": "The path behind the proxy.",
    }
    found: list[dict[str, Any]] = []
    for name, description in described.items():
        if f"{{{name}}}" in place.path:
            head = {"name": name, "in": "path", "required": True, "description": description}
            type_ = {"type": "string", "uniqueItems": True}
            found.append(head | (type_ if dialect == "v2" else {"schema": type_}))
    return [*found, _parameter("pretty", dialect)]


def _group_name(row: Resource) -> str:
    """``RbacAuthorizationV1``: group and version as operation ids write them."""
    group = row.group.removesuffix(".k8s.io") or "core"
    return "".join(part[:1].upper() + part[1:] for part in group.split(".")) + row.version[:1].upper() + row.version[1:]


def _tag(row: Resource) -> str:
    name = _group_name(row)
    version = row.version[:1].upper() + row.version[1:]
    group = name.removesuffix(version)
    return f"{group[:1].lower()}{group[1:]}_{row.version}"


def _operation_id(row: Resource, place: _Place, verb: str) -> str:
    sub = place.subresource
    scope = "Namespaced" if place.namespaced else ""
    name = f"{_group_name(row)}{'Collection' if verb == 'deletecollection' else ''}{scope}{row.kind}"
    if sub is None:
        return f"{'delete' if verb == 'deletecollection' else NAMES.get(verb, verb)}{name}{place.suffix}"
    tail = "".join(part[:1].upper() + part[1:] for part in sub.name.split("-"))
    if sub.kind.endswith("Options"):
        method = METHODS[verb]
        return f"connect{method[:1].upper()}{method[1:]}{name}{tail}{place.suffix}"
    return f"{NAMES.get(verb, verb)}{name}{tail}{place.suffix}"


def _description(row: Resource, place: _Place, verb: str) -> str:
    sub = place.subresource
    if sub is not None:
        return f"{verb} {sub.name} of the specified {row.kind}"
    if verb in ("list", "deletecollection"):
        return f"{verb} objects of kind {row.kind}"
    return f"{verb} the specified {row.kind}" if verb != "create" else f"create a {row.kind}"
