"""Names of kernel objects."""

from pathlib import Path

import pytest

from tiphys.network.config import NetworkConfig, tag_of


def test_names_fit() -> None:
    config = NetworkConfig("0123abcd", Path("state"))
    assert config.bridge == "tp0123a"
    assert len(config.port("s" * 64)) == 15
    assert config.port("one") != config.port("two")
    assert config.port("one").startswith(config.port_prefix)
    assert config.table == "tiphys-0123abcd-network"


def test_names_differ_between_clusters() -> None:
    one, two = (NetworkConfig(tag_of(Path(path)), Path("state")) for path in ("/a", "/b"))
    assert one.bridge != two.bridge
    assert one.port("x") != two.port("x")
    assert one.mac("10.244.0.2") != two.mac("10.244.0.2")
    assert one.mac("10.244.0.2")[0] & 3 == 2, "locally administered, not multicast"


@pytest.mark.parametrize("tag", ["", "123456789"])
def test_impossible_tags(tag: str) -> None:
    with pytest.raises(ValueError, match="must have 1 to 8 characters"):
        NetworkConfig(tag, Path("state"))
