"""``componentstatuses``: whether the store, the scheduler and the controllers are well, asked when somebody reads.

The store is asked by the read itself; the others are well while they hold
their Leases, and nothing is known of them where they run without. Deprecated
since 1.19, and still what ``kubectl get cs`` reads.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from tiphys.api import core_v1, meta_v1
from tiphys.apiserver import negotiation
from tiphys.apiserver.entries import Entry, View, head_of
from tiphys.apiserver.registry.endpoint import JSON_HEADERS, headers_of
from tiphys.apiserver.seams import Context, ResourceRoute
from tiphys.apiserver.shapes import Page, Shaper
from tiphys.apiserver.table import include_of
from tiphys.machinery import codec, errors, times
from tiphys.resources.core.component_status import ROW
from tiphys.wire.exchange import Response

#: Names of components and the ports at which others would ask them.
COMPONENTS: Final = (("controller-manager", "kube-controller-manager", 10257), ("scheduler", "kube-scheduler", 10259))
STORE: Final = "etcd-0"


def route() -> ResourceRoute:
    return ResourceRoute("", "v1", ROW.plural, "", answer, ("GET",))


async def answer(context: Context) -> Response:
    """One component or all of them, in the form that was asked for."""
    attributes = context.attributes
    if attributes.verb == "watch":
        raise errors.MethodNotAllowed(ROW.plural, "watch")
    attributes.warnings.append(ROW.deprecation)
    form = negotiation.form_of(context.request, ROW)
    asked = (context.request.query or {}).get("includeObject") or [""]
    include, now, shaper = include_of(asked[0]), context.clock.now(), Shaper(View(ROW))
    found = {component.metadata.name: _entry(component) for component in components(context)}
    if not attributes.name:
        body = shaper.list(Page(list(found.values()), 0), form, now, include)
        return Response(200, headers_of(form), body)
    entry = found.get(attributes.name)
    if entry is None:
        raise errors.NotFound(ROW.plural, attributes.name)
    return Response(200, headers_of(form) if form.shape else JSON_HEADERS, shaper.object(entry, form, now, include))


def _entry(component: core_v1.ComponentStatus) -> Entry:
    head = head_of(ROW)
    return Entry(ROW, head, component.metadata.name, 0, codec.encode(component)[len(head) :])


def components(context: Context) -> Iterator[core_v1.ComponentStatus]:
    """All components as they are now."""
    for name, lease_name, port in COMPONENTS:
        lease = context.objects.find("coordination.k8s.io", "leases", "kube-system", lease_name)
        if lease is None:
            yield _status(name, "Unknown", f"there is no Lease kube-system/{lease_name}")
        elif _is_held(lease, context):
            yield _status(name, "True")
        else:
            yield _status(name, "False", _refused(port))
    yield _status(STORE, "True")


def _refused(port: int) -> str:
    return f'Get "https://127.0.0.1:{port}/healthz": dial tcp 127.0.0.1:{port}: connect: connection refused'


def _is_held(lease: Any, context: Context) -> bool:
    if not lease.spec.holderIdentity or not lease.spec.renewTime:
        return False
    alive = timedelta(seconds=lease.spec.leaseDurationSeconds or 0)
    return bool(times.parse(lease.spec.renewTime) + alive >= context.clock.now())


def _status(name: str, status: str, problem: str = "") -> core_v1.ComponentStatus:
    message = "ok" if status == "True" else None
    condition = core_v1.ComponentCondition(type="Healthy", status=status, message=message, error=problem or None)
    return core_v1.ComponentStatus(metadata=meta_v1.ObjectMeta(name=name), conditions=[condition])
