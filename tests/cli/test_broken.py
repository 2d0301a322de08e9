"""Files of a cluster, or beside it, that cannot be read: what is said, and that the cluster can still be removed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tiphys.cli import identities
from tiphys.cli.cluster import Cluster
from tiphys.cli.errors import UserError
from tiphys.cli.verbs.down import command


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster.named("broken-test", str(tmp_path / "data"))
    cluster.make_directories()
    cluster.config_file.write_text('{"name":')
    yield cluster
    cluster.forget()


def test_a_torn_configuration_says_what_to_do(broken: Cluster) -> None:
    with pytest.raises(UserError, match=r"cluster\.json cannot be read: .*tiphys down --name broken-test --purge"):
        broken.load()


@pytest.mark.root
def test_a_cluster_with_a_torn_configuration_can_be_removed(broken: Cluster, tmp_path: Path) -> None:
    common = ["--name", broken.name, "--data-dir", str(broken.data), "--kubeconfig", str(tmp_path / "kubeconfig")]
    kept = CliRunner().invoke(command, common)
    assert isinstance(kept.exception, UserError)
    assert broken.data.exists()
    gone = CliRunner().invoke(command, [*common, "--purge"])
    assert gone.exit_code == 0, gone.output
    assert not broken.data.exists()
    assert not broken.run.exists()


def test_a_kubeconfig_that_is_no_yaml_is_the_users_to_mend(broken: Cluster, tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("{{{")
    with pytest.raises(UserError, match="context"):
        identities.remove_context(broken, tmp_path / "kubeconfig")
