"""What is served, as clients ask for it: ``/api``, ``/apis`` and below, plain and aggregated, and ``/version``.

Everything is made once from the resource table and kept as bytes; an ETag
lets clients ask again for nothing.
Source: Kubernetes docs, "Kubernetes API Concepts", "API Discovery"; KEP-3352
Aggregated Discovery.
"""

import base64
import hashlib
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from tiphys.api import version as version_api
from tiphys.apiserver.seams import Context, RawRoute
from tiphys.machinery import codec
from tiphys.resources import table
from tiphys.resources.rules import Resource, Subresource
from tiphys.wire.exchange import Request, Response

JSON: Final = "application/json"
AGGREGATED_GROUP: Final = "apidiscovery.k8s.io"
AGGREGATED_VERSIONS: Final = ("v2", "v2beta1")
MINOR: Final = 36

#: Group -> version -> rows.
Groups = dict[str, dict[str, list[Resource]]]


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


def storage_version_hash(row: Resource) -> str:
    """Changes when objects are stored in another version. Source: apiserver, StorageVersionHash, by behaviour."""
    stored = table.stored_as(row)
    name = f"{stored.group}/{stored.version}/{stored.kind}"
    return base64.b64encode(hashlib.sha256(name.encode()).digest()[:8]).decode()


def group_versions(rows: Sequence[Resource]) -> Groups:
    """Group -> version -> rows, in the order of the table; the first version of a group is the preferred one."""
    found: Groups = {}
    for row in rows:
        found.setdefault(row.group, {}).setdefault(row.version, []).append(row)
    return found


def resource_list(group: str, version: str, rows: Sequence[Resource]) -> dict[str, Any]:
    """The APIResourceList of one version."""
    resources = sorted((entry for row in rows for entry in _entries(row)), key=lambda entry: str(entry["name"]))
    group_version = f"{group}/{version}" if group else version
    # The oldest version answers without an apiVersion of its own.
    head = {"kind": "APIResourceList"} | ({"apiVersion": "v1"} if group else {})
    return {**head, "groupVersion": group_version, "resources": resources}


def _entries(row: Resource) -> Iterator[dict[str, Any]]:
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
        entry["storageVersionHash"] = storage_version_hash(row)
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


def aggregated(groups: Groups, version: str) -> dict[str, Any]:
    """The APIGroupDiscoveryList of some groups."""
    items = []
    for name, versions in groups.items():
        metadata: dict[str, str | None] = {"name": name} if name else {}
        listed = [
            {
                "version": one,
                "resources": [_aggregated_resource(row) for row in sorted(rows, key=lambda row: row.plural)],
                "freshness": "Current",
            }
            for one, rows in versions.items()
        ]
        items.append({"metadata": metadata | {"creationTimestamp": None}, "versions": listed})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"{AGGREGATED_GROUP}/{version}",
        "metadata": {},
        "items": items,
    }


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


class Discovery:
    """All routes. ``address`` is what ``/api`` tells clients about the server's place."""

    def __init__(self, rows: Sequence[Resource] = table.RESOURCES, address: str = "") -> None:
        groups = group_versions(rows)
        core: Groups = {name: versions for name, versions in groups.items() if not name}
        named: Groups = {name: versions for name, versions in groups.items() if name}
        self._paths: list[str] = []
        self._plain: dict[str, Document] = {}
        self._plain["/api"] = Document(
            {
                "kind": "APIVersions",
                "versions": list(core.get("", ())),
                "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
            }
        )
        listed = [_group(name, list(versions)) for name, versions in named.items()]
        self._plain["/apis"] = Document({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})
        for entry in listed:
            self._plain[f"/apis/{entry['name']}"] = Document({"kind": "APIGroup", "apiVersion": "v1", **entry})
        for name, versions in groups.items():
            for one, own in versions.items():
                path = f"/apis/{name}/{one}" if name else f"/api/{one}"
                self._plain[path] = Document(resource_list(name, one, own))
        self._aggregated = {
            (path, one): Document(
                aggregated(some, one), f"{JSON};g={AGGREGATED_GROUP};v={one};as=APIGroupDiscoveryList"
            )
            for path, some in (("/api", core), ("/apis", named))
            for one in AGGREGATED_VERSIONS
        }
        self._version = Document(version_info())

    def routes(self) -> list[RawRoute]:
        found = [RawRoute(path, self._serve(path)) for path in self._plain]
        return [*found, RawRoute("/version", self._serve_version)]

    def _serve(self, path: str) -> Callable[[Context], Any]:
        async def serve(context: Context) -> Response:
            request = context.request
            wanted = aggregated_version(request.headers.get("accept", ""))
            document = self._aggregated.get((path, wanted)) if wanted else None
            return document.tagged(request) if document else self._plain[path].answer()

        return serve

    async def _serve_version(self, context: Context) -> Response:
        return self._version.answer()


def index(routes: Sequence[RawRoute]) -> RawRoute:
    """The route of ``/``, which lists all paths."""
    paths = sorted({route.path.rstrip("*").rstrip("/") or "/" for route in routes} - {"/"})
    document = Document({"paths": paths})

    async def serve(context: Context) -> Response:
        return document.answer()

    return RawRoute("/", serve)
