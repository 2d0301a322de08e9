"""``apiserver_audit_*``, as Prometheus reads them."""

from collections.abc import Iterator

from tiphys.apiserver.audit.auditor import Audit
from tiphys.apiserver.instruments import head


def lines(audit: Audit) -> Iterator[str]:
    """Events and what became of them."""
    yield from head("apiserver_audit_event_total", "counter", "Events that were made.")
    yield f"apiserver_audit_event_total {audit.events}"
    yield from head("apiserver_audit_level_total", "counter", "Requests by how much of them is written.")
    for level, count in sorted(audit.levels.items()):
        yield f'apiserver_audit_level_total{{level="{level}"}} {count}'
    yield from head("apiserver_audit_error_total", "counter", "Events that could not be handed over, or were too many.")
    for sink in audit.sinks:
        yield f'apiserver_audit_error_total{{plugin="{sink.name}"}} {sink.dropped}'
