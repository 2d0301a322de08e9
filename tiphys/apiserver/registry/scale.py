"""The ``scale`` subresource: one shape for everything that has replicas.

Source: Kubernetes API reference, Scale v1 autoscaling; the workloads' scale registries, by behaviour.
"""

from collections.abc import Callable
from typing import Any, Protocol

from tiphys.api import autoscaling_v1, meta_v1
from tiphys.apiserver import decoding
from tiphys.apiserver.entries import Entry
from tiphys.apiserver.negotiation import content_type
from tiphys.apiserver.patching import APPLY_PATCH, patch_of
from tiphys.apiserver.registry import applying, objectmeta, ownership
from tiphys.apiserver.registry.endpoint import JSON_HEADERS, Call
from tiphys.apiserver.registry.updating import change_object
from tiphys.apiserver.shapes import list_metadata
from tiphys.apiserver.table import partial
from tiphys.machinery import apply as ssa
from tiphys.machinery import codec, errors, fields, selectors, structure
from tiphys.resources import columns
from tiphys.resources.rules import Resource
from tiphys.wire.exchange import Response

Scale = autoscaling_v1.Scale
GROUP_VERSION = "autoscaling/v1"


def scale_of(obj: Any) -> Scale:
    """The Scale of a workload."""
    metadata = obj.metadata
    return Scale(
        metadata=meta_v1.ObjectMeta(
            name=metadata.name,
            namespace=metadata.namespace,
            uid=metadata.uid,
            resourceVersion=metadata.resourceVersion,
            creationTimestamp=metadata.creationTimestamp,
        ),
        spec=autoscaling_v1.ScaleSpec(replicas=obj.spec.replicas or None),
        status=autoscaling_v1.ScaleStatus(replicas=obj.status.replicas or 0, selector=_selector(obj.spec.selector)),
    )


def _selector(selector: Any) -> str | None:
    if isinstance(selector, dict):
        return str(selectors.from_labels(selector)) or None
    return str(selectors.from_label_selector(selector)) or None if selector is not None else None


class Scaling(Protocol):
    """Where an object's Scale stands in it."""

    #: Path of the replicas, as managed fields have it.
    @property
    def owned(self) -> tuple[str, ...]: ...

    def scale_of(self, obj: Any) -> Scale: ...

    def set_replicas(self, obj: Any, replicas: int) -> None: ...


class _Workload:
    """Of built-in resources: ``spec.replicas`` of a Struct."""

    owned = ownership.REPLICAS
    scale_of = staticmethod(scale_of)

    def set_replicas(self, obj: Any, replicas: int) -> None:
        obj.spec.replicas = replicas


_WORKLOAD = _Workload()


def scaling_of(row: Resource) -> Scaling:
    """How objects of ``row`` are scaled."""
    found: Scaling | None = getattr(row.strategy, "scaling", None)
    return found or _WORKLOAD


async def get(call: Call) -> Response:
    """The Scale of the stored object."""
    await call.endpoint.services.cache.catch_up()
    attributes = call.attributes
    entry = call.endpoint.cache.find(attributes.namespace, attributes.name)
    if entry is None:
        raise call.endpoint.not_found(attributes.name)
    return _answer(call, entry)


def _answer(call: Call, entry: Entry) -> Response:
    scale = scaling_of(call.endpoint.row).scale_of(call.endpoint.view.object(entry))
    form = call.form
    if form.shape == "Table":
        metadata = list_metadata(entry.revision)
        return Response(200, JSON_HEADERS, _table(call, scale, partial(entry, form.version, managed=True), metadata))
    body = partial(entry, form.version, managed=True) if form.shape else codec.encode(scale)
    return Response(200, JSON_HEADERS, body)


def _table(call: Call, scale: Scale, about: bytes, metadata: bytes) -> bytes:
    """The Scale as a table of one row."""
    now = call.endpoint.services.clock.now()
    names = (
        ("Name", "string", "name"),
        ("Desired", "integer", ""),
        ("Available", "integer", ""),
        ("Age", "string", ""),
    )
    cells = [scale.metadata.name, scale.spec.replicas or 0, scale.status.replicas, columns.age(scale, now)]
    described = [
        {"name": name, "type": kind, "format": form, "description": "", "priority": 0} for name, kind, form in names
    ]
    return b'{"kind":"Table","apiVersion":"meta.k8s.io/%b","metadata":%b,"columnDefinitions":%b,"rows":[%b]}' % (
        call.form.version.encode(),
        metadata,
        codec.encode(described),
        b'{"cells":%b,"object":%b}' % (codec.encode(cells), about),
    )


async def update(call: Call) -> Response:
    """Set the replicas."""
    scale = decoding.decode(Scale, call.request, GROUP_VERSION, "Scale", call.attributes.warnings)
    objectmeta.check_name(call, scale.metadata)
    return await _change(call, lambda current: scale)


async def patch(call: Call) -> Response:
    """Patch the Scale and set the replicas that it has then."""
    if content_type(call.request) == APPLY_PATCH:
        return await _apply(call)
    applying.check_options(call.request)
    apply = patch_of(call, Scale)
    return await _change(call, lambda current: apply(codec.encode(current)))


async def _apply(call: Call) -> Response:
    applied = applying.read(call)
    applying.check_config(applied.config, GROUP_VERSION, "Scale")

    def scaled(current: Scale, managed: ssa.Managed) -> tuple[Scale, ssa.Managed]:
        live = codec.decode_builtins(codec.encode(current))
        document, owners = applying.merged(applied, Scale, live, managed, _writer(call, applied.manager), _convert)
        applying.warn(call, applied)
        return codec.convert(Scale, document), owners

    return await _change_owned(call, scaled)


def _convert(version: str, old: Any, new: Any) -> None:
    """There is one version of Scale only."""


def _writer(call: Call, manager: str) -> ssa.Writer:
    return ownership.writer_of(call, manager)._replace(version=GROUP_VERSION, excluded={})


async def _change(call: Call, scaled: Callable[[Scale], Scale]) -> Response:
    writer = _writer(call, ownership.manager_of(call))

    def booked(current: Scale, managed: ssa.Managed) -> tuple[Scale, ssa.Managed]:
        new = scaled(current)
        new.metadata.managedFields = None
        # As anywhere else, only who is tracked already can lose or gain.
        owners = ssa.update(structure.node_of(Scale), current, new, managed, writer, _convert) if managed else managed
        return new, owners

    return await _change_owned(call, booked)


async def _change_owned(call: Call, scaled: Callable[[Scale, ssa.Managed], tuple[Scale, ssa.Managed]]) -> Response:
    row = call.endpoint.row
    strategy = row.strategy
    scaling = scaling_of(row)

    def change(old: Any, entry: Entry) -> Any:
        entries = old.metadata.managedFields
        scale, owners = scaled(scaling.scale_of(old), ownership.of_scale(entries, row, scaling.owned))
        metadata = scale.metadata
        if metadata.resourceVersion and metadata.resourceVersion != str(entry.revision):
            raise call.endpoint.conflict(metadata.name)
        if metadata.uid and metadata.uid != old.metadata.uid:
            raise call.endpoint.conflict(metadata.name, f"UID in precondition: {metadata.uid}")
        replicas = scale.spec.replicas or 0
        if replicas < 0:
            problem = fields.invalid("spec.replicas", replicas, "must be greater than or equal to 0", "minimum")
            raise errors.Invalid("Scale", "autoscaling", metadata.name, [problem])
        obj = call.endpoint.view.fresh(entry)
        scaling.set_replicas(obj, replicas)
        obj.metadata.managedFields = ownership.after_scaling(entries, owners, row, scaling.owned)
        return obj

    return _answer(call, await change_object(call, strategy, change))
