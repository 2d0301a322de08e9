"""Audit events, as they are written. Pure but for the bytes it is given.

Source: Kubernetes docs, "kube-apiserver Audit Configuration (v1)", Event.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from tiphys.api import meta_v1
from tiphys.apiserver.seams import Attributes
from tiphys.machinery import codec
from tiphys.wire.exchange import Request, UserInfo

#: Objects that would make an event larger than this are left out of it.
OBJECT_BYTES_MAX: Final = 3 * 1024 * 1024
#: Longer user agents are cut, and marked.
USER_AGENT_MAX: Final = 1024
TRUNCATED: Final = "...TRUNCATED"


class User(msgspec.Struct, omit_defaults=True):
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, Sequence[str]] = {}


class ObjectReference(msgspec.Struct, omit_defaults=True):
    resource: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    apiGroup: str = ""
    apiVersion: str = ""
    resourceVersion: str = ""
    subresource: str = ""


class Event(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Fields in the order in which Kubernetes writes them."""

    # By a function, as constants would be left out of what is written.
    kind: str = msgspec.field(default_factory=lambda: "Event")
    apiVersion: str = msgspec.field(default_factory=lambda: "audit.k8s.io/v1")
    level: str
    auditID: str
    stage: str
    requestURI: str
    verb: str
    user: User
    impersonatedUser: User | None = None
    sourceIPs: tuple[str, ...] = ()
    userAgent: str = ""
    objectRef: ObjectReference | None = None
    responseStatus: Any = None
    requestObject: msgspec.Raw | None = None
    responseObject: msgspec.Raw | None = None
    requestReceivedTimestamp: str = ""
    stageTimestamp: str = ""
    annotations: Mapping[str, str] = {}


_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)


def line(event: Event) -> bytes:
    """One line of JSON, without its end."""
    return _ENCODER.encode(event)


def user_of(user: UserInfo) -> User:
    return User(user.name, user.uid, user.groups, user.extra)


def reference_of(asked: Attributes) -> ObjectReference | None:
    """What a resource request is about."""
    if not asked.is_resource_request:
        return None
    return ObjectReference(
        resource=asked.resource,
        namespace=asked.namespace,
        name=asked.name,
        apiGroup=asked.group,
        apiVersion=asked.version,
        subresource=asked.subresource,
    )


def user_agent_of(request: Request) -> str:
    agent = request.headers.get("user-agent", "")
    return agent if len(agent) <= USER_AGENT_MAX else agent[:USER_AGENT_MAX] + TRUNCATED


def source_ips(request: Request) -> tuple[str, ...]:
    """Where it came from: what proxies say, nearest last, and the peer itself."""
    said = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",")]
    said += [request.headers.get("x-real-ip", "").strip()]
    return tuple(dict.fromkeys(one for one in (*said, request.remote) if one))


def object_of(body: bytes, media_type: str, *, omit_managed_fields: bool) -> msgspec.Raw | None:
    """A body as it is shown in an event: JSON, without managed fields if they are not wanted; None if there is none."""
    if not body or len(body) > OBJECT_BYTES_MAX or "json" not in media_type:
        return None
    try:
        if omit_managed_fields and b'"managedFields"' in body:
            return msgspec.Raw(msgspec.json.encode(_without_managed_fields(msgspec.json.decode(body))))
        # It must be whole: broken JSON would break the line.
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return msgspec.Raw(body if b"\n" not in body else msgspec.json.encode(msgspec.json.decode(body)))


def _without_managed_fields(found: Any) -> Any:
    if isinstance(found, dict):
        metadata = found.get("metadata")
        if isinstance(metadata, dict):
            metadata.pop("managedFields", None)
        items = found.get("items")
        if isinstance(items, list):
            for item in items:
                _without_managed_fields(item)
    return found


def status_of(code: int, media_type: str, body: bytes) -> Any:
    """``responseStatus``: a Status that was answered, without its details' causes; else the bare code."""
    if code >= 400 and "json" in media_type:
        try:
            status = codec.decode(meta_v1.Status, body)
        except (ValueError, codec.DecodeError):
            return {"metadata": {}, "code": code}
        found: dict[str, Any] = {"metadata": {}, "status": status.status, "message": status.message}
        found |= {"reason": status.reason, "code": code}
        return {name: value for name, value in found.items() if value or name == "metadata"}
    return {"metadata": {}, "code": code}
