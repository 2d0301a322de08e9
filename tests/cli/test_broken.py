"""Files of a cluster, or beside it, that cannot be read: what is said, and that the cluster can still be removed."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tiphys.cli import identities
from tiphys.cli.cluster import Cluster
from tiphys.cli.errors import UserError
from tiphys.cli.verbs.down import command


def broken(tmp_path: Path) -> Cluster:
    cluster = Cluster.named("broken-test", str(tmp_path / "data"))
    cluster.make_directories()
    cluster.config_file.write_text('{"name":')
    return cluster


def test_a_torn_configuration_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cluster\.json cannot be read: .*tiphys down --name broken-test --purge"):
        broken(tmp_path).load()


@pytest.mark.root
def test_a_cluster_with_a_torn_configuration_can_be_removed(tmp_path: Path) -> None:
    cluster = broken(tmp_path)
    common = ["--name", cluster.name, "--data-dir", str(cluster.data), "--kubeconfig", str(tmp_path / "kubeconfig")]
    kept = CliRunner().invoke(command, common)
    assert isinstance(kept.exception, UserError)
    assert cluster.data.exists()
    gone = CliRunner().invoke(command, [*common, "--purge"])
    assert gone.exit_code == 0, gone.output
    assert not cluster.data.exists()


def test_a_kubeconfig_that_is_no_yaml_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("{{{")
    with pytest.raises(UserError, match="context"):
        identities.remove_context(broken(tmp_path), tmp_path / "kubeconfig")
