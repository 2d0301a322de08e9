"""What may be said in a Job's policies, one row per rule."""

from typing import Any

import pytest

from tiphys.api import batch_v1, core_v1
from tiphys.machinery import codec
from tiphys.resources.batch import policies
from tiphys.resources.batch.job import ROW


def _problems(**spec: Any) -> list[tuple[str, str]]:
    container = core_v1.Container(name="c", image="x")
    template = core_v1.PodTemplateSpec(spec=core_v1.PodSpec(containers=[container], restartPolicy="Never"))
    job = batch_v1.Job(spec=batch_v1.JobSpec(template=template))
    found = codec.to_builtins(job)
    found["spec"].update(spec)
    job = codec.convert(batch_v1.Job, found)
    ROW.strategy.default(job)
    job.metadata.name, job.metadata.uid = "j", "u"
    ROW.strategy.prepare_for_create(job)
    return [(error.path, error.detail) for error in ROW.strategy.validate_create(job)]


def _rule(**rule: Any) -> dict[str, Any]:
    return {"podFailurePolicy": {"rules": [{"action": "FailJob", **rule}]}}


CODES = {"operator": "In", "values": [1, 2]}
RULE = "spec.podFailurePolicy.rules[0]"
INDEXED = {"completionMode": "Indexed", "completions": 5}


def _success(**rule: Any) -> dict[str, Any]:
    return {**INDEXED, "successPolicy": {"rules": [rule]}}


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (_rule(onExitCodes=CODES), []),
        (_rule(onPodConditions=[{"type": "DisruptionTarget"}]), []),
        (_rule(), [(RULE, "specifying one of OnExitCodes and OnPodConditions is required")]),
        (
            _rule(onExitCodes={"operator": "In", "values": [0]}),
            [(f"{RULE}.onExitCodes.values[0]", "must not be 0 for the In operator")],
        ),
        (
            _rule(onExitCodes={"operator": "NotIn", "values": [2, 1]}),
            [(f"{RULE}.onExitCodes.values", "must be ordered")],
        ),
        (
            _rule(onExitCodes={**CODES, "containerName": "other"}),
            [
                (
                    f"{RULE}.onExitCodes.containerName",
                    "must be one of the container or initContainer names in the pod template",
                )
            ],
        ),
        (
            _rule(action="FailIndex", onExitCodes=CODES),
            [(f"{RULE}.action", "requires the backoffLimitPerIndex to be set")],
        ),
        (
            {**_rule(onExitCodes=CODES), "podReplacementPolicy": "TerminatingOrFailed"},
            [("spec.podReplacementPolicy", 'supported values: "Failed"')],
        ),
        (_success(succeededIndexes="0,2-4"), []),
        (
            _success(succeededIndexes="0-9"),
            [("spec.successPolicy.rules[0].succeededIndexes", 'error parsing succeededIndexes: too large index: "9"')],
        ),
        (
            _success(succeededIndexes="0-1", succeededCount=3),
            [
                (
                    "spec.successPolicy.rules[0].succeededCount",
                    "must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)",
                )
            ],
        ),
        (
            {"successPolicy": {"rules": [{"succeededCount": 1}]}},
            [("spec.successPolicy", "requires indexed completion mode")],
        ),
        ({"maxFailedIndexes": 1}, [("spec.maxFailedIndexes", "requires indexed completion mode")]),
        ({"managedBy": "nobody"}, [("spec.managedBy", 'must be a domain-prefixed path (such as "acme.io/foo")')]),
    ],
)
def test_policies(spec: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert _problems(**spec) == found


@pytest.mark.parametrize(("text", "total"), [("3", 1), ("0-4", 5), ("0,2,4", 3)])
def test_indexes_are_counted(text: str, total: int) -> None:
    assert policies.count_indexes(text, 5) == total


@pytest.mark.parametrize("text", ["", "a", "1-2-3", "3,1", "2-2", "4-1", "0-4,4"])
def test_malformed_indexes(text: str) -> None:
    with pytest.raises(ValueError, match=r"index|order|fragment"):
        policies.count_indexes(text, 5)
