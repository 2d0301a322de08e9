"""Probing the kernel."""

import pytest

from tests.network.kernel import host
from tiphys.network.probe import probe


@pytest.mark.root
def test_probe_finds_what_is_there_and_changes_nothing() -> None:
    with host() as node:
        features = {feature.name: feature for feature in probe()}
        assert features["veth"].present
        assert features["bridge"].present
        assert features["nftables"].present
        assert features["nftables numgen"].present
        assert features["forwarding"].required
        assert node.run("nft", "list", "ruleset") == ""
        assert "tpprobe" not in node.run("ip", "link")
        for feature in features.values():
            assert feature.present == (feature.detail == "")
