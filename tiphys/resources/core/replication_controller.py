"""ReplicationController."""

from tiphys.api import core_v1, meta_v1
from tiphys.resources import checks, columns, subresources, workloads
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.core.pod.template import default_template
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy


def default(controller: core_v1.ReplicationController) -> None:
    """Selector and labels come from the template where they are missing."""
    spec = controller.spec
    if spec.replicas is None:
        spec.replicas = 1
    if spec.template is None:
        return
    template_labels = spec.template.metadata.labels
    if not spec.selector and template_labels:
        spec.selector = dict(template_labels)
    if not controller.metadata.labels and template_labels:
        controller.metadata.labels = dict(template_labels)
    default_template(spec.template)


def validate(controller: core_v1.ReplicationController) -> Errors:
    errs: Errors = []
    spec = controller.spec
    checks.not_negative(errs, "spec.minReadySeconds", spec.minReadySeconds)
    checks.not_negative(errs, "spec.replicas", spec.replicas)
    selector = meta_v1.LabelSelector(matchLabels=spec.selector)
    workloads.validate_selector_and_template(errs, selector, spec.template, "ReplicationController")
    return errs


def validate_status(controller: core_v1.ReplicationController) -> Errors:
    errs: Errors = []
    workloads.validate_ready_counts(errs, controller.status, ("fullyLabeledReplicas",))
    return errs


ROW = Resource(
    group="",
    version="v1",
    kind="ReplicationController",
    plural="replicationcontrollers",
    cls=core_v1.ReplicationController,
    strategy=FunctionStrategy(default, validate),
    short_names=("rc",),
    categories=("all",),
    subresources=(subresources.SCALE, subresources.status(FunctionStatusStrategy(default, validate_status))),
    columns=(
        NAME,
        Column("Desired", lambda rc, now: rc.spec.replicas or 0, type="integer", description="Pods desired."),
        Column("Current", lambda rc, now: rc.status.replicas, type="integer", description="Pods that exist."),
        Column("Ready", lambda rc, now: rc.status.readyReplicas or 0, type="integer", description="Pods ready."),
        AGE,
        *workloads.TEMPLATE_COLUMNS,
        Column("Selector", lambda rc, now: columns.labels(rc.spec.selector), priority=1, description="Its Pods."),
    ),
    fields={"status.replicas": lambda controller: str(controller.status.replicas)},
)
