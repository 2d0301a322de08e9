"""Log files where the disk is nearly full."""

from pathlib import Path

import pytest

from tiphys.runtime.spawner import logs


def test_output_leaves_room_for_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = logs.LogFile(str(tmp_path / "0.log"))
    log.write(b"one\n")
    monkeypatch.setattr(logs, "FREE_BYTES_MIN", 1 << 62)
    log.write(b"two\n")
    assert log.error == f"log {tmp_path}/0.log: No space left on device"
    monkeypatch.undo()
    log.write(b"three\n")
    log.close()
    assert (tmp_path / "0.log").read_bytes() == b"one\nthree\n"
