"""``tiphys get``: objects as a table, as YAML or JSON, or any part of them."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from tiphys.cli import arguments, output
from tiphys.cli.arguments import Chosen
from tiphys.cli.discovery import Discovery, Kind
from tiphys.cli.errors import ServerRefused, SeveralErrors, UserError
from tiphys.cli.server import Query, Server
from tiphys.cli.tables import ACCEPT, Style, TablePrinter
from tiphys.cli.target import with_server

PAGE = "500"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which objects are asked for."""

    namespace: str
    labels: str
    fields: str
    ignore_not_found: bool

    def namespace_of(self, kind: Kind) -> str:
        return self.namespace if kind.namespaced else ""

    @property
    def query(self) -> dict[str, str | list[str]]:
        return {"labelSelector": self.labels, "fieldSelector": self.fields}


@click.command("get")
@click.argument("what", nargs=-1, required=True, metavar="TYPE[,TYPE] [NAME]... | TYPE/NAME...")
@click.option("-o", "--output", "form", default="", help=f"wide, or one of: {output.ALLOWED}.")
@click.option("-A", "--all-namespaces", is_flag=True, help="The objects of all namespaces.")
@click.option("-l", "--selector", default="", help='Only with these labels, as in "app=web,tier!=db".')
@click.option("--field-selector", default="", help='Only with these fields, as in "status.phase=Running".')
@click.option("-w", "--watch", is_flag=True, help="Go on showing what changes, until interrupted.")
@click.option("--watch-only", is_flag=True, help="Show what changes, not what is there.")
@click.option("--output-watch-events", is_flag=True, help="Say with each change what it was: ADDED, MODIFIED, DELETED.")
@click.option("--show-labels", is_flag=True, help="A last column with all labels.")
@click.option("-L", "--label-columns", multiple=True, help="A column for this label's value.")
@click.option("--no-headers", is_flag=True, help="Leave the headers out.")
@click.option("--sort-by", default="", help='Order by a field, as in "{.metadata.creationTimestamp}".')
@click.option("--show-managed-fields", is_flag=True, help="Keep managedFields in YAML and JSON.")
@click.option("--ignore-not-found", is_flag=True, help="What does not exist is no error.")
@with_server
def command(
    server: Server,
    what: tuple[str, ...],
    form: str,
    all_namespaces: bool,
    selector: str,
    field_selector: str,
    watch: bool,
    watch_only: bool,
    output_watch_events: bool,
    show_labels: bool,
    label_columns: tuple[str, ...],
    no_headers: bool,
    sort_by: str,
    show_managed_fields: bool,
    ignore_not_found: bool,
) -> None:
    """Show objects.

    \b
    tiphys get pods                          those of the namespace "default"
    tiphys get pods -A -o wide               those of all namespaces, with more columns
    tiphys get deploy,svc -n shop            several types at once
    tiphys get pod/web-0 -o yaml             one object, complete
    tiphys get pods -l app=web -w            follow what changes
    tiphys get nodes -o jsonpath='{.items[*].metadata.name}'
    """
    chosen = arguments.parse(what, Discovery(server))
    scope = Scope("" if all_namespaces else server.namespace, selector, field_selector, ignore_not_found)
    if all_namespaces and any(part.names for part in chosen):
        raise UserError("a resource cannot be retrieved by name across all namespaces")
    if (selector or field_selector) and any(part.names for part in chosen):
        raise UserError("name cannot be provided when a selector is specified")
    style = Style(form == "wide", not no_headers, all_namespaces, show_labels, label_columns)
    tables = form in ("", "wide")
    if watch or watch_only:
        printer = None if tables else output.printer(form, no_headers)
        _watch(server, chosen, scope, style, printer, watch_only, output_watch_events)
    elif tables:
        _print_tables(server, chosen, scope, style, sort_by)
    else:
        _print_objects(server, chosen, scope, output.printer(form, no_headers), sort_by, show_managed_fields)


def _print_tables(server: Server, chosen: list[Chosen], scope: Scope, style: Style, sort_by: str) -> None:
    several = len({part.kind for part in chosen}) > 1
    failed: list[UserError] = []
    printed = False
    for part in chosen:
        table = _table(server, part, scope, "Object" if sort_by else "Metadata", failed)
        if not table.get("rows"):
            continue
        if sort_by:
            table["rows"].sort(
                key=_sorter(sort_by, [row["object"] for row in table["rows"]], lambda row: row["object"])
            )
        namespaces = style.namespaces and part.kind.namespaced
        shown = Style(style.wide, style.headers, namespaces, style.labels, style.label_columns)
        prefix = f"{part.kind.label}/" if several or _by_pairs(part, chosen) else ""
        text = TablePrinter(shown, prefix).render(table)
        click.echo(("\n" if printed else "") + text, nl=False)
        printed = True
    if failed:
        raise SeveralErrors(failed)
    if not printed and not scope.ignore_not_found:
        where = f" in {scope.namespace} namespace" if scope.namespace and any(p.kind.namespaced for p in chosen) else ""
        click.echo(f"No resources found{where}" + ("." if where else ""), err=True)


def _by_pairs(part: Chosen, chosen: list[Chosen]) -> bool:
    """Whether the same type was named several times, with others between."""
    return sum(other.kind == part.kind for other in chosen) != 1


def _table(server: Server, part: Chosen, scope: Scope, include: str, failed: list[UserError]) -> dict[str, Any]:
    """All rows as one table; what is refused is added to ``failed``."""
    table: dict[str, Any] = {}
    for answer in _answers(server, part, scope, {"includeObject": include}, ACCEPT, failed):
        found = answer if answer.get("kind") == "Table" else _untabled(answer)
        if table:
            table["rows"].extend(found.get("rows") or ())
        else:
            table = found | {"rows": [*(found.get("rows") or ())]}
    return table


def _untabled(answer: dict[str, Any]) -> dict[str, Any]:
    """A table of an answer from a server that made none."""
    columns = [{"name": "Name", "format": "name"}, {"name": "Created At"}]
    rows = [
        {"cells": [item["metadata"].get("name"), item["metadata"].get("creationTimestamp")], "object": item}
        for item in output.items_of(answer)
    ]
    return {"columnDefinitions": columns, "rows": rows}


def _answers(
    server: Server, part: Chosen, scope: Scope, query: Query, accept: str, failed: list[UserError]
) -> Iterator[dict[str, Any]]:
    """What the server says about each name, or page after page of all."""
    namespace = scope.namespace_of(part.kind)
    for name in part.names:
        try:
            yield server.get(part.kind.path(namespace, name), query, accept)
        except ServerRefused as error:
            if not (scope.ignore_not_found and error.reason == "NotFound"):
                failed.append(error)
    following = ""
    while not part.names:
        try:
            page = server.get(
                part.kind.path(namespace), {**query, **scope.query, "limit": PAGE, "continue": following}, accept
            )
        except ServerRefused as error:
            failed.append(error)
            return
        yield page
        following = (page.get("metadata") or {}).get("continue") or ""
        if not following:
            return


def _print_objects(
    server: Server, chosen: list[Chosen], scope: Scope, printer: output.Printer, sort_by: str, managed: bool
) -> None:
    failed: list[UserError] = []
    objects = []
    for part in chosen:
        for answer in _answers(server, part, scope, {}, "application/json", failed):
            if "items" not in answer:
                objects.append(answer)
                continue
            kind = {"apiVersion": part.kind.api_version, "kind": part.kind.kind}
            objects += [kind | item for item in answer["items"] or ()]
    if not managed:
        for obj in objects:
            obj["metadata"].pop("managedFields", None)
    if sort_by:
        objects.sort(key=_sorter(sort_by, objects, lambda obj: obj))
    alone = len(chosen) == 1 and len(chosen[0].names) == 1
    if objects or not alone:
        # Imported here as it costs a table nothing.
        from tiphys.cli.documents import as_list  # noqa: PLC0415

        click.echo(printer(objects[0] if alone else as_list(objects), chosen[0].kind), nl=False)
    if failed:
        raise SeveralErrors(failed)


def _sorter(path: str, objects: list[Any], of: Any) -> Any:
    """A sort key for a JSONPath; numbers before text, what has no value first."""
    from tiphys.machinery import jsonpath  # noqa: PLC0415  # only where --sort-by is given

    try:
        template = jsonpath.Template(jsonpath.relaxed(path))
    except jsonpath.JsonPathError as error:
        raise UserError(str(error)) from error

    def value(obj: Any) -> Any:
        return next((found for values in template.find(obj) for found in values), None)

    if objects and all(value(obj) is None for obj in objects):
        raise UserError(f'couldn\'t find any field with path "{jsonpath.relaxed(path)}" in the list of objects')

    def key(item: Any) -> tuple[int, Any]:
        found = value(of(item))
        return (0, 0) if found is None else (1, found) if isinstance(found, int | float) else (2, str(found))

    return key


def _watch(
    server: Server,
    chosen: list[Chosen],
    scope: Scope,
    style: Style,
    printer: output.Printer | None,
    only_changes: bool,
    tell_events: bool,
) -> None:
    """Print what is there and then each change, until interrupted or the server ends it."""
    if len(chosen) != 1 or len(chosen[0].names) > 1:
        raise UserError("you may only specify a single resource type, and at most one name, with --watch")
    kind, names = chosen[0].kind, chosen[0].names
    accept = "application/json" if printer else ACCEPT
    fields = f"metadata.name={names[0]}" if names else scope.fields
    query = {"labelSelector": scope.labels, "fieldSelector": fields}
    path = kind.path(scope.namespace_of(kind))
    if names:
        server.get(kind.path(scope.namespace_of(kind), names[0]))
    first = server.get(path, query, accept)
    table = TablePrinter(style)

    def show(obj: dict[str, Any], event: str) -> None:
        if printer:
            obj["metadata"].pop("managedFields", None)
            whole = {"apiVersion": kind.api_version, "kind": kind.kind} | obj
            click.echo(printer({"object": whole, "type": event} if tell_events else whole, kind), nl=False)
        else:
            click.echo(table.render(obj, event if tell_events else ""), nl=False)
        sys.stdout.flush()

    if not only_changes and (printer is None and first.get("rows")):
        show(first, "ADDED")
    if not only_changes and printer is not None:
        for item in first.get("items") or ():
            show(item, "ADDED")
    since = str((first.get("metadata") or {}).get("resourceVersion", ""))
    try:
        for event in server.lines(path, {**query, "watch": "true", "resourceVersion": since}, accept):
            if event["type"] == "ERROR":
                raise ServerRefused(event["object"])
            if event["type"] != "BOOKMARK":
                show(event["object"], event["type"])
    except KeyboardInterrupt:
        return
