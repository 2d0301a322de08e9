"""The options by which a verb finds its API server; ``with_server`` turns them into one ``Server``."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from click.core import ParameterSource

from tiphys.cli import access, options
from tiphys.cli.cluster import Cluster
from tiphys.cli.server import Server

_context = click.option("--context", help="The kubeconfig's context to use.  [default: its current one]")
_namespace = click.option("-n", "--namespace", default="", help="The namespace.  [default: default]")


def with_server(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --name, --data-dir, --kubeconfig, --context and -n; the function gets a ``Server`` first."""

    @wraps(function)
    @click.pass_context
    def wrapped(
        ctx: click.Context,
        /,
        *arguments: Any,
        name: str,
        data_dir: str | None,
        kubeconfig: str | None,
        context: str | None,
        namespace: str,
        **more: Any,
    ) -> Any:
        chosen = {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT}
        named = bool({ctx.get_parameter_source("name"), ctx.get_parameter_source("data_dir")} & chosen)
        way = access.choose(Cluster.named(name, data_dir), named, kubeconfig, context)
        server = Server(way, namespace)
        try:
            return function(server, *arguments, **more)
        finally:
            server.close()

    result: Callable[..., Any] = wrapped
    for option in (_namespace, _context, options.kubeconfig, options.data_dir, options.name):
        result = option(result)
    return result
