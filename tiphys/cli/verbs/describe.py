"""``tiphys describe``: objects in words, with the events about them."""

from collections.abc import Iterator
from typing import Any

import click

from tiphys.cli import arguments
from tiphys.cli.arguments import Chosen
from tiphys.cli.describe import describe
from tiphys.cli.discovery import Discovery
from tiphys.cli.errors import ServerRefused, SeveralErrors, UserError
from tiphys.cli.server import Server
from tiphys.cli.target import with_server


@click.command("describe")
@click.argument("what", nargs=-1, required=True, metavar="TYPE [NAME|PREFIX]... | TYPE/NAME...")
@click.option("-l", "--selector", default="", help='Only objects with these labels, as in "app=web".')
@click.option("-A", "--all-namespaces", is_flag=True, help="The objects of all namespaces.")
@with_server
def command(server: Server, what: tuple[str, ...], selector: str, all_namespaces: bool) -> None:
    """Show objects in detail, with what happened to them.

    \b
    tiphys describe pod web-0            why does it not start? See "Events" at the end
    tiphys describe deploy/web svc/web
    tiphys describe nodes                all of them
    """
    chosen = arguments.parse(what, Discovery(server))
    namespace = "" if all_namespaces else server.namespace
    if all_namespaces and any(part.names for part in chosen):
        raise UserError("a resource cannot be retrieved by name across all namespaces")
    failed: list[UserError] = []
    printed = False
    for part in chosen:
        for obj, whole_name in _objects(server, part, namespace, selector, failed):
            text = describe(server, part.kind, obj)
            # kubectl sets apart what it found by a prefix with one line, the rest with two.
            click.echo(("\n\n" if printed and whole_name else "") + text + ("" if whole_name else "\n"), nl=False)
            printed = True
    if failed:
        raise SeveralErrors(failed)
    if not printed:
        where = f" in {namespace} namespace." if namespace and any(part.kind.namespaced for part in chosen) else ""
        click.echo(f"No resources found{where}", err=True)


def _objects(
    server: Server, part: Chosen, namespace: str, selector: str, failed: list[UserError]
) -> Iterator[tuple[dict[str, Any], bool]]:
    """The objects of these names, or (then with False) those that begin with them where there is none.

    Without names all of them.
    """
    space = namespace if part.kind.namespaced else ""
    if not part.names:
        for item in server.get(part.kind.path(space), {"labelSelector": selector}).get("items") or ():
            yield item, True
    for name in part.names:
        try:
            yield server.get(part.kind.path(space, name)), True
        except ServerRefused as error:
            items = server.get(part.kind.path(space)).get("items") or () if error.reason == "NotFound" else ()
            begun = [item for item in items if item["metadata"]["name"].startswith(name)]
            if not begun:
                failed.append(error)
            yield from ((item, False) for item in begun)
