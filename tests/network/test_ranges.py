"""Address ranges for a new cluster."""

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.network.kernel import host
from tiphys.network import ranges


def networks(*texts: str) -> list[IPv4Network]:
    return [IPv4Network(text) for text in texts]


@pytest.mark.parametrize(
    ("used", "pods", "services"),
    [
        pytest.param([], "10.244.0.0/16", "10.96.0.0/16", id="defaults"),
        pytest.param(["0.0.0.0/0"], "10.244.0.0/16", "10.96.0.0/16", id="a default route is no obstacle"),
        pytest.param(["10.244.3.0/24"], "10.243.0.0/16", "10.96.0.0/16", id="pods taken"),
        pytest.param(["10.244.0.0/16", "10.243.0.0/24"], "10.242.0.0/16", "10.96.0.0/16", id="two clusters"),
        pytest.param(["10.96.0.1/32"], "10.244.0.0/16", "10.97.0.0/16", id="services taken"),
        pytest.param(["10.0.0.0/8"], "172.16.0.0/16", "172.17.0.0/16", id="a whole block taken"),
    ],
)
def test_choose(used: list[str], pods: str, services: str) -> None:
    assert ranges.choose(networks(*used)) == ranges.Ranges(IPv4Network(pods), IPv4Network(services))


def test_nothing_free() -> None:
    with pytest.raises(LookupError, match="no private address range is free"):
        ranges.choose(networks("10.0.0.0/8", "172.16.0.0/12"))


@given(st.lists(st.builds(lambda a, p: IPv4Network((a << 16, p), strict=False), st.integers(2560, 2815),
                          st.integers(12, 24)), max_size=20))  # fmt: skip
def test_never_overlaps(used: list[IPv4Network]) -> None:
    chosen = ranges.choose(used)
    assert not chosen.pods.overlaps(chosen.services)
    assert not any(each.overlaps(network) for network in used for each in chosen)


def test_name_servers() -> None:
    text = "search a.b\nnameserver 10.244.0.53\nnameserver fd00::1\nnameserver nonsense\nnameserver\n"
    assert ranges.name_servers(text) == networks("10.244.0.53/32")


@pytest.mark.root
def test_used_networks_sees_routes_and_addresses() -> None:
    with host() as node:
        node.run("ip", "addr", "add", "10.244.0.1/24", "dev", "lo")
        node.run("ip", "route", "add", "10.96.0.0/16", "dev", "lo")
        used = ranges.used_networks()
        assert {"10.244.0.0/24", "10.96.0.0/16"} <= {str(network) for network in used}
        assert ranges.choose(used) == ranges.Ranges(*networks("10.243.0.0/16", "10.97.0.0/16"))
