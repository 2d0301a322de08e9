"""The options of a list or watch, checked as Kubernetes checks them.

Source: apimachinery's validation of ListOptions, by behaviour; Kubernetes docs,
"Kubernetes API Concepts", "Resource versions".
"""

from dataclasses import dataclass

from tiphys.apiserver.registry.endpoint import Call
from tiphys.machinery import errors, fields


@dataclass(slots=True)
class ListOptions:
    """``revision`` is None where no resourceVersion was given."""

    revision: int | None = None
    match: str = ""
    limit: int = 0
    continue_token: str = ""
    timeout_seconds: int = 0
    bookmarks: bool = False
    send_initial_events: bool | None = None


def _integer(text: str, name: str) -> int:
    if not text:
        return 0
    try:
        return int(text)
    except ValueError as problem:
        raise errors.BadRequest(
            f'unable to decode query parameter "{name}": strconv.ParseInt: parsing "{text}": invalid syntax'
        ) from problem


def revision_of(text: str) -> int | None:
    """The number of a resourceVersion; None if there is none. Raises BadRequest."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise errors.BadRequest(f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


def list_options(call: Call, watch: bool = False) -> ListOptions:
    """What the query says; raises BadRequest and Invalid."""
    query = call.request.query
    options = ListOptions()
    if not query:
        return options
    options.match = call.query("resourceVersionMatch")
    options.limit = max(0, _integer(call.query("limit"), "limit"))
    options.continue_token = call.query("continue")
    options.timeout_seconds = _integer(call.query("timeoutSeconds"), "timeoutSeconds")
    options.bookmarks = call.query("allowWatchBookmarks").lower() in ("true", "1")
    if initial := call.query("sendInitialEvents"):
        options.send_initial_events = initial.lower() in ("true", "1")
    problems = _watch_problems(call, options) if watch else _list_problems(call, options)
    if problems:
        raise errors.Invalid("ListOptions", "meta.k8s.io", "", problems)
    options.revision = revision_of(call.query("resourceVersion"))
    return options


def _watch_problems(call: Call, options: ListOptions) -> list[fields.FieldError]:
    initial = options.send_initial_events is not None
    if options.match and not initial:
        return [
            fields.forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )
        ]
    if initial and options.match != "NotOlderThan":
        return [
            fields.forbidden(
                "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            )
        ]
    return []


def _list_problems(call: Call, options: ListOptions) -> list[fields.FieldError]:
    if options.send_initial_events is not None:
        return [fields.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")]
    if not options.match:
        return []
    version = call.query("resourceVersion")
    path = "resourceVersionMatch"
    if not version:
        return [fields.forbidden(path, "resourceVersionMatch is forbidden unless resourceVersion is provided")]
    if options.continue_token:
        return [fields.forbidden(path, "resourceVersionMatch is forbidden when continue is provided")]
    if options.match not in ("Exact", "NotOlderThan"):
        return [fields.not_supported(path, options.match, ["Exact", "NotOlderThan", ""])]
    if options.match == "Exact" and version == "0":
        return [fields.forbidden(path, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')]
    return []
