"""ReplicaSet."""

from tiphys.api import apps_v1
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks, subresources, workloads
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.core.pod.template import default_template
from tiphys.resources.core.pod.warnings import pod_spec_warnings
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


def default(replica_set: apps_v1.ReplicaSet) -> None:
    if replica_set.spec.replicas is None:
        replica_set.spec.replicas = 1
    if replica_set.spec.template is not None:
        default_template(replica_set.spec.template)


def validate(replica_set: apps_v1.ReplicaSet) -> Errors:
    errs: Errors = []
    spec = replica_set.spec
    checks.not_negative(errs, "spec.replicas", spec.replicas)
    checks.not_negative(errs, "spec.minReadySeconds", spec.minReadySeconds)
    workloads.validate_selector_and_template(errs, spec.selector, spec.template, "ReplicaSet")
    return errs


class ReplicaSetStrategy(SpecStrategy[apps_v1.ReplicaSet]):
    """The main endpoint."""

    def default(self, obj: apps_v1.ReplicaSet) -> None:
        default(obj)

    def validate_create(self, obj: apps_v1.ReplicaSet) -> list[FieldError]:
        return validate(obj)

    def validate_update(self, obj: apps_v1.ReplicaSet, old: apps_v1.ReplicaSet) -> list[FieldError]:
        errs = validate(obj)
        checks.immutable(errs, "spec.selector", obj.spec.selector, old.spec.selector)
        return errs

    def warnings(self, obj: apps_v1.ReplicaSet, old: apps_v1.ReplicaSet | None) -> list[str]:
        template = obj.spec.template
        if template is None or (old is not None and template == old.spec.template):
            return []
        return pod_spec_warnings("spec.template.spec", template.spec)


class ReplicaSetStatusStrategy(StatusStrategy[apps_v1.ReplicaSet]):
    """``/status``: written by the ReplicaSet controller."""

    def default(self, obj: apps_v1.ReplicaSet) -> None:
        default(obj)

    def validate_update(self, obj: apps_v1.ReplicaSet, old: apps_v1.ReplicaSet) -> list[FieldError]:
        errs: Errors = []
        workloads.validate_ready_counts(errs, obj.status, ("fullyLabeledReplicas",))
        return errs


ROW = Resource(
    group="apps",
    version="v1",
    kind="ReplicaSet",
    plural="replicasets",
    cls=apps_v1.ReplicaSet,
    strategy=ReplicaSetStrategy(),
    short_names=("rs",),
    categories=("all",),
    subresources=(subresources.SCALE, subresources.status(ReplicaSetStatusStrategy())),
    columns=(
        NAME,
        Column("Desired", lambda rs, now: rs.spec.replicas or 0, type="integer", description="Pods desired."),
        Column("Current", lambda rs, now: rs.status.replicas, type="integer", description="Pods that exist."),
        Column("Ready", lambda rs, now: rs.status.readyReplicas or 0, type="integer", description="Pods ready."),
        AGE,
        *workloads.TEMPLATE_COLUMNS,
        workloads.SELECTOR,
    ),
    fields={"status.replicas": lambda replica_set: str(replica_set.status.replicas)},
)
