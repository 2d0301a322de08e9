"""What Workload and PodGroup share: the policy by which a group of Pods is scheduled."""

from tiphys.api import scheduling_v1alpha2
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors

TOPOLOGY_MAX = 1
CLAIMS_MAX = 4
DISRUPTION_MODES = ("Pod", "PodGroup")


def policy(errs: Errors, path: str, given: scheduling_v1alpha2.PodGroupSchedulingPolicy) -> None:
    chosen = [name for name in ("basic", "gang") if getattr(given, name) is not None]
    if not chosen:
        errs.append(fields.invalid(path, "", "must specify one of: `basic`, `gang`"))
    elif len(chosen) > 1:
        errs.append(fields.invalid(path, "{basic, gang}", "must specify exactly one of: `basic`, `gang`"))
    if given.gang is None:
        return
    if given.gang.minCount == 0:
        errs.append(fields.required(f"{path}.gang.minCount"))
    elif given.gang.minCount < 0:
        detail = "must be greater than or equal to 1"
        errs.append(fields.invalid(f"{path}.gang.minCount", given.gang.minCount, detail))


def constraints(errs: Errors, path: str, given: scheduling_v1alpha2.PodGroupSchedulingConstraints | None) -> None:
    topology = (given.topology if given else None) or []
    if len(topology) > TOPOLOGY_MAX:
        errs.append(fields.too_many(f"{path}.topology", len(topology), TOPOLOGY_MAX))
    for index, constraint in enumerate(topology):
        checks.required_form(errs, f"{path}.topology[{index}].key", constraint.key, checks.qualified_name)


def group(
    errs: Errors, path: str, given: scheduling_v1alpha2.PodGroupTemplate | scheduling_v1alpha2.PodGroupSpec
) -> None:
    """The fields that a template and a group have in common."""
    policy(errs, f"{path}.schedulingPolicy", given.schedulingPolicy)
    constraints(errs, f"{path}.schedulingConstraints", given.schedulingConstraints)
    if given.disruptionMode is not None:
        checks.one_of(errs, f"{path}.disruptionMode", given.disruptionMode, DISRUPTION_MODES)
    if given.priorityClassName:
        checks.form(errs, f"{path}.priorityClassName", given.priorityClassName, checks.dns1123_subdomain)
    claims = given.resourceClaims or []
    if len(claims) > CLAIMS_MAX:
        errs.append(fields.too_many(f"{path}.resourceClaims", len(claims), CLAIMS_MAX))
    checks.duplicates(errs, lambda index: f"{path}.resourceClaims[{index}]", [claim.name for claim in claims])
    for index, claim in enumerate(claims):
        here = f"{path}.resourceClaims[{index}]"
        checks.required_form(errs, f"{here}.name", claim.name, checks.dns1123_label)
        names = [name for name in ("resourceClaimName", "resourceClaimTemplateName") if getattr(claim, name)]
        if len(names) != 1:
            words = "must specify one of" if not names else "must specify exactly one of"
            detail = f"{words}: `resourceClaimName`, `resourceClaimTemplateName`"
            errs.append(fields.invalid(here, "" if not names else f"{{{', '.join(names)}}}", detail))
