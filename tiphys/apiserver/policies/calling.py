"""What both stages do with a policy: who is meant, with which parameters, and the values its expressions see."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from tiphys.apiserver.policies import compiled, params
from tiphys.apiserver.policies.matching import invocation
from tiphys.apiserver.policies.params import ConfigurationError
from tiphys.apiserver.policies.scope import Scope
from tiphys.apiserver.policies.source import Policy
from tiphys.apiserver.webhooks import review
from tiphys.apiserver.webhooks.calling import Calling
from tiphys.apiserver.webhooks.matching import Invocation
from tiphys.apiserver.webhooks.subject import Subject
from tiphys.machinery import cel, codec, errors

_METADATA: Final = (
    *("name", "generateName", "namespace", "labels", "annotations", "creationTimestamp"),
    *("deletionGracePeriodSeconds", "deletionTimestamp", "generation", "resourceVersion", "finalizers"),
)


class Call(NamedTuple):
    """A policy to be evaluated for a request: through which binding, in which version, with which parameter."""

    policy: Policy
    binding: Any
    invocation: Invocation
    param: Any

    @property
    def key(self) -> tuple[str, str, str, str]:
        metadata = (self.param or {}).get("metadata") or {}
        binding = str(self.binding.metadata.name)
        return self.policy.name, binding, metadata.get("namespace", ""), metadata.get("name", "")


class Fault(NamedTuple):
    """A policy or binding that cannot be used. ``binding`` is None where the policy is to blame."""

    policy: Policy
    binding: Any
    why: str


def calls(policy: Policy, subject: Subject, calling: Calling) -> Iterator[Call | Fault]:
    """All evaluations of a policy that the request is due."""
    spec, tools = policy.definition.spec, calling.tools
    try:
        meant = invocation(spec.matchConstraints, subject, calling.rows, tools)
    except errors.StatusError as error:
        yield Fault(policy, None, f"failed to configure policy: {error.message}")
        return
    if meant is None:
        return
    for binding in policy.bindings:
        try:
            if invocation(binding.spec.matchResources, subject, calling.rows, tools) is None:
                continue
            found = params.collected(spec, binding.spec.paramRef, subject.attributes.namespace, tools)
        except errors.StatusError as error:
            yield Fault(policy, binding, f"failed to configure binding: {error.message}")
            continue
        except ConfigurationError as error:
            yield Fault(policy, binding if error.of_binding else None, str(error))
            if not error.of_binding:
                return
            continue
        for param in found:
            yield Call(policy, binding, meant, param)


def scope(call: Call, subject: Subject, calling: Calling) -> Scope:
    """Values for the expressions of one call. Raises NotFound for a Namespace that is not there."""
    row = call.invocation.row
    request = review.request(call.invocation, subject)
    del request["object"], request["oldObject"]
    values = {
        "object": codec.decode_builtins(subject.new(row)),
        "oldObject": codec.decode_builtins(subject.before(row)),
        "request": request,
        "namespaceObject": namespace_object(subject, calling),
        "params": call.param,
    }
    return Scope(values, subject.attributes.user, calling.tools)


def namespace_object(subject: Subject, calling: Calling) -> dict[str, Any] | None:
    """What expressions see of the request's Namespace; None outside of any, and for Namespaces themselves."""
    attributes = subject.attributes
    if not attributes.namespace or (attributes.resource == "namespaces" and not attributes.group):
        return None
    found: Any = calling.tools.objects.find("", "namespaces", "", attributes.namespace)
    if found is None:
        raise errors.NotFound("namespaces", attributes.namespace)
    document = codec.decode_builtins(codec.encode(found))
    given = document.get("metadata") or {}
    metadata = {name: given[name] for name in _METADATA if name in given}
    if "uid" in given:
        metadata["UID"] = given["uid"]
    shown = {"metadata": metadata, "spec": document.get("spec") or {}, "status": document.get("status") or {}}
    shown["status"] = {name: value for name, value in shown["status"].items() if name == "phase"}
    return shown


def with_variables(about: Scope, expressions: compiled.Compiled, budget: cel.Budget) -> None:
    """Give the scope the policy's variables, on this budget."""
    about.values["variables"] = compiled.Variables(expressions.variables, about.values, budget)


async def evaluated(one: compiled.Expression, about: Scope, budget: cel.Budget) -> Any:
    """Raises EvaluationError in the words that users see, BudgetExceeded."""
    if one.program is None:
        raise cel.EvaluationError(one.fault)
    try:
        return await about.evaluate(one.program, budget)
    except (cel.EvaluationError, cel.CostExceeded) as error:
        raise cel.EvaluationError(f"expression '{one.source}' resulted in error: {error}") from None
