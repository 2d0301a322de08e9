"""Logs that have grown are set aside, packed, and in the end removed."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tiphys.kubelet.rotation import set_aside, tidy


def test_oldest_logs_go_first(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(6):
        path.write_text(f"log {number}")
        aside = set_aside(path, now + timedelta(seconds=number))
        path.write_text("")
        tidy(path, aside, 5)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == [
        "0.log",
        "0.log.20260101-000002.gz",
        "0.log.20260101-000003.gz",
        "0.log.20260101-000004.gz",
        "0.log.20260101-000005",
    ]
    assert gzip.decompress((tmp_path / "0.log.20260101-000002.gz").read_bytes()) == b"log 2"
