"""The supervisor's decisions: order of starting, pauses, order of stopping."""

import pytest

from tiphys.cli.supervisor.plan import Component, Plan, Start, Stop, pause_seconds


def made() -> Plan:
    parts = [Component("store"), Component("api", ("store",)), Component("node", ("api",)), Component("dns")]
    return Plan({part.name: part for part in parts})


def running() -> Plan:
    plan = made()
    plan.begin(0)
    for pid, name in enumerate(plan.components, start=100):
        plan.started(name, pid, 0)
    for name in plan.components:
        plan.reported_ready(name, 0)
    return plan


def test_what_waits_for_nothing_starts_at_once() -> None:
    assert made().begin(0) == [Start("store"), Start("dns")]


def test_the_next_starts_when_all_it_waits_for_are_ready() -> None:
    plan = made()
    plan.begin(0)
    plan.started("store", 7, 0)
    assert plan.reported_ready("store", 0) == [Start("api")]
    assert plan.reported_ready("store", 0) == []
    assert not plan.ready


def test_ready_needs_everyone() -> None:
    plan = running()
    assert plan.ready
    plan.ended("dns", "killed by signal 9", 1)
    assert not plan.ready


def test_what_ends_comes_back_after_a_pause_that_doubles() -> None:
    plan = running()
    plan.ended("api", "exit code 1", 1.0)
    assert plan.next_tick() == pytest.approx(1.1)
    assert plan.tick(1.05) == []
    assert plan.tick(1.1) == [Start("api")]
    plan.started("api", 200, 1.1)
    plan.ended("api", "exit code 1", 1.2)
    assert plan.next_tick() == pytest.approx(1.4)
    assert plan.components["api"].restarts == 2
    assert plan.components["api"].last_error == "exit code 1"


def test_a_long_run_is_forgiven() -> None:
    plan = running()
    for _ in range(9):
        plan.ended("api", "", 1.0)
        plan.started("api", 1, 1.0)
    assert plan.components["api"].failures == 9
    plan.ended("api", "", 100.0)
    assert plan.components["api"].failures == 1


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0.1), (2, 0.2), (5, 1.6), (20, 10.0)])
def test_pauses(failures: int, seconds: float) -> None:
    assert pause_seconds(failures) == pytest.approx(seconds)


def test_stopping_goes_backwards_one_at_a_time() -> None:
    plan = running()
    assert plan.stop() == [Stop("dns", 103)]
    assert plan.stop() == []
    assert plan.ended("dns", "", 1) == [Stop("node", 102)]
    assert plan.ended("api", "died meanwhile", 1) == []
    assert plan.ended("node", "", 1) == [Stop("store", 100)]
    assert not plan.stopped
    assert plan.ended("store", "", 1) == []
    assert plan.stopped
    assert plan.tick(99) == []
