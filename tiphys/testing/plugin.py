"""The pytest plugin: the fixture ``cluster``, its options, and the seed of a test that fails.

``@pytest.mark.cluster(nodes=3, seed=7)`` sets what ``Cluster`` takes; ``--cluster-seed`` chooses the seed.
"""

import random
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tiphys.testing.cluster import Cluster

_CLUSTER = pytest.StashKey["Cluster"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tiphys")
    text = "seed of the simulated clusters: a number or a word; 'random' for another one each time (default: 0)"
    group.addoption("--cluster-seed", default="0", metavar="SEED", help=text)


def pytest_configure(config: pytest.Config) -> None:
    text = "cluster(nodes=1, seed=None, ...): what the fixture 'cluster' is made of"
    config.addinivalue_line("markers", text)


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> "Iterator[Cluster]":
    """A cluster of its own for this test, in virtual time."""
    # Only now: whoever has tiphys installed, and simulates nothing, should not wait for its import.
    from tiphys.testing.cluster import Cluster  # noqa: PLC0415

    marker = request.node.get_closest_marker("cluster")
    options: dict[str, Any] = {"seed": _seed(request.config)} | (dict(marker.kwargs) if marker else {})
    with Cluster(**options) as made:
        request.node.stash[_CLUSTER] = made
        yield made


def _seed(config: pytest.Config) -> int | str:
    given = str(config.getoption("--cluster-seed", default="0"))
    if given == "random":
        return random.SystemRandom().randrange(2**32)
    return int(given) if given.isdigit() else given


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failing test says how to see the same again."""
    report = yield
    made = item.stash.get(_CLUSTER, None)
    if made is not None and report.when == "call" and report.failed:
        again = f"pytest {item.nodeid!r} --cluster-seed={made.seed}"
        text = f"seed {made.seed}, {made.elapsed:.3f} s of virtual time, {made.calls} calls\nagain: {again}"
        report.sections.append(("simulated cluster", text))
    return report
