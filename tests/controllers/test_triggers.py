"""Endpoints tell what they follow: the earliest change that has not been told yet."""

from tiphys.api import core_v1, meta_v1
from tiphys.api.scalars import Time
from tiphys.controllers.triggers import ANNOTATION, TriggerTimes, stamped


def service() -> core_v1.Service:
    return core_v1.Service(metadata=meta_v1.ObjectMeta(name="s", creationTimestamp=Time("2026-01-01T00:00:00Z")))


def pod(name: str, at: str) -> core_v1.Pod:
    ready = core_v1.PodCondition(type="Ready", status="True", lastTransitionTime=Time(at))
    return core_v1.Pod(metadata=meta_v1.ObjectMeta(name=name, uid=name), status=core_v1.PodStatus(conditions=[ready]))


def test_each_instant_is_told_once_and_the_earliest_first() -> None:
    times = TriggerTimes()
    one = pod("a", "2026-01-01T00:01:00Z")
    assert times.note("d/s", service(), [one]) == "2026-01-01T00:00:00Z"
    assert times.note("d/s", service(), [one]) == ""
    two, three = pod("b", "2026-01-01T00:03:00Z"), pod("c", "2026-01-01T00:02:00Z")
    assert times.note("d/s", service(), [one, two, three]) == "2026-01-01T00:02:00Z"
    assert times.note("d/s", service(), [two, three]) == "", "who leaves has no instant"
    times.forget("d/s")
    assert times.note("d/s", service(), []) == "2026-01-01T00:00:00Z"


def test_the_annotation_comes_and_goes() -> None:
    old = meta_v1.ObjectMeta(annotations={"kept": "x"})
    told = stamped(old, "2026-01-01T00:00:00Z")
    assert told.annotations == {"kept": "x", ANNOTATION: "2026-01-01T00:00:00Z"}
    assert stamped(told, "").annotations == {"kept": "x"} == old.annotations
