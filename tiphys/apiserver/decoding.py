"""A body becomes an object: its version and kind are checked, and its fields as strictly as the client asked.

Source: Kubernetes docs, "Kubernetes API Concepts", "Validation for unrecognized
or duplicate fields"; KEP-2885 Server Side Unknown Field Validation.
"""

from typing import Any

import msgspec

from tiphys.api.scalars import Object
from tiphys.machinery import codec, errors, fields, strict

STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"
_SUMMARY_BYTES = 30


def directive(text: str) -> str:
    """The ``fieldValidation`` parameter; raises Invalid."""
    if text in ("", WARN):
        return WARN
    if text in (STRICT, IGNORE):
        return text
    problem = fields.not_supported("fieldValidation", text, [IGNORE, STRICT, WARN])
    raise errors.Invalid("CreateOptions", "meta.k8s.io", "", [problem])


def decode(cls: type[Object], body: bytes, api_version: str, kind: str, validation: str, warnings: list[str]) -> Any:
    """The object in a JSON ``body``. Raises BadRequest; appends to ``warnings``."""
    version = api_version.rpartition("/")[2]
    try:
        try:
            obj: Any = codec.decoder(cls).decode(body)
            suspicious = _may_repeat(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            _require_object(body, kind)
            obj = codec.decode(cls, body)
            suspicious = True
        _check_kind(obj, api_version, kind)
        if suspicious and validation != IGNORE:
            _validate_fields(cls, body, validation, warnings)
    except codec.DecodeError as problem:
        raise errors.BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {problem}') from problem
    return obj


def _may_repeat(body: bytes) -> bool:
    """Whether a field may stand twice: a document without repetition keeps its length when it is decoded and
    encoded again. Unusual escapes and numbers look suspicious as well; the exact check follows."""
    return len(msgspec.json.format(body, indent=-1)) != len(msgspec.json.encode(msgspec.json.decode(body)))


def _validate_fields(cls: type[Object], body: bytes, validation: str, warnings: list[str]) -> None:
    found = strict.problems(cls, body)
    if not found:
        return
    if validation == STRICT:
        raise codec.DecodeError(strict_message(found))
    warnings.extend(found)


def strict_message(found: list[str]) -> str:
    """What was found, as one sentence."""
    return f"strict decoding error: {', '.join(found)}"


def _require_object(body: bytes, kind: str) -> None:
    """Raises BadRequest if the text is no JSON object at all."""
    try:
        document = codec.decode_builtins(body)
    except codec.DecodeError as problem:
        raise _unrecognized(body, kind, f"couldn't get version/kind; json parse error: {problem}") from problem
    if not isinstance(document, dict):
        what = "array" if isinstance(document, list) else type(document).__name__
        raise _unrecognized(
            body,
            kind,
            f"couldn't get version/kind; json parse error: json: cannot unmarshal {what} into Go value of type struct",
        )


def _unrecognized(body: bytes, kind: str, why: str) -> errors.StatusError:
    return errors.BadRequest(f"the object provided is unrecognized (must be of type {kind}): {why} ({_summary(body)})")


def _summary(body: bytes) -> str:
    if not body:
        return "<empty>"
    more = " ..." if len(body) > _SUMMARY_BYTES else ""
    start = body[:_SUMMARY_BYTES]
    return (start.decode(errors="replace") if start[:1] == b"{" else start.hex()) + more


def _check_kind(obj: Any, api_version: str, kind: str) -> None:
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
            raise errors.BadRequest(
                f'{obj.kind} in version "{version}" cannot be handled as a {kind}: '
                f'no kind "{kind}" matches the kind "{obj.kind}" in the data'
            )
        obj.kind = kind


def decode_lenient(cls: type[Any], body: bytes, kind: str) -> Any:
    """An options object: unknown fields are dropped. Raises BadRequest."""
    try:
        return codec.decode(cls, body)
    except codec.DecodeError as problem:
        raise errors.BadRequest(f'{kind} in version "v1" cannot be handled as a {kind}: {problem}') from problem
