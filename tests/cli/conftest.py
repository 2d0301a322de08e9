from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.served import Place, serving

OBJECTS = (Path(__file__).parent / "objects.yaml").read_text()


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server with some objects of every kind that is described; tests use other namespaces to change things."""
    with serving(tmp_path_factory.mktemp("served")) as running:
        made = running.tiphys("apply", "-f", "-", stdin=OBJECTS)
        assert made.code == 0, made.err
        yield running
