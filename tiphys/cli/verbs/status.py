"""``tiphys status``: whether a cluster is ready and which processes make it up."""

import json
import sys

import click
from rich.console import Console
from rich.table import Table

from tiphys.cli import options
from tiphys.cli.cluster import Cluster
from tiphys.cli.supervisor import remote
from tiphys.machinery import times


@click.command("status")
@options.name
@options.data_dir
@options.output
def command(name: str, data_dir: str | None, output: str) -> None:
    """Show a cluster's processes. Exit code 0 if it is ready, 1 if not."""
    cluster = Cluster.named(name, data_dir)
    config = cluster.load()
    status = remote.find_status(cluster) or {"ready": False, "name": name, "components": []}
    status |= {
        "server": f"https://127.0.0.1:{config.port}",
        "dataDir": str(cluster.data),
        "podRange": config.pod_range,
        "serviceRange": config.service_range,
    }
    if output == "json":
        click.echo(json.dumps(status, indent=2))
    else:
        _print(status)
    sys.exit(0 if status["ready"] else 1)


def _print(status: remote.Status) -> None:
    state = "ready" if status["ready"] else "not ready" if status["components"] else "stopped"
    click.echo(f"{status['name']}: {state}, {status['server']}, {status['dataDir']}")
    if not status["components"]:
        click.echo(f'start it with "tiphys up --name {status["name"]}"')
        return
    table = Table(box=None, pad_edge=False, header_style="", show_edge=False)
    for header in ("COMPONENT", "STATE", "PID", "RESTARTS", "AGE", "LAST ERROR"):
        table.add_column(header)
    for part in status["components"]:
        age = times.human_duration(part["uptimeSeconds"])
        table.add_row(part["name"], part["state"], str(part["pid"]), str(part["restarts"]), age, part["message"])
    Console().print(table)
