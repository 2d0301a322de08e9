"""``tiphys VERB``: each verb is a module of ``tiphys.cli.verbs`` with a click command of its name.

Importing a verb only when it is called keeps ``tiphys status`` at the cost of
what ``status`` needs.
"""

import importlib
import sys

import click

import tiphys
from tiphys.cli.errors import ExitCode, UserError

#: Verbs in the order in which ``--help`` shows them, with the line it shows.
VERBS = {
    "up": "Start a cluster, or bring back one that was stopped or killed.",
    "down": "Stop a cluster; with --purge, remove all that it left on this machine.",
    "status": "Show whether a cluster is ready and which processes make it up.",
    "image": "Load, list and remove the node's container images.",
    "get": "Show objects as a table, YAML or JSON.",
    "describe": "Show one object in detail, with its events.",
    "apply": "Create or change objects from manifests.",
    "delete": "Delete objects by name, selector or manifest.",
    "logs": "Print what a container wrote.",
    "exec": "Run a command in a container.",
    "apiserver": "Serve the API alone, with kube-apiserver's flags.",
    "doctor": "Say what this machine can and cannot do.",
}


class Verbs(click.Group):
    """Finds a verb's module by its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module = importlib.import_module(f"tiphys.cli.verbs.{name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    tiphys.__version__, message=f"tiphys %(version)s (Kubernetes v{tiphys.KUBERNETES_VERSION})", prog_name="tiphys"
)
def tiphys_command() -> None:
    """A Kubernetes cluster on this machine, without Docker or a virtual machine.

    \b
    tiphys up                      start a cluster; kubectl then talks to it
    tiphys image load web.tar      put an image on its node
    tiphys down --purge            leave nothing behind
    """


def main() -> None:
    """Entry point: what the user can act on is printed as one line, without a traceback."""
    try:
        tiphys_command(prog_name="tiphys", standalone_mode=True)
    except ExitCode as error:
        click.echo(error.line, err=True)
        sys.exit(error.code)
    except UserError as error:
        click.echo(error.line, err=True)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        sys.stderr.close()
        sys.exit(1)
