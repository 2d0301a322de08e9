"""Pod templates: what Deployments, Jobs and others hold."""

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.resources import checks, metadata
from tiphys.resources.checks import Errors
from tiphys.resources.core.pod.defaults import default_pod_spec
from tiphys.resources.core.pod.validation import validate_pod_spec


def default_template(template: core_v1.PodTemplateSpec) -> None:
    """A template gets fewer defaults than the Pods made from it: no requests from limits, no service links."""
    default_pod_spec(template.spec)


def validate_template(errs: Errors, path: str, template: core_v1.PodTemplateSpec) -> None:
    checks.labels(errs, f"{path}.labels", template.metadata.labels)
    metadata.validate_annotations(errs, f"{path}.annotations", template.metadata.annotations)
    validate_pod_spec(errs, f"{path}.spec", template.spec)
    if template.spec.ephemeralContainers:
        detail = "ephemeral containers not allowed in pod template"
        errs.append(fields.forbidden(f"{path}.spec.ephemeralContainers", detail))


def validate_workload_template(errs: Errors, path: str, template: core_v1.PodTemplateSpec, kind: str) -> None:
    """The template of a workload that keeps Pods running, hence always restarts them."""
    validate_template(errs, path, template)
    policy = template.spec.restartPolicy
    if policy != "Always":
        errs.append(fields.not_supported(f"{path}.spec.restartPolicy", policy or "", ("Always",)))
    if template.spec.activeDeadlineSeconds is not None:
        detail = f"activeDeadlineSeconds in {kind} is not Supported"
        errs.append(fields.forbidden(f"{path}.spec.activeDeadlineSeconds", detail))
