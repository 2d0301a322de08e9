"""The plugin as users meet it: in a folder of their own, with what docs/testing.md tells them to write."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The plugin by name: the package may have been installed before it had one.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-p", "tiphys.testing.plugin", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_examples_of_the_documentation_pass(tmp_path):
    text = (ROOT / "docs" / "testing.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 3
    if shutil.which("kubectl") is None:
        examples = [example for example in examples if "kubectl" not in example]
    for number, example in enumerate(examples):
        (tmp_path / f"test_example_{number}.py").write_text(example)
    done = run_pytest(tmp_path, "-q")
    assert done.returncode == 0, done.stdout
    # One of them runs in three versions.
    assert f"{len(examples) + 2} passed" in done.stdout


def test_a_failing_test_prints_its_seed_and_how_to_see_it_again(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n@pytest.mark.cluster(nodes=2)\ndef test_it(cluster):\n"
        "    cluster.advance(5)\n    assert len(cluster.list('nodes')) == 3\n"
    )
    done = run_pytest(tmp_path, "--cluster-seed=lucky")
    assert done.returncode == 1
    assert "seed lucky, 5.000 s of virtual time" in done.stdout
    assert "--cluster-seed=lucky" in done.stdout


@pytest.mark.parametrize("given", ["random", "17"])
def test_the_seed_can_be_chosen(tmp_path, given):
    (tmp_path / "test_it.py").write_text(
        "def test_it(cluster):\n    assert isinstance(cluster.seed, int)\n    print('seed is', cluster.seed)\n"
    )
    done = run_pytest(tmp_path, "-s", f"--cluster-seed={given}")
    assert done.returncode == 0, done.stdout
    assert given == "random" or f"seed is {given}" in done.stdout


def test_who_simulates_nothing_imports_nothing(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import sys\n\ndef test_it():\n    assert 'tiphys.apiserver' not in sys.modules\n"
    )
    assert run_pytest(tmp_path).returncode == 0
