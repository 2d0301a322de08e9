"""A body becomes an object: its version and kind are checked, and its fields as strictly as the client asked.

Source: Kubernetes docs, "Kubernetes API Concepts", "Validation for unrecognized
or duplicate fields"; KEP-2885 Server Side Unknown Field Validation.
"""

from typing import Any, Final, NamedTuple

from tiphys.api.scalars import Object
from tiphys.apiserver import protobuf
from tiphys.apiserver.negotiation import ACCEPTED, ALL_ACCEPTED, JSON, UNSUPPORTED, YAML_TYPES, content_type
from tiphys.machinery import codec, errors, fields, strict
from tiphys.machinery.custom import CustomObject
from tiphys.wire.exchange import Request

STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"
OPTIONS_KINDS: Final = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}


class Body(NamedTuple):
    """A body as JSON. ``duplicates`` are sentences about keys that a YAML body sets twice."""

    data: bytes
    duplicates: list[str]


def directive(request: Request) -> str:
    """The ``fieldValidation`` parameter; raises Invalid."""
    given = request.query.get("fieldValidation") if request.query else None
    text = given[0] if given else ""
    if text in ("", WARN):
        return WARN
    if text in (STRICT, IGNORE):
        return text
    problem = fields.not_supported("fieldValidation", text, ["", IGNORE, STRICT, WARN])
    raise errors.Invalid(OPTIONS_KINDS.get(request.method, "PatchOptions"), "meta.k8s.io", "", [problem])


def body_of(request: Request, kind: str, *, custom: bool = False) -> Body:
    """The body of a request that should hold a ``kind``; raises UnsupportedMediaType and BadRequest.

    ``custom`` objects have no protobuf.
    """
    media_type = content_type(request)
    if media_type == JSON:
        return Body(readable(request.body), [])
    if media_type == protobuf.MEDIA_TYPE and not custom:
        try:
            return Body(protobuf.to_json(request.body), [])
        except protobuf.ProtobufError as problem:
            raise codec.refusal(str(problem), "", "", kind, request.body) from problem
    if media_type not in YAML_TYPES:
        raise _unsupported(custom=custom)
    try:
        document, duplicates = codec.decode_yaml(request.body)
    except codec.DecodeError as problem:
        raise codec.unreadable(problem, kind, request.body) from problem
    return Body(codec.encode(document), duplicates)


def _unsupported(*, custom: bool) -> errors.StatusError:
    return errors.UnsupportedMediaType(UNSUPPORTED.format(", ".join(ACCEPTED if custom else ALL_ACCEPTED)))


def readable(data: bytes) -> bytes:
    """``data`` as UTF-8: bytes that are none are replaced, as Go's decoder does."""
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return data.decode(errors="replace").encode()
    return data


def decode(cls: type[Object], request: Request, api_version: str, kind: str, warnings: list[str]) -> Any:
    """The object in a request's body. Raises BadRequest and Invalid; appends to ``warnings``."""
    validation = directive(request)
    data, duplicates = body_of(request, kind, custom=issubclass(cls, CustomObject))
    try:
        decoded: tuple[Any, list[str]] = codec.decode_checked(cls, data)
    except codec.DecodeError as problem:
        raise _refusal(problem, data, api_version, kind) from problem
    obj, found = decoded
    check_kind(obj, api_version, kind)
    if validation != IGNORE:
        if duplicates:
            found = [*strict.yaml_problems(None, None, duplicates), *found]
        if found and validation == STRICT:
            version = api_version.rpartition("/")[2]
            raise codec.refusal(strict_message(found), version, kind, kind, data)
        warnings.extend(found)
    return obj


def decode_options(cls: type[Any], request: Request, kind: str) -> Any:
    """An options object; unknown fields are dropped. Raises BadRequest."""
    data = body_of(request, kind).data
    try:
        return codec.decode(cls, data)
    except codec.DecodeError as problem:
        raise _refusal(problem, data, "v1", kind) from problem


def strict_message(found: list[str]) -> str:
    """What was found, as one sentence."""
    return f"strict decoding error: {', '.join(found)}"


def _refusal(problem: codec.DecodeError, data: bytes, api_version: str, kind: str) -> errors.StatusError:
    if problem.syntax:
        return codec.unreadable(problem, kind, data)
    document = codec.decode_builtins(data)
    if not isinstance(document, dict):
        return codec.unreadable(problem, kind, data)
    version, found = document.get("apiVersion"), document.get("kind")
    version = version if isinstance(version, str) and version else api_version
    return codec.refusal(
        problem, version.rpartition("/")[2], found if isinstance(found, str) and found else kind, kind, data
    )


def check_kind(obj: Any, api_version: str, kind: str) -> None:
    """Raises BadRequest if the body says that it is something else. What it leaves out is filled in."""
    if obj.apiVersion != api_version:
        if obj.apiVersion:
            raise errors.BadRequest(
                f"the API version in the data ({obj.apiVersion}) does not match the expected API version "
                f"({api_version})"
            )
        obj.apiVersion = api_version
    if obj.kind != kind:
        if obj.kind:
            version = api_version.rpartition("/")[2]
            why = f"no kind {kind!r} is registered for the data's kind".replace("'", '"')
            raise codec.refusal(why, version, obj.kind, kind)
        obj.kind = kind
