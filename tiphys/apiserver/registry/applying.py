"""PATCH with an applied configuration: server-side apply, which creates what is not there.

Source: Kubernetes docs, "Server-Side Apply"; apiserver's applyPatcher, by behaviour.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from tiphys.apiserver import decoding
from tiphys.apiserver.entries import Entry
from tiphys.apiserver.negotiation import content_type
from tiphys.apiserver.patching import APPLY_PATCH
from tiphys.apiserver.registry import lastapplied, objectmeta, ownership
from tiphys.apiserver.registry.endpoint import Call
from tiphys.apiserver.requestinfo import first, flag
from tiphys.machinery import apply as ssa
from tiphys.machinery import codec, errors, fields, merging, strict, structure
from tiphys.wire.exchange import Request


class Applied(NamedTuple):
    """A request's configuration and how it is to be applied. ``duplicates`` are keys set twice, as one sentence."""

    config: dict[str, Any]
    manager: str
    force: bool
    duplicates: str


def options_problems(request: Request) -> list[fields.FieldError]:
    """What is wrong with the options of a patch."""
    found: list[fields.FieldError] = []
    manager = first(request.query, "fieldManager") if request.query else ""
    if content_type(request) == APPLY_PATCH:
        if not manager:
            found.append(fields.required("fieldManager", "is required for apply patch"))
    elif "force" in request.query:
        found.append(fields.forbidden("force", "may not be specified for non-apply patch"))
    return found + ownership.manager_problems(manager)


def check_options(request: Request) -> None:
    """Raises Invalid."""
    found = options_problems(request)
    if found:
        raise errors.Invalid("PatchOptions", "meta.k8s.io", "", found)


def read(call: Call) -> Applied:
    """What the request applies. Raises Invalid and BadRequest."""
    check_options(call.request)
    validation = decoding.directive(call.request)
    config, duplicates = _document(decoding.readable(call.request.body))
    force = flag(call.request.query, "force")
    return Applied(config, call.query("fieldManager"), force, duplicates if validation != decoding.IGNORE else "")


def _document(body: bytes) -> tuple[dict[str, Any], str]:
    """The configuration and the sentence about its duplicate keys. JSON, which is YAML too, is read as JSON."""
    duplicates: list[str] = []
    try:
        document = codec.decode_builtins(body) if body[:1] == b"{" else None
    except codec.DecodeError:
        document = None
    if document is None or strict.has_duplicates(body):
        try:
            document, duplicates = codec.decode_yaml(body)
        except codec.DecodeError as problem:
            raise errors.BadRequest(f"error decoding YAML: error converting YAML to JSON: {problem}") from problem
    if not isinstance(document, dict):
        if document is None:
            return {}, ""
        kind = {list: "array", str: "string", bool: "bool"}.get(type(document), "number")
        raise errors.BadRequest(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal "
            f"{kind} into Go value of type map[string]interface {{}}"
        )
    return document, strict.yaml_problems(None, None, duplicates)[0] if duplicates else ""


def check_config(config: dict[str, Any], api_version: str, kind: str) -> None:
    """Raises BadRequest unless the configuration is of this kind."""
    version, found = config.get("apiVersion") or "", config.get("kind") or ""
    if version != api_version or found != kind:
        shown = version if "/" in str(version) else f"/{version}"
        raise errors.BadRequest(f"invalid object type: {shown}, Kind={found}")
    metadata = config.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields"):
        raise errors.BadRequest("metadata.managedFields must be nil")


def merged(
    applied: Applied,
    cls: type[Any],
    live: dict[str, Any],
    managed: ssa.Managed,
    writer: ssa.Writer,
    convert: ssa.Convert,
) -> tuple[Any, ssa.Managed]:
    """The new object as plain data and its managers; raises what the client is to be told."""
    node = structure.node_of(cls)
    config = applied.config

    def attempt(force: bool) -> tuple[Any, ssa.Managed]:
        return ssa.apply(node, live, config, managed, writer, convert, force=force)

    try:
        try:
            found, owners = attempt(applied.force)
        except ssa.Conflicts as conflicts:
            found, owners = lastapplied.settle(node, live, writer, conflicts, attempt)
    except merging.Misfit as problem:
        metadata = config.get("metadata") or {}
        about = metadata if isinstance(metadata, dict) else {}
        kind = writer.version if "/" in writer.version else f"/{writer.version}"
        raise errors.UnknownError(
            f"failed to create typed patch object ({about.get('namespace', '')}/{about.get('name', '')}; "
            f"{kind}, Kind={config.get('kind', '')}): {problem}",
            None,
            500,
            "",
        ) from problem
    except RecursionError as problem:
        raise errors.BadRequest(codec.TOO_DEEP) from problem
    except ssa.Conflicts as conflicts:
        raise conflicts.status() from conflicts
    result = live if found is None else found
    return lastapplied.renewed(result, config, writer.manager), owners


def warn(call: Call, applied: Applied) -> None:
    """Report keys that are set twice; raises BadRequest where the client wants no such thing."""
    if not applied.duplicates:
        return
    text = f"error converting YAML to JSON: {applied.duplicates}"
    if decoding.directive(call.request) == decoding.STRICT:
        raise errors.BadRequest(f"error strict decoding YAML: {text}")
    call.attributes.warnings.append(text)


def new_object(call: Call, applied: Applied, default: Callable[[Any], None]) -> tuple[Any, ownership.Entries]:
    """The object that an apply creates, and who owns its fields."""
    endpoint = call.endpoint
    cls = endpoint.row.cls
    writer = ownership.writer_of(call, applied.manager)
    document, owners = merged(applied, cls, {}, {}, writer, ownership.converter(endpoint))
    warn(call, applied)
    obj: Any = codec.convert(cls, document)
    if obj.metadata.uid:
        why = f"uid mismatch: the provided object specified uid {obj.metadata.uid}, and no existing object was found"
        raise endpoint.conflict(call.attributes.name, why)
    default(obj)
    objectmeta.check_namespace(call, obj.metadata)
    objectmeta.check_name(call, obj.metadata)
    return obj, ssa.encode(owners) or []


def changed_object(call: Call, applied: Applied, default: Callable[[Any], None], old: Any, entry: Entry) -> Any:
    """The stored object with the configuration applied to it, owners booked."""
    endpoint = call.endpoint
    cls = endpoint.row.cls
    writer = ownership.writer_of(call, applied.manager)
    live = codec.decode_builtins(endpoint.view.head + endpoint.view.plain(entry))
    convert = ownership.converter(endpoint)
    managed = ssa.decode(old.metadata.managedFields)
    if not managed:
        before = writer._replace(manager=ssa.BEFORE_FIRST_APPLY)
        managed = ssa.update(structure.node_of(cls), ownership.zero(cls), old, {}, before, convert)
    document, owners = merged(applied, cls, live, managed, writer, convert)
    warn(call, applied)
    obj: Any = codec.convert(cls, document)
    metadata = obj.metadata
    objectmeta.check_name(call, metadata)
    objectmeta.check_namespace(call, metadata)
    if metadata.resourceVersion and metadata.resourceVersion != str(entry.revision):
        raise endpoint.conflict(call.attributes.name)
    default(obj)
    metadata.managedFields = ssa.encode(owners)
    return obj
