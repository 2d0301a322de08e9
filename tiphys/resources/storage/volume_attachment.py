"""VolumeAttachment."""

from tiphys.api import storage_v1
from tiphys.machinery import fields
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy


def validate(attachment: storage_v1.VolumeAttachment) -> Errors:
    errs: Errors = []
    spec = attachment.spec
    checks.required_form(errs, "spec.attacher", spec.attacher.lower(), checks.qualified_name)
    checks.required_form(errs, "spec.nodeName", spec.nodeName, checks.dns1123_subdomain)
    source = spec.source
    if source.persistentVolumeName is None and source.inlineVolumeSpec is None:
        errs.append(
            fields.required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
        )
    return errs


def validate_change(attachment: storage_v1.VolumeAttachment, old: storage_v1.VolumeAttachment) -> Errors:
    errs: Errors = []
    checks.immutable(errs, "spec", attachment.spec, old.spec)
    return errs


ROW = Resource(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttachment",
    plural="volumeattachments",
    cls=storage_v1.VolumeAttachment,
    strategy=FunctionStrategy(None, validate, validate_change, counts_generation=False, unconditional_update=False),
    namespaced=False,
    subresources=(subresources.status(FunctionStatusStrategy()),),
    columns=(
        NAME,
        Column("Attacher", lambda each, now: each.spec.attacher, description="Who attaches it."),
        Column("PV", lambda each, now: each.spec.source.persistentVolumeName or "", description="Its volume."),
        Column("Node", lambda each, now: each.spec.nodeName, description="Where to."),
        Column("Attached", lambda each, now: each.status.attached, type="boolean", description="Whether it is done."),
        AGE,
    ),
)
