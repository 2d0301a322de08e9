"""The file that ``tiphys up --scheduler-config`` takes."""

from pathlib import Path

import pytest

from tiphys.cli.cluster import ClusterConfig
from tiphys.cli.errors import UserError
from tiphys.cli.supervisor.components.controllers import scheduler_config, scheduler_document

GOOD = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles: [{schedulerName: packing}]
podMaxBackoffSeconds: 20
"""


def config(document: object) -> ClusterConfig:
    ranges = {"pod_range": "10.0.0.0/16", "service_range": "10.1.0.0/16"}
    return ClusterConfig(
        name="a",
        id="a",
        port=1,
        kubelet_port=2,
        node_name="n",
        scheduler_config=document,
        **ranges,  # type: ignore[arg-type]
    )


def test_what_the_file_says_is_what_schedules(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(GOOD)
    made = scheduler_config(config(scheduler_document(tmp_path / "f.yaml")))
    assert ([profile.name for profile in made.profiles], made.backoff_seconds_max) == (["packing"], 20.0)
    assert scheduler_config(config(None)).profiles[0].name == "default-scheduler"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: b", "apiVersion, kind: Unsupported value"),
        ("[1]", "not an object"),
        ("{", "expected"),
        (GOOD.replace("20", "0"), "podMaxBackoffSeconds: Invalid value: 0: must be greater than 0"),
        (GOOD + "profilez: []", 'strict decoding error: unknown field "profilez"'),
        (GOOD.replace("schedulerName:", "name:"), 'strict decoding error: unknown field "profiles[0].name"'),
        (GOOD.replace("[{schedulerName: packing}]", "[3]"), "not a KubeSchedulerConfiguration"),
        (GOOD + "extenders: [{}]", "extenders[0].urlPrefix: Required value"),
    ],
)
def test_mistakes_are_told_before_anything_starts(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "f.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        scheduler_document(tmp_path / "f.yaml")
    assert told in str(caught.value)
    assert "--scheduler-config" in str(caught.value)
