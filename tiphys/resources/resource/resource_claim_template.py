"""ResourceClaimTemplate: what claims are made of, one for each Pod that names it."""

from tiphys.api import resource_v1, resource_v1beta2
from tiphys.machinery import fields
from tiphys.resources import checks, metadata
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.resource import claims
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import FunctionStrategy
from tiphys.resources.versions import older


def default(template: resource_v1.ResourceClaimTemplate) -> None:
    claims.default(template.spec.spec.devices)


def validate(template: resource_v1.ResourceClaimTemplate) -> Errors:
    errs: Errors = []
    meta = template.spec.metadata
    if meta is not None:
        checks.labels(errs, "spec.metadata.labels", meta.labels)
        metadata.validate_annotations(errs, "spec.metadata.annotations", meta.annotations)
        for name in ("name", "generateName", "namespace", "uid", "ownerReferences", "finalizers"):
            if getattr(meta, name):
                errs.append(fields.forbidden(f"spec.metadata.{name}", "not supported in template"))
    claims.validate(errs, "spec.spec.devices", template.spec.spec.devices)
    return errs


class TemplateStrategy(FunctionStrategy):
    """The spec stays as it is, so an update is judged by that alone."""

    def validate_update(self, obj: resource_v1.ResourceClaimTemplate, old: resource_v1.ResourceClaimTemplate) -> Errors:
        errs: Errors = []
        checks.immutable(errs, "spec", obj.spec, old.spec)
        return errs


ROW = Resource(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceClaimTemplate",
    plural="resourceclaimtemplates",
    cls=resource_v1.ResourceClaimTemplate,
    strategy=TemplateStrategy(default, validate, counts_generation=False),
    columns=(NAME, AGE),
)
ROWS = (ROW, older(ROW, "v1beta2", resource_v1beta2.ResourceClaimTemplate))
