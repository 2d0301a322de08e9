"""``tiphys logs``: what a container has written."""

import sys

import click

from tiphys.cli import workload
from tiphys.cli.errors import UserError
from tiphys.cli.server import Server
from tiphys.cli.target import with_server
from tiphys.machinery import times

PIECE = 1 << 16
#: Of each Pod where several are chosen by labels, unless --tail says otherwise.
TAIL_OF_MANY = 10


@click.command("logs")
@click.argument("what", nargs=-1, metavar="POD | TYPE/NAME [CONTAINER]")
@click.option("-c", "--container", default="", help="The container.  [default: the Pod's first]")
@click.option("-l", "--selector", default="", help="All Pods with these labels.")
@click.option("--all-containers", is_flag=True, help="All containers of the Pod, one after the other.")
@click.option("-f", "--follow", is_flag=True, help="Go on showing what is written.")
@click.option("-p", "--previous", is_flag=True, help="Of the container's run before this one.")
@click.option("--tail", type=int, default=None, help="Only the last lines.  [default: all; 10 with -l]")
@click.option("--since", default="", help="Only what is newer than this, as in 5m.")
@click.option("--since-time", default="", help="Only what is newer than this time (RFC 3339).")
@click.option("--limit-bytes", type=click.IntRange(1), default=None, help="No more than this.")
@click.option("--timestamps", is_flag=True, help="Begin each line with its time.")
@click.option("--prefix", is_flag=True, help="Begin each line with its Pod and container.")
@with_server
def command(
    server: Server,
    what: tuple[str, ...],
    container: str,
    selector: str,
    all_containers: bool,
    follow: bool,
    previous: bool,
    tail: int | None,
    since: str,
    since_time: str,
    limit_bytes: int | None,
    timestamps: bool,
    prefix: bool,
) -> None:
    """Show the output of containers.

    \b
    tiphys logs web-0
    tiphys logs deploy/web -f              of one of its Pods
    tiphys logs web-0 -c sidecar --tail 20
    tiphys logs web-0 -p                   why did it crash?
    """
    if bool(what) == bool(selector) or len(what) > 2:
        raise UserError("one POD or TYPE/NAME must be given, or -l")
    if since and since_time:
        raise UserError("at most one of --since and --since-time may be given")
    tail = TAIL_OF_MANY if selector and tail is None else tail
    query = {
        "follow": "true" if follow else "",
        "previous": "true" if previous else "",
        "timestamps": "true" if timestamps else "",
        "tailLines": "" if tail is None or tail < 0 else str(tail),
        "sinceSeconds": str(max(1, round(_seconds(since)))) if since else "",
        "sinceTime": since_time,
        "limitBytes": str(limit_bytes) if limit_bytes else "",
    }
    container = container or (what[1] if len(what) > 1 else "")
    if selector:
        path = f"/api/v1/namespaces/{server.namespace}/pods"
        pods = server.get(path, {"labelSelector": selector}).get("items") or []
        if not pods:
            click.echo(f"No resources found in {server.namespace} namespace.", err=True)
    else:
        pods = [workload.find_pod(server, what[0])]
    sources = [(pod, name) for pod in pods for name in _containers(pod, container, all_containers)]
    if follow and len(sources) > 1:
        raise UserError(f"tiphys follows one container at a time, and {len(sources)} are chosen; name one with -c")
    for pod, name in sources:
        mark = f"[pod/{pod['metadata']['name']}/{name}] " if prefix else ""
        _copy(server, str(pod["metadata"]["name"]), query | {"container": name}, mark.encode())


def _seconds(text: str) -> float:
    try:
        return times.parse_duration(text)
    except ValueError as error:
        raise UserError(f'invalid argument "{text}" for "--since": {error}') from error


def _containers(pod: workload.Dict, asked: str, everything: bool) -> list[str]:
    if not everything:
        return [workload.choose_container(pod, asked)]
    return workload.container_names(pod, "initContainers") + workload.container_names(pod, "containers")


def _copy(server: Server, pod: str, query: dict[str, str], mark: bytes) -> None:
    """From the server to standard output, as it comes."""
    out = sys.stdout.buffer
    with server.stream(f"/api/v1/namespaces/{server.namespace}/pods/{pod}/log", query, "*/*") as answer:
        try:
            if mark:
                for line in answer:
                    out.write(mark + line)
                    out.flush()
            while piece := answer.read1(PIECE):
                out.write(piece)
                out.flush()
        except KeyboardInterrupt:
            return
