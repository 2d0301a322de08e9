"""``tiphys up``: start a cluster, or bring back one that was stopped or killed."""

import asyncio
import os
import sys
import traceback
from pathlib import Path

import click

from tiphys.apiserver import kubeconfig as kubeconfigs
from tiphys.cli import identities, options
from tiphys.cli.cluster import Cluster, ClusterConfig, exclusive
from tiphys.cli.configuring import Wanted, check_kind, check_port, configured
from tiphys.cli.errors import UserError
from tiphys.cli.progress import Progress
from tiphys.cli.readiness import wait_ready
from tiphys.cli.supervisor import child, process, remote, table
from tiphys.cli.supervisor.loop import Supervisor

START_SECONDS = 60.0
#: A component that ended this often while starting will not come up by itself.
FAILED_STARTS = 4


@click.command("up")
@options.name
@options.data_dir
@options.kubeconfig
@click.option("--port", type=click.IntRange(1, 65535), help="The API server's port.  [default: 6443, or the last used]")
@click.option(
    "--apiserver-arg",
    "apiserver_args",
    multiple=True,
    metavar="NAME=VALUE",
    help="A flag of kube-apiserver; may be repeated, and replaces those of earlier starts.",
)
@click.option(
    "--scheduler-config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A KubeSchedulerConfiguration; kept until another is given.",
)
@click.option("--simulate", is_flag=True, help="Simulated nodes only: no root, no containers, any system.")
@click.option(
    "--nodes",
    type=click.IntRange(0, 32000),
    help="How many simulated nodes.  [default: 3 with --simulate, else 0; or as last used]",
)
def command(
    name: str,
    data_dir: str | None,
    kubeconfig: str | None,
    port: int | None,
    apiserver_args: tuple[str, ...],
    scheduler_config: Path | None,
    simulate: bool,
    nodes: int | None,
) -> None:
    """Start a cluster and wait until it is ready.

    The kubeconfig gets a context for it, which becomes the current one. A cluster
    that runs already is left as it is; one that was stopped or killed comes back
    with everything it had.

    \b
    tiphys up
    kubectl get nodes
    tiphys up --name sim --simulate --nodes 100
    """
    progress = Progress()
    cluster = Cluster.named(name, data_dir)
    check_kind(cluster, simulate)
    cluster.register()
    cluster.make_directories()
    # Two at once would start two supervisors; the second waits for the first.
    with exclusive(cluster.data / "up.lock"):
        try:
            config = configured(cluster, Wanted(port, list(apiserver_args), scheduler_config, simulate, nodes))
        except UserError:
            if not cluster.exists:
                # Nothing was made yet that a later attempt could go on with.
                cluster.forget()
            raise
        identities.ensure(cluster, config)
        if remote.find_status(cluster) is None:
            with progress.step("starting"):
                _clear_leftovers(cluster)
                _start_supervisor(cluster, config)
        _wait_components(cluster, progress)
        target = kubeconfigs.path(kubeconfig)
        identities.write_kubeconfig(cluster, config, target)
        asyncio.run(wait_ready(cluster, config, progress))
    context = identities.context_name(cluster)
    progress.say(
        f'\nCluster "{name}" is ready after {progress.seconds:.1f} s: https://127.0.0.1:{config.port}\n'
        f'kubectl uses context "{context}" of {target}; try "kubectl get pods -A".'
    )


def _clear_leftovers(cluster: Cluster) -> None:
    """End components whose supervisor was killed; they end by themselves, but their ports are needed now."""
    for name in ("supervisor", *table.ROWS):
        row = table.ROWS.get(name)
        if row is not None and row.adopt is not None:
            continue
        if left := process.read_pid_file(cluster.pid_file(name)):
            process.end(left, grace_seconds=5)
    config = cluster.load()
    check_port(config.port)


def _start_supervisor(cluster: Cluster, config: ClusterConfig) -> None:
    """Fork it from this process, whose imports it needs anyway, and wait until it listens."""
    sys.stdout.flush()
    sys.stderr.flush()
    listening, tell = os.pipe()
    if not os.fork():
        _become_supervisor(cluster, config, tell)
    os.close(tell)
    with os.fdopen(listening, "rb") as pipe:
        if not pipe.read():
            raise UserError(cluster.full() or f"the supervisor could not start; see {cluster.log_file('supervisor')}")


def _become_supervisor(cluster: Cluster, config: ClusterConfig, tell: int) -> None:
    """Live as the supervisor; never returns."""
    code = 1
    try:
        os.setsid()
        os.chdir("/")
        os.umask(0o022)
        child.redirect_output(cluster, "supervisor")
        child.set_process_name("supervisor")
        process.write_pid_file(cluster.pid_file("supervisor"), os.getpid())
        supervisor = Supervisor(cluster, config, table.rows(config))
        supervisor.listen()
        os.write(tell, b"listening")
        os.close(tell)
        supervisor.run()
        code = 0
    except BaseException:
        # Leaving skips the interpreter's own last words.
        traceback.print_exc()
    finally:
        child.leave(code)


def _wait_components(cluster: Cluster, progress: Progress) -> None:
    """Show each component as it becomes ready. Raises UserError naming the one that does not."""
    shown: set[str] = {"supervisor"}
    last: remote.Status = {}
    try:
        for last in remote.ask(cluster, "watch", timeout_seconds=START_SECONDS):
            for component in last["components"]:
                if component["state"] == "ready" and component["name"] not in shown:
                    shown.add(component["name"])
                    progress.done(component["name"], progress.seconds)
                if component["restarts"] >= FAILED_STARTS and component["state"] != "ready":
                    raise UserError(_why(cluster, component))
            if last["ready"]:
                return
    except (TimeoutError, ConnectionError):
        pass
    waiting = [c for c in last.get("components", []) if c["state"] != "ready"]
    if waiting:
        raise UserError(_why(cluster, waiting[0]))
    raise UserError(f"the supervisor ended while the cluster was starting; see {cluster.log_file('supervisor')}")


def _why(cluster: Cluster, component: dict[str, object]) -> str:
    name = str(component["name"])
    reason = component["message"] or f"not ready within {START_SECONDS:.0f} s"
    return f"{name}: {reason}; see {cluster.log_file(name)}"
