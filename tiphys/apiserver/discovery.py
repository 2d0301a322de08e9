"""What is served, as clients ask for it: ``/api``, ``/apis`` and below, plain and aggregated, and ``/version``.

Documents are made from the catalog when somebody asks and kept as bytes until
something in their group changes; an ETag lets clients ask again for nothing.
Source: Kubernetes docs, "Kubernetes API Concepts", "API Discovery"; KEP-3352
Aggregated Discovery.
"""

import base64
import hashlib
import platform
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

from tiphys.api import version as version_api
from tiphys.apiserver.aggregation.catalog import Catalog, Published
from tiphys.apiserver.seams import Context, RawRoute
from tiphys.machinery import codec
from tiphys.resources import table
from tiphys.resources.rules import Resource, Subresource
from tiphys.wire.exchange import Request, Response

JSON: Final = "application/json"
AGGREGATED_GROUP: Final = "apidiscovery.k8s.io"
AGGREGATED_VERSIONS: Final = ("v2", "v2beta1")
MINOR: Final = 36
TEXT_HEADERS: Final = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}


class Document:
    """One answer that does not change, with its ETag."""

    def __init__(self, content: Any, content_type: str = JSON) -> None:
        self.body = content if isinstance(content, bytes) else codec.encode(content)
        self.etag = f'"{hashlib.sha512(self.body).hexdigest().upper()}"'
        self._headers = {"Content-Type": content_type, "Cache-Control": "no-cache, private"}
        self._tagged = {
            "Content-Type": content_type,
            "Cache-Control": "public",
            "ETag": self.etag,
            "Vary": "Accept",
        }

    def answer(self) -> Response:
        return Response(200, self._headers, self.body)

    def tagged(self, request: Request) -> Response:
        """The document, or 304 if the client has it."""
        if self.etag in request.headers.get("if-none-match", ""):
            return Response(304, {"ETag": self.etag, "Vary": "Accept"})
        return Response(200, self._tagged, self.body)


def storage_version_hash(one: Published) -> str:
    """Changes when objects are stored in another version. Source: apiserver, StorageVersionHash, by behaviour."""
    row = one.row
    if one.built_in:
        row = table.stored_as(row)
    name = f"{row.group}/{one.storage_version or row.version}/{row.kind}"
    return base64.b64encode(hashlib.sha256(name.encode()).digest()[:8]).decode()


def resource_list(group: str, version: str, served: Sequence[Published]) -> dict[str, Any]:
    """The APIResourceList of one version."""
    resources = sorted((entry for one in served for entry in _entries(one)), key=lambda entry: str(entry["name"]))
    group_version = f"{group}/{version}" if group else version
    # The oldest version answers without an apiVersion of its own.
    head = {"kind": "APIResourceList"} | ({"apiVersion": "v1"} if group else {})
    return {**head, "groupVersion": group_version, "resources": resources}


def _entries(one: Published) -> Iterator[dict[str, Any]]:
    row = one.row
    entry: dict[str, Any] = {
        "name": row.plural,
        "singularName": row.singular,
        "namespaced": row.namespaced,
        "kind": row.kind,
        "verbs": sorted(row.verbs),
    }
    if row.short_names:
        entry["shortNames"] = list(row.short_names)
    if row.categories:
        entry["categories"] = list(row.categories)
    if not row.virtual and "list" in row.verbs:
        entry["storageVersionHash"] = storage_version_hash(one)
    yield entry
    for sub in row.subresources:
        group, version, kind = _speaks(row, sub)
        foreign = {} if (group, version) == (row.group, row.version) else {"group": group, "version": version}
        yield {
            "name": f"{row.plural}/{sub.name}",
            "singularName": "",
            "namespaced": row.namespaced,
            **foreign,
            "kind": kind,
            "verbs": sorted(sub.verbs),
        }


def _speaks(row: Resource, sub: Subresource) -> tuple[str, str, str]:
    """Group, version and kind of what a subresource speaks."""
    if sub.kind:
        return sub.group, sub.version, sub.kind
    return row.group, row.version, row.kind


def _group(name: str, versions: Sequence[str]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def aggregated_group(catalog: Catalog, name: str) -> dict[str, Any]:
    """The APIGroupDiscovery of one group; versions of other servers as those have described them."""
    listed = []
    for one in catalog.versions(name):
        remote = catalog.remote(name, one)
        resources: list[Any] = (
            list(remote.resources)
            if remote is not None
            else [
                _aggregated_resource(row)
                for row in sorted((each.row for each in catalog.served(name, one)), key=lambda row: row.plural)
            ]
        )
        entry: dict[str, Any] = {"version": one, "resources": resources} if resources else {"version": one}
        listed.append(entry | {"freshness": "Current" if remote is None else remote.freshness})
    metadata: dict[str, str | None] = {"name": name} if name else {}
    return {"metadata": metadata | {"creationTimestamp": None}, "versions": listed}


def _aggregated_resource(row: Resource) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "resource": row.plural,
        "responseKind": {"group": row.group, "version": row.version, "kind": row.kind},
        "scope": "Namespaced" if row.namespaced else "Cluster",
        "singularResource": row.singular,
        "verbs": sorted(row.verbs),
    }
    if row.short_names:
        entry["shortNames"] = list(row.short_names)
    if row.categories:
        entry["categories"] = list(row.categories)
    if row.subresources:
        entry["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": dict(zip(("group", "version", "kind"), _speaks(row, sub), strict=True)),
                "verbs": sorted(sub.verbs),
            }
            for sub in sorted(row.subresources, key=lambda sub: sub.name)
        ]
    return entry


def aggregated_version(accept: str) -> str:
    """Which version of the aggregated form the client prefers to a plain answer; empty if none."""
    for clause in accept.split(","):
        media_type, *parameters = (part.strip() for part in clause.split(";"))
        given = dict(part.split("=", 1) for part in parameters if "=" in part)
        if media_type != JSON:
            continue
        if given.get("g") != AGGREGATED_GROUP:
            return ""
        if given.get("as") == "APIGroupDiscoveryList" and given.get("v") in AGGREGATED_VERSIONS:
            return given["v"]
    return ""


def version_info() -> version_api.Info:
    """What ``/version`` says: the Kubernetes that we behave like."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return version_api.Info(
        major="1",
        minor=str(MINOR),
        emulationMajor="1",
        emulationMinor=str(MINOR),
        minCompatibilityMajor="1",
        minCompatibilityMinor=str(MINOR - 1),
        gitVersion=f"v1.{MINOR}.0",
        gitCommit="0" * 40,
        gitTreeState="clean",
        buildDate="1970-01-01T00:00:00Z",
        goVersion=f"python{platform.python_version()}",
        compiler=sys.implementation.name,
        platform=f"{sys.platform}/{machine}",
    )


#: Passes a request for a version on to the server that serves it: context, group, version.
Proxy = Callable[[Context, str, str], Awaitable[Response]]


class Discovery:
    """All routes. ``address`` is what ``/api`` tells clients about the server's place."""

    def __init__(self, catalog: Catalog | None = None, address: str = "", proxy: Proxy | None = None) -> None:
        self._catalog = catalog or Catalog()
        self._address = address
        self._proxy = proxy
        #: Documents of one group each, by its name and their path, and each group's part of the aggregated ones.
        self._own: dict[str, dict[str, Document]] = {}
        self._parts: dict[str, bytes] = {}
        #: Documents about all groups, by path and form.
        self._whole: dict[tuple[str, str], Document] = {}
        self._version = Document(version_info())
        self._catalog.subscribe(self._forget)

    def _forget(self, group: str) -> None:
        self._own.pop(group, None)
        self._parts.pop(group, None)
        self._whole.clear()

    def routes(self) -> list[RawRoute]:
        return [
            RawRoute("/api", self._serve_whole),
            RawRoute("/apis", self._serve_whole),
            RawRoute("/api/*", self._serve_own),
            RawRoute("/apis/*", self._serve_own),
            RawRoute("/version", self._serve_version),
        ]

    def paths(self) -> list[str]:
        """Every path that is answered now."""
        found = ["/api", "/apis", "/version"]
        for group in self._catalog.groups():
            root = f"/apis/{group}" if group else "/api"
            found += [root] if group else []
            found += [f"{root}/{version}" for version in self._catalog.versions(group)]
        return found

    async def _serve_whole(self, context: Context) -> Response:
        request = context.request
        path = request.path.rstrip("/")
        form = aggregated_version(request.headers.get("accept", ""))
        document = self._whole.get((path, form))
        if document is None:
            document = self._whole[path, form] = self._make_aggregated(path, form) if form else self._make(path)
        return document.tagged(request) if form else document.answer()

    def _make(self, path: str) -> Document:
        if path == "/api":
            server = {"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}
            versions = list(self._catalog.versions(""))
            return Document({"kind": "APIVersions", "versions": versions, "serverAddressByClientCIDRs": [server]})
        listed = [_group(name, self._catalog.versions(name)) for name in self._catalog.groups() if name]
        return Document({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})

    def _make_aggregated(self, path: str, form: str) -> Document:
        """Joins the groups' parts: of many groups mostly one has changed."""
        head = {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"{AGGREGATED_GROUP}/{form}",
            "metadata": {},
            "items": [],
        }
        groups = [name for name in self._catalog.groups() if bool(name) == (path == "/apis")]
        for name in groups:
            if name not in self._parts:
                self._parts[name] = codec.encode(aggregated_group(self._catalog, name))
        body = codec.encode(head).removesuffix(b"]}") + b",".join(self._parts[name] for name in groups) + b"]}"
        return Document(body, f"{JSON};g={AGGREGATED_GROUP};v={form};as=APIGroupDiscoveryList")

    async def _serve_own(self, context: Context) -> Response:
        """One group, or one version of it."""
        path = context.request.path.rstrip("/")
        root, group, version = _place(path)
        if self._proxy is not None and version and self._catalog.remote(group, version) is not None:
            return await self._proxy(context, group, version)
        known = self._catalog.has(group, version) if version else bool(self._catalog.versions(group))
        if not known or not (version or root == "apis"):
            return Response(404, TEXT_HEADERS, b"404 page not found\n")
        documents = self._own.setdefault(group, {})
        if path not in documents:
            documents[path] = self._make_own(group, version)
        return documents[path].answer()

    def _make_own(self, group: str, version: str) -> Document:
        if version:
            return Document(resource_list(group, version, self._catalog.served(group, version)))
        return Document({"kind": "APIGroup", "apiVersion": "v1", **_group(group, self._catalog.versions(group))})

    async def _serve_version(self, context: Context) -> Response:
        return self._version.answer()


def _place(path: str) -> tuple[str, str, str]:
    """``apis``, group and version of a path; what is missing is empty."""
    root, *rest = path.strip("/").split("/")
    if root == "api":
        rest = ["", *rest]
    group, version, *_ = [*rest, "", ""]
    return root, group, version


class Index:
    """The route of ``/``, which lists all paths. ``routes`` are those that do not change."""

    def __init__(self, routes: Sequence[RawRoute], discovery: Discovery) -> None:
        self._fixed = {route.path.rstrip("*").rstrip("/") or "/" for route in routes} - {"/"}
        self._discovery = discovery

    def route(self) -> RawRoute:
        return RawRoute("/", self._serve)

    async def _serve(self, context: Context) -> Response:
        return Document({"paths": sorted({*self._fixed, *self._discovery.paths()})}).answer()
