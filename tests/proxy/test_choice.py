"""Which endpoints get connections."""

import pytest

from tiphys.proxy.choice import choose
from tiphys.proxy.services import Endpoint

READY = Endpoint("10.0.0.1", 80)
LOCAL = Endpoint("10.0.0.2", 80, local=True)
DRAINING = Endpoint("10.0.0.3", 80, ready=False, serving=True, terminating=True)
DRAINING_LOCAL = Endpoint("10.0.0.4", 80, local=True, ready=False, serving=True, terminating=True)
STARTING = Endpoint("10.0.0.5", 80, ready=False, serving=False)
DEAD = Endpoint("10.0.0.6", 80, ready=False, serving=False, terminating=True)


def zoned(endpoint: Endpoint, *zones: str) -> Endpoint:
    return Endpoint(endpoint.address, endpoint.port, endpoint.local, zones=zones)


@pytest.mark.parametrize(
    ("endpoints", "cluster", "local", "usable"),
    [
        pytest.param([], (), (), False, id="none"),
        pytest.param([READY, LOCAL], (READY, LOCAL), (LOCAL,), True, id="ready"),
        pytest.param([READY, DRAINING, STARTING], (READY,), (), True, id="ready ones go before draining ones"),
        pytest.param([DRAINING, STARTING, DEAD], (DRAINING,), (), True, id="draining ones when nothing else is left"),
        pytest.param([READY, DRAINING_LOCAL], (READY,), (DRAINING_LOCAL,), True, id="draining on this node only"),
        pytest.param([STARTING, DEAD], (), (), False, id="nobody serves"),
    ],
)
def test_choice(
    endpoints: list[Endpoint], cluster: tuple[Endpoint, ...], local: tuple[Endpoint, ...], usable: bool
) -> None:
    assert choose(endpoints) == (cluster, local, usable)


A, B = zoned(READY, "a"), zoned(LOCAL, "b")


@pytest.mark.parametrize(
    ("endpoints", "zone", "cluster"),
    [
        pytest.param([A, B], "b", (B,), id="own zone"),
        pytest.param([A, B], "c", (A, B), id="nothing in this zone"),
        pytest.param([A, B], "", (A, B), id="zone unknown"),
        pytest.param([A, LOCAL], "a", (A, LOCAL), id="one without a hint"),
        pytest.param([A, B, DRAINING], "b", (B,), id="hints of unready ones do not count"),
    ],
)
def test_hints(endpoints: list[Endpoint], zone: str, cluster: tuple[Endpoint, ...]) -> None:
    assert choose(endpoints, "n1", zone).cluster == cluster


def test_node_hints_go_before_zones() -> None:
    here = Endpoint("10.0.0.1", 80, zones=("a",), nodes=("n1",))
    there = Endpoint("10.0.0.2", 80, zones=("a",), nodes=("n2",))
    assert choose([here, there], "n1", "a").cluster == (here,)
    assert choose([here, there], "n3", "a").cluster == (here, there)
