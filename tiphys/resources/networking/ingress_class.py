"""IngressClass."""

from datetime import datetime

from tiphys.api import networking_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy

CONTROLLER_MAX = 250


def default(ingress_class: networking_v1.IngressClass) -> None:
    parameters = ingress_class.spec.parameters
    if parameters is not None and parameters.scope is None:
        parameters.scope = "Cluster"


def validate(ingress_class: networking_v1.IngressClass) -> Errors:
    errs: Errors = []
    controller = ingress_class.spec.controller or ""
    if len(controller) > CONTROLLER_MAX:
        errs.append(fields.too_long("spec.controller", controller, CONTROLLER_MAX))
    domain, separator, rest = controller.partition("/")
    if not separator or not rest:
        detail = 'must be a domain-prefixed path (such as "acme.io/foo")'
        errs.append(fields.invalid("spec.controller", controller, detail))
    else:
        checks.form(errs, "spec.controller", domain, checks.dns1123_subdomain)
    parameters = ingress_class.spec.parameters
    if parameters is not None:
        for name in ("kind", "name"):
            if not getattr(parameters, name):
                errs.append(fields.required(f"spec.parameters.{name}"))
        checks.one_of(errs, "spec.parameters.scope", parameters.scope, ("Cluster", "Namespace"))
    return errs


def validate_change(ingress_class: networking_v1.IngressClass, old: networking_v1.IngressClass) -> Errors:
    errs: Errors = []
    checks.immutable(errs, "spec.controller", ingress_class.spec.controller, old.spec.controller)
    return errs


def _parameters(ingress_class: networking_v1.IngressClass, now: datetime) -> str:
    parameters = ingress_class.spec.parameters
    if parameters is None:
        return "<none>"
    kind = f"{parameters.kind}.{parameters.apiGroup}" if parameters.apiGroup else parameters.kind
    return f"{kind}/{parameters.name}"


ROW = Resource(
    group="networking.k8s.io",
    version="v1",
    kind="IngressClass",
    plural="ingressclasses",
    cls=networking_v1.IngressClass,
    strategy=FunctionStrategy(default, validate, validate_change),
    namespaced=False,
    columns=(
        NAME,
        Column("Controller", lambda each, now: each.spec.controller or "", description="Who serves it."),
        Column("Parameters", _parameters, description="Its parameters."),
        AGE,
    ),
)
