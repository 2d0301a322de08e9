"""What is said of containers, and what they write: no cluster."""

import pytest

from tiphys.api import core_v1, meta_v1
from tiphys.simulation import logs
from tiphys.simulation.allowance import Allowance
from tiphys.simulation.behaviour import Behaviour, behaviour
from tiphys.simulation.simulations import Meta, Simulations, SimulationView, Spec


def made(name, priority=0, **pods):
    return SimulationView(metadata=Meta(name=name), spec=Spec(priority=priority, pods=pods))


def a_pod(namespace="default", **labels):
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(name="a", namespace=namespace, labels=labels),
        spec=core_v1.PodSpec(containers=[core_v1.Container(name="c", image="x")]),
    )


def test_the_higher_priority_wins_field_by_field():
    all_of_them = Simulations()
    all_of_them.put(made("b", startSeconds=1, cpu="1m"))
    all_of_them.put(made("a", startSeconds=2))
    all_of_them.put(made("z", priority=5, startSeconds=3))
    assert all_of_them.given(a_pod(), "c") == {"start-seconds": "3", "cpu": "1m"}
    all_of_them.remove("z")
    assert all_of_them.given(a_pod(), "c")["start-seconds"] == "2"


@pytest.mark.parametrize(
    ("spec", "matches"),
    [
        ({}, True),
        ({"namespaces": ["other"]}, False),
        ({"containers": ["d"]}, False),
        ({"selector": {"matchLabels": {"app": "web"}}}, True),
        ({"selector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}}, False),
    ],
)
def test_whom_it_is_about(spec, matches):
    simulations = Simulations()
    simulations.put(made("s", stopSeconds=4, **spec))
    assert bool(simulations.given(a_pod(app="web"), "c")) == matches


def test_values_that_mean_nothing_are_told_and_left_out():
    simulations = Simulations()
    simulations.put(made("s", startSeconds="soon", runSeconds="forever"))
    assert simulations.given(a_pod(), "c") == {"run-seconds": "forever"}
    assert simulations.find("s").message == "spec.pods.startSeconds: 'soon' is not a number of seconds"


def test_exit_codes_are_used_in_turn():
    given = {"exit-code": "1,0"}
    pod = a_pod()
    codes = [behaviour(pod, pod.spec.containers[0], "app", attempt, given).exit_code for attempt in range(3)]
    assert codes == [1, 0, 0]


def test_a_log_is_written_at_the_start_and_again():
    plan = Behaviour(log="one\ntwo", log_every_seconds=10)
    found = list(logs.lines(plan, started=100, after=0, until=125))
    assert [(line.at, line.text) for line in found] == [
        (100, "one"),
        (100, "two"),
        (110, "one"),
        (110, "two"),
        (120, "one"),
        (120, "two"),
    ]
    assert [line.at for line in logs.lines(plan, started=100, after=110, until=125)] == [120, 120]
    once = Behaviour(log="one")
    assert [line.at for line in logs.lines(once, 100, 0, 1e9)] == [100]
    assert list(logs.lines(once, 100, 100, 1e9)) == []


def test_a_log_is_cut_as_asked():
    found = [logs.Line(1.0, "one"), logs.Line(2.0, "two"), logs.Line(3.0, "three")]
    assert logs.rendered(found, logs.Options(tail_lines=1)) == b"three\n"
    assert logs.rendered(found, logs.Options(tail_lines=0)) == b""
    assert logs.rendered(found, logs.Options(since=2.0)) == b"two\nthree\n"
    assert logs.rendered(found, logs.Options(limit_bytes=5)) == b"one\nt"
    assert logs.rendered(found[:1], logs.Options(timestamps=True)) == b"1970-01-01T00:00:01.000000Z one\n"


class Hands:
    """A clock that is set by hand."""

    def __init__(self):
        self.at = 0.0

    def monotonic(self):
        return self.at


def test_an_allowance_gathers_no_more_than_its_burst():
    clock = Hands()
    allowance = Allowance(2.0, 3.0, clock)
    assert [allowance.take() for _ in range(7)] == [True] * 6 + [False]
    clock.at = 1.0
    assert [allowance.take() for _ in range(3)] == [True, True, False]
