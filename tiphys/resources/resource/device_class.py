"""DeviceClass: which devices a claim may get by naming the class."""

from tiphys.api import resource_v1, resource_v1beta2
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.resource import claims, shared
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import FunctionStrategy
from tiphys.resources.versions import older

CONFIG_MAX = 32
#: Extended resources have a domain that is none of Kubernetes' own, and fit behind ``requests.``.
OWN_DOMAINS = ("kubernetes.io/",)


def is_extended_resource(name: str) -> bool:
    own = "/" not in name or any(domain in name for domain in OWN_DOMAINS)
    return not own and not name.startswith("requests.") and not checks.qualified_name(f"requests.{name}")


def validate(device_class: resource_v1.DeviceClass) -> Errors:
    errs: Errors = []
    spec = device_class.spec

    def configuration(errs: Errors, path: str, given: resource_v1.DeviceClassConfiguration) -> None:
        shared.configuration(errs, path, given.opaque)

    shared.each(errs, "spec.selectors", spec.selectors, claims.REQUESTS_MAX, claims.selector)
    shared.each(errs, "spec.config", spec.config, CONFIG_MAX, configuration)
    name = spec.extendedResourceName
    if name is not None and not is_extended_resource(name):
        errs.append(fields.invalid("spec.extendedResourceName", name, "must be a valid extended resource name"))
    return errs


ROW = Resource(
    group="resource.k8s.io",
    version="v1",
    kind="DeviceClass",
    plural="deviceclasses",
    cls=resource_v1.DeviceClass,
    strategy=FunctionStrategy(None, validate),
    namespaced=False,
    columns=(NAME, AGE),
)
ROWS = (ROW, older(ROW, "v1beta2", resource_v1beta2.DeviceClass))
