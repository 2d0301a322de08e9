"""AdmissionReview, there and back. Pure.

Source: Kubernetes docs, "Dynamic Admission Control", "Webhook request and response".
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from tiphys.api import meta_v1
from tiphys.apiserver.webhooks.matching import Invocation, request_kind
from tiphys.apiserver.webhooks.subject import Kind, Subject
from tiphys.machinery import codec, errors
from tiphys.machinery.goformat import quote
from tiphys.wire.exchange import UserInfo

GROUP: Final = "admission.k8s.io"
KIND: Final = "AdmissionReview"
VERSIONS: Final = ("v1", "v1beta1")
DELETE_OPTIONS: Final = "DeleteOptions"
OPTIONS: Final[Mapping[str, str]] = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": DELETE_OPTIONS}
#: Options of writes that are texts in the query.
QUERIED: Final = ("fieldManager", "fieldValidation")
JSON_PATCH: Final = "JSONPatch"


class Unusable(Exception):
    """A review that cannot be made, or an answer that is none; the text is Kubernetes'."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a webhook says. ``patch`` is its bytes, ``status`` what goes with a refusal."""

    allowed: bool
    patch: bytes = b""
    patch_type: str = ""
    status: Mapping[str, Any] | None = None
    warnings: Sequence[str] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


def version_of(accepted: Sequence[str]) -> str:
    """The first version that both sides know. Raises Unusable."""
    for version in accepted:
        if version in VERSIONS:
            return version
    raise Unusable("webhook does not accept known AdmissionReview versions (v1, v1beta1)")


def question(uid: str, version: str, invocation: Invocation, subject: Subject) -> bytes:
    """The review to send."""
    return codec.encode(
        {
            "kind": KIND,
            "apiVersion": f"{GROUP}/{version}",
            "request": {"uid": uid, **request(invocation, subject)},
        }
    )


def request(invocation: Invocation, subject: Subject) -> dict[str, Any]:
    """The request as webhooks and expressions see it, without its uid; objects are ready JSON."""
    attributes = subject.attributes
    found: dict[str, Any] = {
        "kind": _kind(invocation.kind),
        "resource": _resource(invocation.group, invocation.version, invocation.resource),
        "subResource": attributes.subresource,
        "requestKind": _kind(request_kind(subject)),
        "requestResource": _resource(attributes.group, attributes.version, attributes.resource),
        "requestSubResource": attributes.subresource,
        "name": subject.name,
        "namespace": subject.namespace,
    }
    found = {name: value for name, value in found.items() if value}
    found["operation"] = attributes.operation
    found["userInfo"] = user(attributes.user)
    found["object"] = msgspec.Raw(subject.new(invocation.row))
    found["oldObject"] = msgspec.Raw(subject.before(invocation.row))
    found["dryRun"] = attributes.dry_run
    found["options"] = _options(subject)
    return found


def _options(subject: Subject) -> dict[str, Any] | None:
    """The request's options as the object that they are; None for connections."""
    attributes = subject.attributes
    kind = OPTIONS.get(attributes.operation)
    if kind is None:
        return None
    found: dict[str, Any] = {}
    if kind == DELETE_OPTIONS:
        found = codec.to_builtins(attributes.options) if attributes.options is not None else {}
    else:
        kind = "PatchOptions" if attributes.verb == "patch" else kind
        query = attributes.query or {}
        found = {name: query[name][0] for name in QUERIED if query.get(name)}
        if attributes.verb == "patch" and query.get("force"):
            found["force"] = query["force"][0].lower() in ("true", "1")
    if attributes.dry_run:
        found["dryRun"] = ["All"]
    return {**found, "kind": kind, "apiVersion": "meta.k8s.io/v1"}


def user(info: UserInfo) -> dict[str, Any]:
    found: dict[str, Any] = {"username": info.name}
    if info.uid:
        found["uid"] = info.uid
    if info.groups:
        found["groups"] = list(info.groups)
    if info.extra:
        found["extra"] = {name: list(values) for name, values in info.extra.items()}
    return found


def _kind(kind: Kind) -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _resource(group: str, version: str, plural: str) -> dict[str, str]:
    return {"group": group, "version": version, "resource": plural}


def verdict(body: bytes, uid: str, version: str, *, mutating: bool) -> Verdict:
    """What an answer says. Raises Unusable."""
    if not body:
        raise Unusable("0-length response with status code: 200 and content type: ")
    try:
        found = codec.decode_builtins(body)
    except codec.DecodeError as problem:
        raise Unusable(f"couldn't get version/kind; json parse error: {problem}") from problem
    if not isinstance(found, dict):
        raise Unusable("couldn't get version/kind; json parse error: an object is expected")
    response = found.get("response")
    if not isinstance(response, dict):
        raise Unusable("webhook response was absent")
    if version == "v1":
        _check(found, response, uid, mutating=mutating)
    try:
        patch = base64.b64decode(response.get("patch") or "", validate=True) if mutating else b""
    except (binascii.Error, TypeError, ValueError) as problem:
        raise Unusable(f"response.patch is not base64: {problem}") from problem
    return Verdict(
        allowed=response.get("allowed") is True,
        patch=patch,
        patch_type=response.get("patchType") or (JSON_PATCH if patch and version != "v1" else ""),
        status=_mapping(response.get("status")),
        warnings=[text for text in response.get("warnings") or () if isinstance(text, str)],
        annotations={str(k): str(v) for k, v in (_mapping(response.get("auditAnnotations")) or {}).items()},
    )


def _check(review: Mapping[str, Any], response: Mapping[str, Any], uid: str, *, mutating: bool) -> None:
    """What version 1 demands of an answer. Raises Unusable."""
    got = response.get("uid") or ""
    if got != uid:
        raise Unusable(f"expected response.uid={quote(uid)}, got {quote(str(got))}")
    group, _, version = str(review.get("apiVersion") or "").rpartition("/")
    kind = Kind(group, version, str(review.get("kind") or ""))
    wanted = Kind(GROUP, "v1", KIND)
    if kind != wanted:
        raise Unusable(f"expected webhook response of {wanted}, got {kind}")
    patch, patch_type = response.get("patch"), response.get("patchType")
    if not mutating:
        if patch:
            raise Unusable("validating webhook may not return response.patch")
        if patch_type is not None:
            raise Unusable("validating webhook may not return response.patchType")
    elif patch and patch_type is None:
        raise Unusable("webhook returned response.patch but not response.patchType")
    elif not patch and patch_type is not None:
        raise Unusable("webhook returned response.patchType but not response.patch")
    elif patch_type == "":
        raise Unusable('webhook returned invalid response.patchType of ""')


def _mapping(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) else None


def refusal(webhook: str, status: Mapping[str, Any] | None) -> errors.StatusError:
    """What the client is told when a webhook says no: its own Status, never with the code of a success."""
    try:
        given = codec.convert(meta_v1.Status, dict(status or {}))
    except codec.DecodeError:
        given = meta_v1.Status()
    denied = f"admission webhook {quote(webhook)} denied the request"
    if given.message or given.reason:
        message = f"{denied}: {given.message or given.reason}"
    else:
        message = f"{denied} without explanation"
    code = given.code or 0
    return errors.UnknownError(message, given.details, max(code, 400), given.reason or "")
