"""``tiphys down``: stop a cluster; with ``--purge`` remove all that it left on this machine."""

import asyncio
import os

import click

from tiphys.apiserver import kubeconfig as kubeconfigs
from tiphys.cli import identities, options
from tiphys.cli.cluster import Cluster
from tiphys.cli.errors import UserError
from tiphys.cli.progress import Progress
from tiphys.cli.supervisor import process, remote, table

STOP_SECONDS = 60.0


@click.command("down")
@options.name
@options.data_dir
@options.kubeconfig
@click.option("--purge", is_flag=True, help="Also delete the cluster's data and its kubeconfig context.")
def command(name: str, data_dir: str | None, kubeconfig: str | None, purge: bool) -> None:
    """Stop a cluster: its processes, containers, links and rules.

    Its objects and images stay on disk and come back with "tiphys up", unless
    --purge is given.
    """
    progress = Progress()
    cluster = Cluster.named(name, data_dir)
    if not cluster.exists:
        progress.say(f'There is no cluster "{name}".')
        return
    try:
        config = cluster.load()
    except UserError:
        if not purge:
            raise
        config = cluster.nameless_config()
        # One that never had a node of its own has nothing in the kernel.
        config.simulate = not (cluster.data / "runtime").exists()
    if not config.simulate and os.geteuid() != 0:
        raise UserError('stopping a cluster with a real node needs root; run "sudo tiphys down"')
    with progress.step("stopping"):
        _stop(cluster)
        if purge:
            cluster.make_room()
    if not config.simulate:
        # Late, because a cluster without a real node runs where none of this is.
        from tiphys.cli import teardown  # noqa: PLC0415

        with progress.step("removing containers, links and rules"):
            asyncio.run(teardown.remove(cluster, config))
    if purge:
        with progress.step("deleting data"):
            cluster.forget()
            identities.remove_context(cluster, kubeconfigs.path(kubeconfig))
    progress.say(f'Cluster "{name}" is {"gone" if purge else "stopped"}.')


def _stop(cluster: Cluster) -> None:
    """End all processes, through the supervisor if it lives, one by one if it was killed."""
    try:
        for _ in remote.ask(cluster, "stop", timeout_seconds=STOP_SECONDS):
            pass
    except (ConnectionError, TimeoutError):
        pass
    for component in ("supervisor", *table.ROWS):
        row = table.ROWS.get(component)
        if row is not None and row.adopt is not None:
            # Containers' owner: it is needed to end them, and goes last.
            continue
        if left := process.read_pid_file(cluster.pid_file(component)):
            process.end(left, grace_seconds=10)
