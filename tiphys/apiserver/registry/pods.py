"""``pods/binding``, by which a scheduler places a Pod.

Source: Kubernetes API reference, Binding v1; the Pod registry, by behaviour.
"""

from tiphys.api import core_v1
from tiphys.apiserver import decoding
from tiphys.apiserver.entries import Entry
from tiphys.apiserver.registry.endpoint import Call, success
from tiphys.apiserver.registry.updating import change_object
from tiphys.machinery import errors, fields, times
from tiphys.resources.rules import Strategy
from tiphys.wire.exchange import Response


class _BindingStrategy(Strategy[core_v1.Pod]):
    """Nothing but the binding changes, and that is checked here."""


_STRATEGY = _BindingStrategy()


async def bind(call: Call) -> Response:
    """Place the Pod on the node that the Binding names; 409 if it is placed already."""
    binding = decoding.decode(core_v1.Binding, call.request, "v1", "Binding", call.attributes.warnings)
    attributes = call.attributes
    name = binding.metadata.name or attributes.name
    if attributes.name and name != attributes.name:
        raise errors.BadRequest("name in URL does not match name in Binding object")
    attributes.name = name
    _check_target(name, binding)
    services = call.endpoint.services
    attributes.operation = "CREATE"
    await services.admission.admit(attributes, binding, None)
    await services.admission.validate(attributes, binding, None)
    if call.dry_run:
        return success(201, code=201)

    def change(old: core_v1.Pod, entry: Entry) -> core_v1.Pod:
        pod: core_v1.Pod = call.endpoint.view.fresh(entry)
        _place(call, pod, binding)
        return pod

    await change_object(call, _STRATEGY, change, admitted=True)
    return success(201, code=201)


def _check_target(name: str, binding: core_v1.Binding) -> None:
    problems = []
    if binding.target.kind not in (None, "", "Node"):
        problems.append(fields.not_supported("target.kind", binding.target.kind, ["Node", "<empty>"]))
    if not binding.target.name:
        problems.append(fields.required("target.name"))
    if problems:
        raise errors.Invalid("Binding", "", name, problems)


def _place(call: Call, pod: core_v1.Pod, binding: core_v1.Binding) -> None:
    """Write the node into ``pod``; raises Conflict."""
    name = pod.metadata.name
    wanted = binding.metadata
    if (wanted.uid and wanted.uid != pod.metadata.uid) or (
        wanted.resourceVersion and wanted.resourceVersion != pod.metadata.resourceVersion
    ):
        raise errors.Conflict("pods/binding", name, "Precondition failed: the Pod is not the one that was to be bound")
    if pod.metadata.deletionTimestamp:
        raise errors.Conflict("pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod.spec.nodeName:
        raise errors.Conflict("pods/binding", name, f'pod {name} is already assigned to node "{pod.spec.nodeName}"')
    if pod.spec.schedulingGates:
        raise errors.Conflict("pods/binding", name, f"pod {name} has non-empty .spec.schedulingGates")
    pod.spec.nodeName = binding.target.name
    # What was kept for it has served its purpose. Source: KEP-5278.
    pod.status.nominatedNodeName = None
    # Admission has given the Binding its node's zone and region. Source: KEP-4742.
    topology = {label: value for label, value in wanted.labels.items() if label.startswith("topology.kubernetes.io/")}
    if topology:
        pod.metadata.labels = {**pod.metadata.labels, **topology}
    if wanted.annotations:
        pod.metadata.annotations = {**pod.metadata.annotations, **wanted.annotations}
    now = times.format_time(call.endpoint.services.clock.now())
    conditions = pod.status.conditions = list(pod.status.conditions or ())
    for condition in conditions:
        if condition.type == "PodScheduled":
            if condition.status != "True":
                condition.status, condition.lastTransitionTime = "True", now
                condition.reason = condition.message = None
            return
    conditions.append(core_v1.PodCondition(type="PodScheduled", status="True", lastTransitionTime=now))
