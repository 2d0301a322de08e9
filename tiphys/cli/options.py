"""Options that several verbs share, each described once."""

from collections.abc import Callable
from typing import Any

import click

from tiphys.cli.cluster import DEFAULT_NAME

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

name: Decorator = click.option(
    "--name", default=DEFAULT_NAME, envvar="TIPHYS_NAME", show_default=True, help="The cluster's name."
)
data_dir: Decorator = click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    envvar="TIPHYS_DATA_DIR",
    help="Where the cluster lives on disk.  [default: /var/lib/tiphys/NAME; ~/.tiphys/NAME if not root]",
)
kubeconfig: Decorator = click.option(
    "--kubeconfig",
    type=click.Path(dir_okay=False),
    help="The kubeconfig to write to or read from.  [default: $KUBECONFIG or ~/.kube/config]",
)
output: Decorator = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print.  [default: text]"
)
