"""The pod failure policy and the success policy of a Job: what may be said.

Source: Kubernetes API reference, Job v1 batch; KEP-3329, KEP-3998.
"""

from tiphys.api import batch_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors

ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
OPERATORS = ("In", "NotIn")
STATUSES = ("False", "True", "Unknown")
RULES_MAX = 20
VALUES_MAX = 255
INDEXES_LENGTH_MAX = 64 * 1024
MANY_COMPLETIONS = 100_000


def default(spec: batch_v1.JobSpec) -> None:
    for rule in spec.podFailurePolicy.rules if spec.podFailurePolicy is not None else ():
        for pattern in rule.onPodConditions or ():
            pattern.status = pattern.status or "True"


def validate(errs: Errors, path: str, spec: batch_v1.JobSpec) -> None:
    _indexes_and_limits(errs, path, spec)
    if spec.podFailurePolicy is not None:
        _failure_policy(errs, f"{path}.podFailurePolicy", spec, spec.podFailurePolicy)
    if spec.successPolicy is not None:
        _success_policy(errs, f"{path}.successPolicy", spec, spec.successPolicy)
    if spec.podReplacementPolicy is not None:
        known = ("Failed",) if spec.podFailurePolicy is not None else ("Failed", "TerminatingOrFailed")
        checks.one_of(errs, f"{path}.podReplacementPolicy", spec.podReplacementPolicy, known)


def _indexes_and_limits(errs: Errors, path: str, spec: batch_v1.JobSpec) -> None:
    lost, completions = spec.maxFailedIndexes, spec.completions
    if spec.completionMode != "Indexed":
        if lost is not None:
            errs.append(fields.invalid(f"{path}.maxFailedIndexes", lost, "requires indexed completion mode"))
        return
    if spec.parallelism is not None and spec.parallelism > MANY_COMPLETIONS:
        detail = f"must be less than or equal to {MANY_COMPLETIONS} when completion mode is Indexed"
        errs.append(fields.invalid(f"{path}.parallelism", spec.parallelism, detail))
    if lost is not None and spec.backoffLimitPerIndex is None:
        errs.append(fields.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if lost is not None and completions is not None and lost > completions:
        errs.append(fields.invalid(f"{path}.maxFailedIndexes", lost, "must be less than or equal to completions"))
    many = completions is not None and completions > MANY_COMPLETIONS
    if many and spec.backoffLimitPerIndex is not None and lost is None:
        detail = f"must be specified when completions is above {MANY_COMPLETIONS}"
        errs.append(fields.required(f"{path}.maxFailedIndexes", detail))


def _failure_policy(errs: Errors, path: str, spec: batch_v1.JobSpec, policy: batch_v1.PodFailurePolicy) -> None:
    if len(policy.rules) > RULES_MAX:
        errs.append(fields.too_many(f"{path}.rules", len(policy.rules), RULES_MAX))
    pod = spec.template.spec
    names = {container.name for container in (*pod.containers, *(pod.initContainers or ()))}
    for number, rule in enumerate(policy.rules):
        _failure_rule(errs, f"{path}.rules[{number}]", spec, rule, names)


def _failure_rule(
    errs: Errors, path: str, spec: batch_v1.JobSpec, rule: batch_v1.PodFailurePolicyRule, names: set[str]
) -> None:
    if not rule.action:
        errs.append(fields.required(f"{path}.action", f"valid values: [{' '.join(ACTIONS)}]"))
    elif rule.action == "FailIndex" and spec.backoffLimitPerIndex is None:
        detail = "requires the backoffLimitPerIndex to be set"
        errs.append(fields.invalid(f"{path}.action", rule.action, detail))
    else:
        checks.one_of(errs, f"{path}.action", rule.action, ACTIONS)
    if rule.onExitCodes is not None:
        _exit_codes(errs, f"{path}.onExitCodes", rule.onExitCodes, names)
    for number, pattern in enumerate(rule.onPodConditions or ()):
        where = f"{path}.onPodConditions[{number}]"
        checks.form(errs, f"{where}.type", pattern.type, checks.qualified_name)
        if not pattern.status:
            errs.append(fields.required(f"{where}.status", f"valid values: [{' '.join(STATUSES)}]"))
        else:
            checks.one_of(errs, f"{where}.status", pattern.status, STATUSES)
    if len(rule.onPodConditions or ()) > RULES_MAX:
        errs.append(fields.too_many(f"{path}.onPodConditions", len(rule.onPodConditions or ()), RULES_MAX))
    if rule.onExitCodes is not None and rule.onPodConditions:
        detail = "specifying both OnExitCodes and OnPodConditions is not supported"
        errs.append(fields.invalid(path, fields.OMITTED, detail))
    if rule.onExitCodes is None and not rule.onPodConditions:
        detail = "specifying one of OnExitCodes and OnPodConditions is required"
        errs.append(fields.invalid(path, fields.OMITTED, detail))


def _exit_codes(
    errs: Errors, path: str, wanted: batch_v1.PodFailurePolicyOnExitCodesRequirement, names: set[str]
) -> None:
    if not wanted.operator:
        errs.append(fields.required(f"{path}.operator", f"valid values: [{' '.join(OPERATORS)}]"))
    else:
        checks.one_of(errs, f"{path}.operator", wanted.operator, OPERATORS)
    if wanted.containerName is not None and wanted.containerName not in names:
        detail = "must be one of the container or initContainer names in the pod template"
        errs.append(fields.invalid(f"{path}.containerName", wanted.containerName, detail))
    values = wanted.values
    if not values:
        errs.append(fields.invalid(f"{path}.values", values, "at least one value is required"))
    elif len(values) > VALUES_MAX:
        errs.append(fields.too_many(f"{path}.values", len(values), VALUES_MAX))
    seen: set[int] = set()
    for number, value in enumerate(values):
        if wanted.operator == "In" and value == 0:
            errs.append(fields.invalid(f"{path}.values[{number}]", value, "must not be 0 for the In operator"))
        if value in seen:
            errs.append(fields.duplicate(f"{path}.values[{number}]", value))
        seen.add(value)
    if values != sorted(values):
        errs.append(fields.invalid(f"{path}.values", values, "must be ordered"))


def _success_policy(errs: Errors, path: str, spec: batch_v1.JobSpec, policy: batch_v1.SuccessPolicy) -> None:
    if spec.completionMode != "Indexed":
        errs.append(fields.invalid(path, policy, "requires indexed completion mode"))
        return
    if not policy.rules:
        detail = "at least one rules must be specified when the successPolicy is specified"
        errs.append(fields.required(f"{path}.rules", detail))
    if len(policy.rules) > RULES_MAX:
        errs.append(fields.too_many(f"{path}.rules", len(policy.rules), RULES_MAX))
    for number, rule in enumerate(policy.rules):
        _success_rule(errs, f"{path}.rules[{number}]", rule, spec.completions or 0)


def _success_rule(errs: Errors, path: str, rule: batch_v1.SuccessPolicyRule, completions: int) -> None:
    if rule.succeededCount is None and rule.succeededIndexes is None:
        detail = "at least one of succeededCount or succeededIndexes must be specified"
        errs.append(fields.required(path, detail))
    total: int | None = None
    if rule.succeededIndexes is not None:
        where = f"{path}.succeededIndexes"
        if len(rule.succeededIndexes) > INDEXES_LENGTH_MAX:
            errs.append(fields.too_long(where, rule.succeededIndexes, INDEXES_LENGTH_MAX))
        try:
            total = count_indexes(rule.succeededIndexes, completions)
        except ValueError as error:
            detail = f"error parsing succeededIndexes: {error}"
            errs.append(fields.invalid(where, rule.succeededIndexes, detail))
    count = rule.succeededCount
    if count is None:
        return
    where = f"{path}.succeededCount"
    checks.not_negative(errs, where, count)
    if count > completions:
        detail = f"must be less than or equal to {completions} (the number of specified completions)"
        errs.append(fields.invalid(where, count, detail))
    if total is not None and count > total:
        text = "the number of indexes in the specified succeededIndexes field"
        errs.append(fields.invalid(where, count, f"must be less than or equal to {total} ({text})"))


def count_indexes(text: str, completions: int) -> int:
    """How many indexes ``text`` names. Raises ValueError if it is malformed, out of order, or goes too far."""
    total, last = 0, -1
    for part in text.split(","):
        ends = part.split("-")
        if len(ends) > 2:
            rule = "the requirement that an index interval can have at most two parts separated by '-'"
            raise ValueError(f'the fragment "{part}" violates {rule}')
        numbers = [_index(end) for end in ends]
        for number in numbers:
            if number >= completions:
                raise ValueError(f'too large index: "{number}"')
        first, end = numbers[0], numbers[-1]
        if len(numbers) == 2 and first >= end:
            raise ValueError(f"non-increasing order, previous: {first}, current: {end}")
        if first <= last:
            raise ValueError(f"non-increasing order, previous: {last}, current: {first}")
        total, last = total + end - first + 1, end
    return total


def _index(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f'cannot convert string to integer for index: "{text}"')
    return int(text)
