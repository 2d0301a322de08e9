"""What the descriptions of many kinds have: names, labels, times, conditions, events."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from tiphys.cli.describe.writer import Writer
from tiphys.cli.discovery import Kind
from tiphys.cli.server import Server
from tiphys.machinery import times

Dict = dict[str, Any]

NONE = "<none>"
UNSET = "<unset>"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
#: Longer annotations, or those of several lines, begin on a line of their own and are cut.
ANNOTATION_MAX = 140


def names(w: Writer, obj: Dict) -> None:
    metadata = obj["metadata"]
    w.line(0, "Name:", metadata.get("name", ""))
    if metadata.get("namespace"):
        w.line(0, "Namespace:", metadata["namespace"])


def head(w: Writer, obj: Dict) -> None:
    """Name, namespace, labels, annotations."""
    names(w, obj)
    pairs(w, "Labels:", obj["metadata"].get("labels"))
    annotations(w, "Annotations:", obj["metadata"].get("annotations"))


def pairs(w: Writer, title: str, found: Mapping[str, str] | None, level: int = 0) -> None:
    """``a=b``, one to a line."""
    several(w, title, [f"{key}={text}" for key, text in sorted((found or {}).items())], level)


def several(w: Writer, title: str, texts: list[str], level: int = 0) -> None:
    """A column of texts beside their title."""
    for number, text in enumerate(texts or [NONE]):
        w.line(level if not number else 0, "" if number else title, text)


def annotations(w: Writer, title: str, found: Mapping[str, str] | None, level: int = 0) -> None:
    shown = {key: text.removesuffix("\n") for key, text in sorted((found or {}).items()) if key != LAST_APPLIED}
    lines: list[str] = []
    for key, text in shown.items():
        if len(key) + len(text) + 2 <= ANNOTATION_MAX and "\n" not in text:
            lines.append(f"{key}: {text}")
            continue
        lines.append(f"{key}:")
        lines += [f"  {_shortened(line, ANNOTATION_MAX - 2)}" for line in text.split("\n")]
    several(w, title, lines, level)


def _shortened(text: str, maximum: int) -> str:
    return text if len(text) <= maximum else text[:maximum] + "..."


def labels_text(found: Mapping[str, str] | None) -> str:
    return ",".join(f"{key}={text}" for key, text in sorted((found or {}).items())) or NONE


def selector_text(selector: Dict | None) -> str:
    """A LabelSelector as one would write it after ``-l``."""
    if selector is None:
        return NONE
    from tiphys.api import meta_v1  # noqa: PLC0415  # describing a ConfigMap needs no Structs
    from tiphys.machinery import codec, selectors  # noqa: PLC0415  # as above

    return str(selectors.from_label_selector(codec.convert(meta_v1.LabelSelector, selector))) or NONE


def time_text(text: str | None) -> str:
    """A time as in mails: ``Mon, 02 Jan 2006 15:04:05 +0000``."""
    return format_datetime(times.parse(text).astimezone()) if text else UNSET


def since(text: str | None) -> str:
    if not text:
        return "<unknown>"
    return times.human_duration((datetime.now(UTC) - times.parse(text)).total_seconds())


def controller(obj: Dict) -> str:
    """``ReplicaSet/web-5d``, or nothing."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((f"{owner['kind']}/{owner['name']}" for owner in owners if owner.get("controller")), "")


def conditions(w: Writer, found: list[Dict] | None) -> None:
    """Type, status and reason."""
    if not found:
        return
    w.line(0, "Conditions:")
    rows = [(f"{item['type']} ", item["status"], item.get("reason", "")) for item in found]
    w.table(1, ("Type", "Status", "Reason"), rows)


def events(w: Writer, server: Server, obj: Dict) -> None:
    """What happened to the object, oldest first."""
    metadata = obj["metadata"]
    asked = {
        "involvedObject.name": metadata.get("name"),
        "involvedObject.namespace": metadata.get("namespace"),
        "involvedObject.kind": obj.get("kind"),
        # Events about a Node name it instead of its uid.
        "involvedObject.uid": metadata.get("uid") if obj.get("kind") != "Node" else None,
    }
    fields = ",".join(f"{field}={text}" for field, text in asked.items() if text)
    path = EVENTS.path(metadata.get("namespace", ""))
    found = server.get(path, {"fieldSelector": fields, "limit": "500"}).get("items") or []
    if not found:
        w.line(0, "Events:", NONE)
        return
    found.sort(key=lambda event: event.get("lastTimestamp") or "")
    w.line(0, "Events:")
    w.line(1, "Type", "Reason", "Age", "From", "Message")
    w.line(1, "----", "------", "----", "----", "-------")
    for event in found:
        w.line(1, *_event(event))


#: Where events are.
EVENTS = Kind("", "v1", "Event", "events", "event", True)


def _event(event: Dict) -> tuple[str, ...]:
    series = event.get("series")
    first = since(event.get("firstTimestamp") or event.get("eventTime"))
    if series:
        age = f"{since(series.get('lastObservedTime'))} (x{series.get('count')} over {since(event.get('eventTime'))})"
    elif (event.get("count") or 0) > 1:
        age = f"{since(event.get('lastTimestamp'))} (x{event['count']} over {first})"
    else:
        age = first
    source = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
    return event.get("type", ""), event.get("reason", ""), age, source, str(event.get("message", "")).strip()
