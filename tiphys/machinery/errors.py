"""What the API answers when it refuses: one exception class per reason.

Each takes facts and writes Kubernetes' sentence; each can give its ``Status``.
The client raises the same classes again (``from_status``).
Source: apimachinery, package api/errors, by behaviour.
"""

from collections.abc import Sequence
from typing import Final

from tiphys.api import meta_v1
from tiphys.machinery.fields import FieldError
from tiphys.machinery.goformat import quote

MODIFIED: Final = "the object has been modified; please apply your changes to the latest version and try again"


class StatusError(Exception):
    """A refusal with its HTTP ``code``, its ``reason`` and, if known, ``details``."""

    code: int = 500
    reason: str = ""

    def __init__(self, message: str, details: meta_v1.StatusDetails | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def status(self) -> meta_v1.Status:
        return meta_v1.Status(
            status="Failure", message=self.message, reason=self.reason or None, details=self.details, code=self.code
        )

    @property
    def retry_after_seconds(self) -> int | None:
        return self.details.retryAfterSeconds if self.details else None


def group_resource(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def _about(resource: str, name: str, group: str, **more: object) -> meta_v1.StatusDetails:
    """Details that name one object. ``resource`` may carry its group behind a dot."""
    if not group:
        resource, _, group = resource.partition(".")
    return meta_v1.StatusDetails(name=name or None, group=group or None, kind=resource or None, **more)  # type: ignore[arg-type]


class BadRequest(StatusError):
    code = 400
    reason = "BadRequest"


class Unauthorized(StatusError):
    code = 401
    reason = "Unauthorized"

    def __init__(self, message: str = "Unauthorized", details: meta_v1.StatusDetails | None = None) -> None:
        super().__init__(message or "not authorized", details)


class Forbidden(StatusError):
    """``resource`` may be empty (non-resource paths) and so may ``name``."""

    code = 403
    reason = "Forbidden"

    def __init__(self, resource: str, name: str, why: str, group: str = "") -> None:
        qualified = group_resource(resource, group)
        if not resource:
            message = f"forbidden: {why}"
        elif not name:
            message = f"{qualified} is forbidden: {why}"
        else:
            message = f"{qualified} {quote(name)} is forbidden: {why}"
        super().__init__(message, _about(resource, name, group))


class NotFound(StatusError):
    code = 404
    reason = "NotFound"

    def __init__(self, resource: str, name: str, group: str = "") -> None:
        qualified = group_resource(resource, group)
        super().__init__(f"{qualified} {quote(name)} not found", _about(resource, name, group))


class UnknownPath(StatusError):
    """No such path is served."""

    code = 404
    reason = "NotFound"

    def __init__(self) -> None:
        super().__init__("the server could not find the requested resource", meta_v1.StatusDetails())


class MethodNotAllowed(StatusError):
    code = 405
    reason = "MethodNotAllowed"

    def __init__(self, resource: str, action: str, group: str = "") -> None:
        qualified = group_resource(resource, group)
        super().__init__(
            f"{action} is not supported on resources of kind {quote(qualified)}", _about(resource, "", group)
        )


class NotAcceptable(StatusError):
    code = 406
    reason = "NotAcceptable"


class AlreadyExists(StatusError):
    code = 409
    reason = "AlreadyExists"

    def __init__(self, resource: str, name: str, group: str = "") -> None:
        qualified = group_resource(resource, group)
        super().__init__(f"{qualified} {quote(name)} already exists", _about(resource, name, group))


class GenerateNameConflict(StatusError):
    """No free name was found for a ``generateName``."""

    code = 409
    reason = "AlreadyExists"

    def __init__(self, resource: str, name: str, group: str = "", retry_after_seconds: int = 1) -> None:
        qualified = group_resource(resource, group)
        super().__init__(
            f"{qualified} {quote(name)} already exists, the server was not able to generate a unique name "
            "for the object",
            _about(resource, name, group, retryAfterSeconds=retry_after_seconds),
        )


class Conflict(StatusError):
    code = 409
    reason = "Conflict"

    def __init__(self, resource: str, name: str, why: str = MODIFIED, group: str = "") -> None:
        qualified = group_resource(resource, group)
        super().__init__(
            f"Operation cannot be fulfilled on {qualified} {quote(name)}: {why}", _about(resource, name, group)
        )


class ApplyConflict(StatusError):
    """Server-side apply met fields of other managers; ``causes`` name manager and field."""

    code = 409
    reason = "Conflict"

    def __init__(self, causes: Sequence[meta_v1.StatusCause], message: str) -> None:
        super().__init__(message, meta_v1.StatusDetails(causes=list(causes)))


class Gone(StatusError):
    code = 410
    reason = "Gone"


class Expired(StatusError):
    """The asked resource version is older than what is kept."""

    code = 410
    reason = "Expired"


class RequestEntityTooLarge(StatusError):
    code = 413
    reason = "RequestEntityTooLarge"

    def __init__(self, why: str) -> None:
        super().__init__(f"Request entity too large: {why}")


class UnsupportedMediaType(StatusError):
    code = 415
    reason = "UnsupportedMediaType"


class Invalid(StatusError):
    """Validation failed. ``kind`` and ``group`` name the kind, not the resource."""

    code = 422
    reason = "Invalid"

    def __init__(self, kind: str, group: str, name: str, field_errors: Sequence[FieldError]) -> None:
        self.field_errors = list(field_errors)
        causes = [meta_v1.StatusCause(reason=e.type, message=e.body, field=e.path) for e in field_errors]
        qualified = group_resource(kind, group)
        message = f"{qualified} {quote(name)} is invalid"
        if texts := aggregate([str(e) for e in field_errors]):
            message = f"{message}: {texts}"
        details = meta_v1.StatusDetails(
            name=name or None, group=group or None, kind=kind or None, causes=causes or None
        )
        super().__init__(message, details)


class Rejected(StatusError):
    """A patch that cannot be applied. Clients get a general sentence; ``why`` is for logs and tests."""

    code = 422
    reason = "Invalid"

    def __init__(self, why: str) -> None:
        super().__init__("the server rejected our request due to an error in our request", meta_v1.StatusDetails())
        self.why = why


class TooManyRequests(StatusError):
    code = 429
    reason = "TooManyRequests"

    def __init__(
        self, message: str = "too many requests, please try again later", retry_after_seconds: int = 1
    ) -> None:
        super().__init__(message, meta_v1.StatusDetails(retryAfterSeconds=retry_after_seconds or None))


class InternalError(StatusError):
    code = 500
    reason = "InternalError"

    def __init__(self, why: str) -> None:
        details = meta_v1.StatusDetails(causes=[meta_v1.StatusCause(message=why)])
        super().__init__(f"Internal error occurred: {why}", details)


class ServerTimeout(StatusError):
    code = 500
    reason = "ServerTimeout"

    def __init__(self, resource: str, operation: str, retry_after_seconds: int = 0, group: str = "") -> None:
        super().__init__(
            f"The {operation} operation against {group_resource(resource, group)} could not be completed at this time, "
            "please try again.",
            _about(resource, operation, group, retryAfterSeconds=retry_after_seconds or None),
        )


class ServiceUnavailable(StatusError):
    code = 503
    reason = "ServiceUnavailable"


class Timeout(StatusError):
    code = 504
    reason = "Timeout"

    def __init__(self, why: str, retry_after_seconds: int = 0) -> None:
        super().__init__(f"Timeout: {why}", meta_v1.StatusDetails(retryAfterSeconds=retry_after_seconds or None))


class UnknownError(StatusError):
    """A refusal by another server with a reason of its own; keeps code and reason as they came."""

    def __init__(
        self, message: str, details: meta_v1.StatusDetails | None = None, code: int = 500, reason: str = "Unknown"
    ) -> None:
        super().__init__(message, details)
        self.code = code
        self.reason = reason


def aggregate(texts: Sequence[str]) -> str:
    """Several messages as one: alone as it is, more in brackets, repetitions dropped."""
    distinct = list(dict.fromkeys(texts))
    return distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]" if distinct else ""


BY_REASON: Final[dict[str, type[StatusError]]] = {
    cls.reason: cls
    for cls in (
        BadRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        NotAcceptable,
        AlreadyExists,
        Conflict,
        Gone,
        Expired,
        RequestEntityTooLarge,
        UnsupportedMediaType,
        Invalid,
        TooManyRequests,
        InternalError,
        ServerTimeout,
        ServiceUnavailable,
        Timeout,
    )
}
BY_CODE: Final[dict[int, type[StatusError]]] = {
    cls.code: cls for cls in BY_REASON.values() if cls not in (AlreadyExists, Gone, ServerTimeout)
}


def from_status(status: meta_v1.Status) -> StatusError:
    """The exception that a Status stands for; message and details as they came."""
    code = status.code or 500
    cls = BY_REASON.get(status.reason or "") or BY_CODE.get(code)
    message = status.message or status.reason or "unknown"
    if cls is None:
        return UnknownError(message, status.details, code, status.reason or "Unknown")
    error = cls.__new__(cls)
    StatusError.__init__(error, message, status.details)
    if isinstance(error, Invalid):
        error.field_errors = _field_errors(status.details)
    if code != cls.code:
        error.code = code
    return error


def _field_errors(details: meta_v1.StatusDetails | None) -> list[FieldError]:
    causes = (details.causes if details else None) or []
    return [FieldError(c.reason or "FieldValueInvalid", c.field or "", None, c.message or "") for c in causes]
