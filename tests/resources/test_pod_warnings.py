"""What a Pod is warned of: deprecated labels and volumes, slips of the pen."""

from typing import Any

import pytest

from tests.resources.judging import made
from tiphys.resources import table

NULL = "a null labelSelector results in matching no pod"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
ARCH = {"key": "beta.kubernetes.io/arch", "operator": "Exists"}
TERM = {"topologyKey": "zone"}


def warnings(**spec: Any) -> list[str]:
    container = {"name": "c", "image": "i", **spec.pop("container", {})}
    pod = made("pods", {"spec": {"containers": [container], **spec}})
    return table.find("pods").strategy.warnings(pod, None)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        (
            {"container": {"resources": {"limits": {"memory": "400m", "cpu": "400m"}}}},
            [
                f'spec.containers[0].resources.{field}[memory]: fractional byte value "400m" is invalid, must be an '
                "integer"
                for field in ("limits", "requests")
            ],
        ),
        (
            {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [ARCH]}]}}}},
            [
                f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].key: "
                'beta.kubernetes.io/arch is deprecated since v1.14; use "kubernetes.io/arch" instead'
            ],
        ),
        (
            {"affinity": {"podAntiAffinity": {REQUIRED: [TERM]}}},
            [f"spec.affinity.podAntiAffinity.{REQUIRED}[0].labelSelector: {NULL}"],
        ),
        (
            {"topologySpreadConstraints": [{**TERM, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]},
            [f"spec.topologySpreadConstraints[0].labelSelector: {NULL}"],
        ),
        (
            {"volumes": [{"name": "v", "rbd": {"monitors": ["m"], "image": "i"}}]},
            ["spec.volumes[0].rbd: deprecated in v1.28, non-functional in v1.31+"],
        ),
        ({"imagePullSecrets": [{}]}, ['spec.imagePullSecrets[0].name: invalid empty name ""']),
    ],
)
def test_what_is_warned_of(spec: dict[str, Any], expected: list[str]) -> None:
    assert warnings(**spec) == expected
