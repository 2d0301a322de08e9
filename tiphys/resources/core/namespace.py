"""Namespace: gone when the namespace controller has emptied it and taken the ``kubernetes`` finalizer away."""

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource, Strategy, Subresource

FINALIZER = "kubernetes"
NAME_LABEL = "kubernetes.io/metadata.name"
VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")


def default(namespace: core_v1.Namespace) -> None:
    """Every namespace carries its name as a label, so that selectors can name it."""
    if namespace.metadata.name:
        namespace.metadata.labels = {**namespace.metadata.labels, NAME_LABEL: namespace.metadata.name}
    if not namespace.status.phase:
        namespace.status.phase = "Active"


class NamespaceStrategy(Strategy[core_v1.Namespace]):
    """The main endpoint."""

    def default(self, obj: core_v1.Namespace) -> None:
        default(obj)

    def prepare_for_create(self, obj: core_v1.Namespace) -> None:
        default(obj)
        obj.status = core_v1.NamespaceStatus(phase="Active")
        finalizers = obj.spec.finalizers or []
        if FINALIZER not in finalizers:
            obj.spec.finalizers = [*finalizers, FINALIZER]

    def validate_create(self, obj: core_v1.Namespace) -> list[FieldError]:
        return _finalizers(obj)

    def prepare_for_update(self, obj: core_v1.Namespace, old: core_v1.Namespace) -> None:
        obj.spec.finalizers = old.spec.finalizers
        obj.status = old.status


def _finalizers(namespace: core_v1.Namespace) -> Errors:
    errs: Errors = []
    for index, name in enumerate(namespace.spec.finalizers or ()):
        path = f"spec.finalizers[{index}]"
        checks.form(errs, path, name, checks.qualified_name)
        if "/" not in name and name != FINALIZER:
            errs.append(
                fields.invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified")
            )
    return errs


class NamespaceStatusStrategy(Strategy[core_v1.Namespace]):
    """``/status``: written by the namespace controller."""

    def default(self, obj: core_v1.Namespace) -> None:
        default(obj)

    def prepare_for_update(self, obj: core_v1.Namespace, old: core_v1.Namespace) -> None:
        obj.spec = old.spec

    def validate_update(self, obj: core_v1.Namespace, old: core_v1.Namespace) -> list[FieldError]:
        errs: Errors = []
        deleting = obj.metadata.deletionTimestamp is not None
        phase = obj.status.phase or ""
        if deleting and phase != "Terminating":
            detail = "may only be 'Terminating' if `deletionTimestamp` is not empty"
            errs.append(fields.invalid("status.Phase", phase, detail))
        if not deleting and phase != "Active":
            detail = "may only be 'Active' if `deletionTimestamp` is empty"
            errs.append(fields.invalid("status.Phase", phase, detail))
        return errs


class FinalizeStrategy(Strategy[core_v1.Namespace]):
    """``/finalize``: the only place where spec.finalizers change."""

    def default(self, obj: core_v1.Namespace) -> None:
        default(obj)

    def prepare_for_update(self, obj: core_v1.Namespace, old: core_v1.Namespace) -> None:
        obj.status = old.status

    def validate_update(self, obj: core_v1.Namespace, old: core_v1.Namespace) -> list[FieldError]:
        return _finalizers(obj)


ROW = Resource(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    cls=core_v1.Namespace,
    strategy=NamespaceStrategy(),
    namespaced=False,
    short_names=("ns",),
    verbs=VERBS,
    subresources=(
        Subresource("finalize", ("update",), strategy=FinalizeStrategy()),
        subresources.status(NamespaceStatusStrategy()),
    ),
    columns=(
        NAME,
        Column(
            "Status", lambda namespace, now: namespace.status.phase or "", description="Whether it is being deleted."
        ),
        AGE,
    ),
    fields={"name": lambda namespace: namespace.metadata.name, "status.phase": lambda n: n.status.phase or ""},
    name_problems=checks.dns1123_label,
)
