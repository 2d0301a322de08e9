from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.etcd_server import Cluster


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One member that the tests of this process share; none of them stops it."""
    cluster = Cluster(tmp_path_factory.mktemp("etcd"))
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[Cluster]:
    """One member that belongs to the test alone; not started."""
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.stop()
