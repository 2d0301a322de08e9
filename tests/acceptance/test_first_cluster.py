"""The shared acceptance script, run as a user would run it."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.conftest import TIPHYS, free_port

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY.parent / "shared" / "acceptance" / "first_cluster.sh"


@pytest.mark.skipif(not SCRIPT.exists(), reason=f"{SCRIPT.name} is not beside this repository")
def test_first_cluster() -> None:
    environment = {**os.environ, "PATH": f"{TIPHYS.parent}:{os.environ['PATH']}", "PORT": str(free_port())}
    environment.pop("KUBECONFIG", None)
    done = subprocess.run(["bash", str(SCRIPT)], env=environment, capture_output=True, text=True, timeout=180)
    lines = done.stdout.splitlines()
    assert lines, done.stderr
    assert lines[-1].startswith("PASS"), done.stdout + done.stderr
