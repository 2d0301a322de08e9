"""What a claim's status says of the devices it has got."""

from collections.abc import Sequence

from tiphys.api import core_v1, resource_v1
from tiphys.scheduler.devices.allocator import FindClass, Given, concerns


def allocation(
    claim: resource_v1.ResourceClaim, given: Sequence[Given], find_class: FindClass, node: core_v1.Node
) -> resource_v1.AllocationResult:
    """``status.allocation``: devices, their configuration, and from which nodes they can be used."""
    devices = resource_v1.DeviceAllocationResult(
        results=[_result(one) for one in given], config=_configuration(claim, given, find_class) or None
    )
    return resource_v1.AllocationResult(devices=devices, nodeSelector=_selector(given, node))


def _result(given: Given) -> resource_v1.DeviceRequestAllocationResult:
    driver, pool, device = given.candidate.id
    found = given.candidate.device
    return resource_v1.DeviceRequestAllocationResult(
        request=given.request,
        driver=driver,
        pool=pool,
        device=device,
        adminAccess=True if given.for_admin else None,
        tolerations=given.asked.tolerations or None,
        bindingConditions=found.bindingConditions,
        bindingFailureConditions=found.bindingFailureConditions,
    )


def _configuration(
    claim: resource_v1.ResourceClaim, given: Sequence[Given], find_class: FindClass
) -> list[resource_v1.DeviceAllocationConfiguration]:
    """The classes' configuration comes first, so that the claim's can override it."""
    made = resource_v1.DeviceAllocationConfiguration
    found: list[resource_v1.DeviceAllocationConfiguration] = []
    classes = {one.request: one.asked.deviceClassName for one in given}
    for request, name in classes.items():
        device_class = find_class(name)
        configs = (device_class.spec.config if device_class else None) or ()
        found += (made(source="FromClass", requests=[request], opaque=config.opaque) for config in configs)
    own = (claim.spec.devices.config if claim.spec.devices else None) or ()
    found += (
        made(source="FromClaim", requests=config.requests, opaque=config.opaque)
        for config in own
        if any(concerns(config.requests, request) for request in classes)
    )
    return found


def _selector(given: Sequence[Given], node: core_v1.Node) -> core_v1.NodeSelector | None:
    """Nodes that reach all the devices; None for all nodes."""
    required: list[core_v1.NodeSelectorRequirement] = []
    for one in given:
        spec = one.candidate.slice.spec
        place = one.candidate.device if spec.perDeviceNodeSelection else spec
        if place.nodeName:
            return core_v1.NodeSelector(nodeSelectorTerms=[core_v1.NodeSelectorTerm(matchFields=[_named(node)])])
        for term in place.nodeSelector.nodeSelectorTerms if place.nodeSelector is not None else ():
            required.extend(each for each in term.matchExpressions or () if each not in required)
    if not required:
        return None
    return core_v1.NodeSelector(nodeSelectorTerms=[core_v1.NodeSelectorTerm(matchExpressions=required)])


def _named(node: core_v1.Node) -> core_v1.NodeSelectorRequirement:
    return core_v1.NodeSelectorRequirement(key="metadata.name", operator="In", values=[node.metadata.name])
