"""Patches: from a request's body to a function that makes the new object out of the stored one.

Server-side apply is ``registry.applying``'s: it makes objects too, and says who owns what.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from tiphys.apiserver import decoding
from tiphys.apiserver.negotiation import UNSUPPORTED, content_type
from tiphys.apiserver.registry.endpoint import Call
from tiphys.machinery import codec, errors, fields, gotypes, strict
from tiphys.machinery import patch as patches
from tiphys.machinery.custom import CustomObject
from tiphys.machinery.goformat import plain

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"

#: From the stored object's JSON to the new object.
Apply = Callable[[bytes], Any]
#: From class, stored document and patch to the new document; nothing is changed in place.
_Applier = Callable[[type[Any], Any, Any], Any]

_appliers: Final[Mapping[str, _Applier]] = {
    JSON_PATCH: lambda cls, document, patch: patches.json_patch(document, patch),
    MERGE_PATCH: lambda cls, document, patch: patches.merge_patch(document, patch),
    STRATEGIC_PATCH: patches.strategic_merge,
}


def patch_of(call: Call, cls: type[Any] | None = None) -> Apply:
    """What the request's patch does to the endpoint's objects (or to another ``cls``).

    Raises UnsupportedMediaType and BadRequest.
    """
    media_type = content_type(call.request)
    target = cls or call.endpoint.row.cls
    # Merge keys are what built-in types say of themselves; custom ones have nothing to say.
    accepted = [name for name in _appliers if name != STRATEGIC_PATCH or not issubclass(target, CustomObject)]
    apply = _appliers.get(media_type)
    if apply is None or media_type not in accepted:
        raise errors.UnsupportedMediaType(UNSUPPORTED.format(", ".join([*accepted, APPLY_PATCH])))
    validation = decoding.directive(call.request)
    body = decoding.readable(call.request.body)
    try:
        patch = codec.decode_builtins(body)
    except codec.DecodeError as problem:
        # Only a JSON or merge patch says what it was that could not be decoded.
        prefix = "" if media_type == STRATEGIC_PATCH else "error decoding patch: "
        raise errors.BadRequest(f"{prefix}{problem}") from problem
    if media_type == JSON_PATCH and not isinstance(patch, list):
        raise errors.BadRequest(
            "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        )
    if media_type != JSON_PATCH and not isinstance(patch, dict):
        raise errors.BadRequest("error decoding patch: json: cannot unmarshal the patch into an object")
    warnings = call.attributes.warnings
    if validation != decoding.IGNORE:
        found = strict.problems(None, body)
        if found and validation == decoding.STRICT:
            raise _misfit(body.decode(), decoding.strict_message(found))
        warnings.extend(found)

    # Messages quote the patch where it is strategic, and the patched object otherwise.
    shown = patch if media_type == STRATEGIC_PATCH else None

    def patched(current: bytes) -> Any:
        document = apply(target, codec.decode_builtins(current), patch)
        return _object(target, document, validation, warnings, shown)

    return patched


def _object(cls: type[Any], document: Any, validation: str, warnings: list[str], shown: Any) -> Any:
    """The typed object of a patched document; raises Invalid, which quotes ``shown`` or the document."""
    text = codec.encode(document)
    obj = codec.decode_fitting(cls, text)
    if obj is not None:
        return obj
    try:
        if validation != decoding.IGNORE:
            found = strict.problems(cls, text)
            if found and validation == decoding.STRICT:
                raise codec.DecodeError(decoding.strict_message(found))
            warnings.extend(found)
        return codec.decode(cls, text)
    except codec.DecodeError as problem:
        if shown is None:
            raise _misfit(text.decode(), str(problem)) from problem
        misfit = gotypes.misfit(cls, document)
        raise _misfit(plain(shown), (misfit and misfit.converting) or str(problem)) from problem


def _misfit(shown: str, why: str) -> errors.StatusError:
    return errors.Invalid("", "", "", [fields.invalid("patch", shown, why)])
