"""``tiphys exec``: run a command in a container."""

import click

from tiphys.cli import remote, terminal, workload
from tiphys.cli.errors import UserError
from tiphys.cli.server import Server
from tiphys.cli.target import with_server


@click.command("exec", context_settings={"allow_interspersed_args": True})
@click.argument("pod", metavar="POD | TYPE/NAME")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND [ARG]...")
@click.option("-i", "--stdin", is_flag=True, help="Pass standard input on.")
@click.option("-t", "--tty", is_flag=True, help="Give the command a terminal.")
@click.option("-c", "--container", default="", help="The container.  [default: the Pod's first]")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but what the command prints.")
@with_server
def command(
    server: Server, pod: str, arguments: tuple[str, ...], stdin: bool, tty: bool, container: str, quiet: bool
) -> None:
    """Run a command in a container. Its exit code becomes ours.

    \b
    tiphys exec web-0 -- ls /
    tiphys exec -it web-0 -- sh
    echo hello | tiphys exec -i web-0 -c sidecar -- cat
    """
    if not arguments:
        raise UserError("you must specify at least one command for the container")
    if tty and not (stdin and terminal.is_terminal()):
        if not quiet:
            click.echo("Unable to use a TTY - input is not a terminal or the right kind of file", err=True)
        tty = False
    found = workload.find_pod(server, pod)
    name, phase = found["metadata"]["name"], (found.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise UserError(f"cannot exec into a container in a completed pod; current phase is {phase}")
    query: dict[str, str | list[str]] = {
        "container": workload.choose_container(found, container),
        "command": list(arguments),
        "stdin": "true" if stdin else "",
        "stdout": "true",
        "stderr": "" if tty else "true",
        "tty": "true" if tty else "",
    }
    path = f"/api/v1/namespaces/{server.namespace}/pods/{name}/exec"
    remote.Session(server, path, query).run(stdin, tty)
