"""``tiphys apiserver``: the API server alone, in the foreground, with the flags of kube-apiserver."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import click
import uvloop

from tiphys.apiserver.config import Misconfigured
from tiphys.apiserver.flags import FLAGS, FlagError, Settings, parse
from tiphys.apiserver.run import serving
from tiphys.cli.errors import UserError
from tiphys.store.interface import StoreError


def _flags(function: Callable[..., Any]) -> Callable[..., Any]:
    for flag in reversed(list(FLAGS.values())):
        # Values are read by the table, which knows better what is wrong with them; a switch may stand alone.
        bare: dict[str, Any] = {"is_flag": False, "flag_value": "true"} if flag.switch else {}
        function = click.option(f"--{flag.name}", multiple=True, metavar="VALUE", help=flag.help, **bare)(function)
    return function


@click.command("apiserver")
@_flags
def command(**given: tuple[str, ...]) -> None:
    """Serve the Kubernetes API alone: no nodes, no controllers.

    Everything is kept in memory unless --store-file or --etcd-servers says where.

    \b
    tiphys apiserver --secure-port=6443 --tls-cert-file=tls.crt --tls-private-key-file=tls.key \\
        --client-ca-file=ca.crt --service-account-signing-key-file=sa.key --store-file=store.db
    """
    arguments = [f"{name.replace('_', '-')}={value}" for name, values in given.items() for value in values]
    try:
        settings = parse(arguments, Settings())
    except FlagError as problem:
        raise UserError(str(problem)) from problem
    if not settings.server.certificate:
        raise UserError("--tls-cert-file and --tls-private-key-file are needed: the API is served over TLS alone")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings))
    except (OSError, StoreError, Misconfigured) as problem:
        raise UserError(f"the API server cannot start: {problem}") from problem


async def _serve(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with serving(settings) as api:
        click.echo(f"serving https://{settings.server.host}:{api.port}", err=True)
        waiting = [asyncio.ensure_future(ended.wait()), asyncio.ensure_future(api.wait())]
        done, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        for task in done:
            task.result()
