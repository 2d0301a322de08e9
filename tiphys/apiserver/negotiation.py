"""What the client sends and what it wants back: media types, ``as=Table``, pretty printing, gzip.

Source: Kubernetes docs, "Kubernetes API Concepts", "Resource representations"
and "Receiving resources as Tables"; apiserver's negotiation, by behaviour.
"""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import msgspec
import yaml

from tiphys.apiserver import protobuf
from tiphys.apiserver.requestinfo import first
from tiphys.machinery import errors
from tiphys.machinery.custom import CustomObject
from tiphys.resources.rules import Resource
from tiphys.wire.exchange import Request

Shape = Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"]
JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
#: What custom resources can be sent and given as; others in protobuf besides.
ACCEPTED = (JSON, YAML)
ALL_ACCEPTED = (*ACCEPTED, PROTOBUF)
YAML_TYPES = (YAML, "application/x-yaml", "text/yaml")
NOT_ACCEPTABLE = "only the following media types are accepted: {}"
UNSUPPORTED = "the body of the request was in an unknown format - accepted media types include: {}"
META_VERSIONS = ("v1", "v1beta1")
# Smaller answers cost more to compress than to send. Source: apiserver's response writer.
GZIP_BYTES_MIN = 128 * 1024
PRETTY_AGENTS = ("curl", "Wget", "Mozilla/5.0")


class Form(NamedTuple):
    """One representation. ``shape`` is empty for the object itself; ``version`` is that of meta.k8s.io."""

    media_type: str = JSON
    shape: Shape = ""
    version: str = "v1"


PLAIN = Form()


@dataclass(frozen=True, slots=True)
class _Clause:
    media_type: str
    quality: float
    parameters: Mapping[str, str]


def _clauses(header: str) -> list[_Clause]:
    found = []
    for text in header.split(","):
        media_type, *pairs = (part.strip() for part in text.split(";"))
        parameters = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        found.append(_Clause(media_type.lower(), quality, parameters))
    return sorted(found, key=lambda clause: -clause.quality)


def _media_type(clause: _Clause) -> str:
    if clause.media_type in ("*/*", "application/*", "", JSON):
        return JSON
    if clause.media_type in YAML_TYPES:
        return YAML
    return PROTOBUF if clause.media_type == PROTOBUF else ""


@lru_cache(maxsize=256)
def accepted(header: str, shapes: bool = True, binary: bool = True) -> Form | None:
    """The best form that ``header`` accepts and we can give; None if there is none.

    ``shapes`` says whether tables and partial metadata can be given here, ``binary`` whether protobuf can.
    """
    if not header:
        return PLAIN
    for clause in _clauses(header):
        media_type = _media_type(clause)
        if not media_type or clause.quality <= 0 or (media_type == PROTOBUF and not binary):
            continue
        shape: Any = clause.parameters.get("as", "")
        if not shape:
            return Form(media_type)
        known = shape in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
        group, version = clause.parameters.get("g", ""), clause.parameters.get("v", "")
        if media_type == PROTOBUF and shape == "Table":
            continue
        if shapes and known and group == "meta.k8s.io" and version in META_VERSIONS:
            return Form(media_type, shape, version)
    return None


def form_of(request: Request, row: Resource) -> Form:
    """The form to answer in about a resource; raises NotAcceptable."""
    header = request.headers.get("accept", "")
    form = accepted(header)
    if form is not None and form.media_type is PROTOBUF and not protobuf.writes(row.api_version, row.kind):
        form = accepted(header, binary=False)
    if form is None:
        raise errors.NotAcceptable(NOT_ACCEPTABLE.format(", ".join(media_types(row.cls))))
    return form


def media_types(cls: type[Any]) -> Sequence[str]:
    """What objects of a class can be sent and given as."""
    return ACCEPTED if issubclass(cls, CustomObject) else ALL_ACCEPTED


def wants_pretty(request: Request) -> bool:
    """Whether a person reads along: ``?pretty=true``, or one of the command line's and browsers' agents."""
    asked = first(request.query, "pretty")
    if asked:
        return asked.lower() in ("1", "t", "true")
    return request.headers.get("user-agent", "").startswith(PRETTY_AGENTS)


def wants_gzip(request: Request, size: int) -> bool:
    """Whether an answer of ``size`` bytes should be compressed."""
    return size >= GZIP_BYTES_MIN and "gzip" in request.headers.get("accept-encoding", "")


def compressed(body: bytes) -> bytes:
    """``body`` in gzip at the quickest level."""
    return gzip.compress(body, compresslevel=1, mtime=0)


def yaml_from_json(body: bytes) -> bytes:
    """A JSON text as YAML with sorted keys."""
    text: bytes = yaml.dump(
        msgspec.json.decode(body), Dumper=yaml.CSafeDumper, encoding="utf-8", default_flow_style=False, width=2**31 - 1
    )
    return text


def content_type(request: Request) -> str:
    """The body's media type without parameters; JSON where none is said."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() or JSON


def indented(body: bytes) -> bytes:
    """JSON as people read it."""
    return msgspec.json.format(body, indent=2)
