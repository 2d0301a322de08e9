"""RuntimeClass."""

from tiphys.api import node_v1
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.core.pod.scheduling import validate_tolerations
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy


def validate(runtime_class: node_v1.RuntimeClass) -> Errors:
    errs: Errors = []
    checks.form(errs, "handler", runtime_class.handler, checks.dns1123_label)
    if runtime_class.overhead is not None:
        checks.quantities(errs, "overhead.podFixed", runtime_class.overhead.podFixed)
    if runtime_class.scheduling is not None:
        checks.labels(errs, "scheduling.nodeSelector", runtime_class.scheduling.nodeSelector)
        validate_tolerations(errs, "scheduling.tolerations", runtime_class.scheduling.tolerations or [])
    return errs


def validate_change(runtime_class: node_v1.RuntimeClass, old: node_v1.RuntimeClass) -> Errors:
    errs: Errors = []
    checks.immutable(errs, "handler", runtime_class.handler, old.handler)
    return errs


ROW = Resource(
    group="node.k8s.io",
    version="v1",
    kind="RuntimeClass",
    plural="runtimeclasses",
    cls=node_v1.RuntimeClass,
    strategy=FunctionStrategy(None, validate, validate_change, counts_generation=False, unconditional_update=False),
    namespaced=False,
    columns=(
        NAME,
        Column("Handler", lambda each, now: each.handler, description="Which configuration of the runtime."),
        AGE,
    ),
)
