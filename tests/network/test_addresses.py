"""Who holds which address, over restarts and crashes."""

from pathlib import Path

import pytest

from tiphys.network.addresses import Addresses, AddressesExhausted


def test_first_is_the_bridge(tmp_path: Path) -> None:
    addresses = Addresses(tmp_path, "10.244.7.0/24")
    assert addresses.gateway == "10.244.7.1"
    assert addresses.allocate("a") == "10.244.7.2"
    assert addresses.allocate("b") == "10.244.7.3"
    assert addresses.allocate("a") == "10.244.7.2"


def test_freed_addresses_come_back_last(tmp_path: Path) -> None:
    addresses = Addresses(tmp_path, "10.0.0.0/29")
    assert [addresses.allocate(name) for name in "abc"] == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    assert addresses.release("c") == "10.0.0.4"
    again = Addresses(tmp_path, "10.0.0.0/29")
    assert [again.allocate(name) for name in "de"] == ["10.0.0.5", "10.0.0.6"]
    assert again.allocate("f") == "10.0.0.4"
    with pytest.raises(AddressesExhausted, match=r"all 5 Pod addresses of 10\.0\.0\.0/29 are taken"):
        again.allocate("g")


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    Addresses(tmp_path, "10.0.0.0/24").allocate("a")
    again = Addresses(tmp_path, "10.0.0.0/24")
    assert again.find("a") == "10.0.0.2"
    assert again.release_all_but(["b"]) == ["a"]
    assert Addresses(tmp_path, "10.0.0.0/24").sandboxes() == []


def test_another_range_frees_the_old_one(tmp_path: Path) -> None:
    Addresses(tmp_path, "10.0.0.0/24").allocate("a")
    moved = Addresses(tmp_path, "10.0.1.0/24")
    assert moved.find("a") is None
    assert moved.allocate("a") == "10.0.1.2"


def test_a_crash_while_remembering_the_last(tmp_path: Path) -> None:
    Addresses(tmp_path, "10.0.0.0/24").allocate("a")
    (tmp_path / "last.new").symlink_to("10.0.0.9")
    assert Addresses(tmp_path, "10.0.0.0/24").allocate("b") == "10.0.0.3"


@pytest.mark.parametrize("cidr", ["10.0.0.0/31", "10.0.0.0/30", "10.0.0.0/32"])
def test_too_small(tmp_path: Path, cidr: str) -> None:
    if cidr.endswith("/30"):
        assert Addresses(tmp_path, cidr).allocate("a") == "10.0.0.2"
        return
    with pytest.raises(ValueError, match="has no room for a Pod"):
        Addresses(tmp_path, cidr)
