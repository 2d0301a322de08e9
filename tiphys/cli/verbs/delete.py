"""``tiphys delete``: remove objects, and wait until they are gone."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import click

from tiphys.cli import arguments
from tiphys.cli.discovery import Discovery, Kind
from tiphys.cli.errors import ServerRefused, SeveralErrors, UserError
from tiphys.cli.server import Server
from tiphys.cli.target import with_server
from tiphys.machinery import times

SUFFIX = {"none": "", "client": " (dry run)", "server": " (server dry run)"}
#: How long one look for the object's end lasts before the object is asked for again.
WATCH_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Doomed:
    """One object to delete."""

    kind: Kind
    namespace: str
    name: str

    @property
    def path(self) -> str:
        return self.kind.path(self.namespace, self.name)


@click.command("delete")
@click.argument("what", nargs=-1, metavar="[TYPE [NAME]... | TYPE/NAME...]")
@click.option("-f", "--filename", "files", multiple=True, help='The objects of a file, a folder, or "-" for input.')
@click.option("-R", "--recursive", is_flag=True, help="Folders with all that is below them.")
@click.option("-l", "--selector", default="", help='All objects with these labels, as in "app=web".')
@click.option("--field-selector", default="", help='All objects with these fields, as in "status.phase=Failed".')
@click.option("--all", "everything", is_flag=True, help="All objects of the type in the namespace.")
@click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces.")
@click.option("--grace-period", type=int, default=-1, help="Seconds that a Pod has to end; 0 with --force only.")
@click.option("--force", is_flag=True, help="Forget the object at once, without waiting for its node.")
@click.option("--now", is_flag=True, help="A grace period of one second.")
@click.option("--cascade", type=click.Choice(["background", "foreground", "orphan"]), default="background")
@click.option("--wait/--no-wait", default=True, help="Return only when the objects are gone.  [default: wait]")
@click.option("--timeout", default="0s", help="Give up waiting after this time, as in 30s.  [default: never]")
@click.option("--ignore-not-found", is_flag=True, help="What does not exist is no error.")
@click.option("--dry-run", type=click.Choice([*SUFFIX]), default="none", help="Only say what would be done.")
@click.option("-o", "--output", "form", type=click.Choice(["", "name"]), default="", help="name: print names only.")
@with_server
def command(
    server: Server,
    what: tuple[str, ...],
    files: tuple[str, ...],
    recursive: bool,
    selector: str,
    field_selector: str,
    everything: bool,
    all_namespaces: bool,
    grace_period: int,
    force: bool,
    now: bool,
    cascade: str,
    wait: bool,
    timeout: str,
    ignore_not_found: bool,
    dry_run: str,
    form: str,
) -> None:
    """Delete objects.

    \b
    tiphys delete pod web-0
    tiphys delete deploy,svc -l app=web
    tiphys delete -f web.yaml
    tiphys delete pods --all -n shop
    """
    if bool(what) == bool(files):
        raise UserError("either a type (with names, -l or --all) or -f must be given")
    grace = _grace(grace_period, force, now)
    discovery = Discovery(server)
    failed: list[UserError] = []
    if files:
        ignore_not_found = ignore_not_found or everything
        doomed = _of_files(server, discovery, files, recursive)
    else:
        selected = Selection(selector, field_selector, everything, all_namespaces)
        doomed = _of_words(server, discovery, what, selected)
    if force and dry_run == "none":
        click.echo(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been "
            "terminated. The resource may continue to run on the cluster indefinitely.",
            err=True,
        )
    options: dict[str, object] = {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "propagationPolicy": cascade.capitalize(),
    }
    if grace is not None:
        options["gracePeriodSeconds"] = grace
    if dry_run == "server":
        options["dryRun"] = ["All"]
    waiting: list[tuple[Doomed, str]] = []
    for one in doomed:
        try:
            answer = server.get(one.path) if dry_run == "client" else server.call("DELETE", one.path, body=options)
        except ServerRefused as error:
            if not (error.reason == "NotFound" and ignore_not_found):
                failed.append(error)
            continue
        click.echo(_said(one, "force deleted" if force else "deleted", SUFFIX[dry_run], form))
        waiting.append((one, _uid(answer)))
    if not waiting and not failed and not what[1:] and not files:
        click.echo("No resources found")
    if wait and dry_run == "none":
        failed += _wait_all(server, waiting, times.parse_duration(timeout))
    if failed:
        raise SeveralErrors(failed)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a type, where no names are given."""

    labels: str
    fields: str
    everything: bool
    all_namespaces: bool


def _grace(seconds: int, force: bool, now: bool) -> int | None:
    if now and seconds != -1:
        raise UserError("--now and --grace-period cannot be specified together")
    if seconds == 0 and not force:
        # As kubectl has it: without --force the kubelet's word is waited for.
        return 1
    if force and seconds > 0:
        raise UserError("--force and --grace-period greater than 0 cannot be specified together")
    if force:
        return 0
    return 1 if now else seconds if seconds >= 0 else None


def _of_files(server: Server, discovery: Discovery, files: tuple[str, ...], recursive: bool) -> list[Doomed]:
    from tiphys.cli import manifests  # noqa: PLC0415  # reads YAML, which deleting by name does not need

    found = []
    for manifest in manifests.read(files, recursive):
        kind = discovery.of(str(manifest.obj["apiVersion"]), str(manifest.obj["kind"]))
        namespace = manifest.obj["metadata"].get("namespace") or server.namespace
        found.append(Doomed(kind, namespace if kind.namespaced else "", manifest.name))
    return found


def _of_words(server: Server, discovery: Discovery, what: tuple[str, ...], selected: Selection) -> list[Doomed]:
    found: list[Doomed] = []
    by_selection = bool(selected.labels or selected.fields or selected.everything)
    for part in arguments.parse(what, discovery):
        namespace = server.namespace if part.kind.namespaced else ""
        if part.names and by_selection:
            raise UserError("name cannot be provided when a selector is specified")
        if not part.names and not by_selection:
            raise UserError("resource(s) were provided, but no name was specified")
        found += [Doomed(part.kind, namespace, name) for name in part.names]
        if not part.names:
            path = part.kind.path("" if selected.all_namespaces else namespace)
            query = {"labelSelector": selected.labels, "fieldSelector": selected.fields}
            for item in server.get(path, query).get("items") or ():
                metadata = item["metadata"]
                found.append(Doomed(part.kind, metadata.get("namespace", ""), metadata["name"]))
    return found


def _said(one: Doomed, done: str, suffix: str, form: str) -> str:
    if form == "name":
        return f"{one.kind.label}/{one.name}"
    where = f" from {one.namespace} namespace" if one.namespace else ""
    return f'{one.kind.label} "{one.name}" {done}{where}{suffix}'


def _uid(answer: dict[str, dict[str, str]]) -> str:
    """Of the object that is going: servers answer with it, or with a Status that names it."""
    return answer.get("metadata", {}).get("uid") or answer.get("details", {}).get("uid") or ""


def _wait_all(server: Server, waiting: list[tuple[Doomed, str]], seconds: float) -> Iterator[UserError]:
    deadline = time.monotonic() + seconds if seconds else None
    for one, uid in waiting:
        if not _wait_gone(server, one, uid, deadline):
            yield UserError(f"timed out waiting for the condition on {one.kind.plural}/{one.name}")


def _wait_gone(server: Server, one: Doomed, uid: str, deadline: float | None) -> bool:
    """Follow the object until it, or the one that had its name, is no more; False if time ran out."""
    fields = f"metadata.name={one.name}"
    while True:
        page = server.get(one.kind.path(one.namespace), {"fieldSelector": fields})
        items = page.get("items") or []
        if not items or (uid and items[0]["metadata"].get("uid") != uid):
            return True
        left = WATCH_SECONDS if deadline is None else min(WATCH_SECONDS, int(deadline - time.monotonic()) + 1)
        if deadline is not None and time.monotonic() >= deadline:
            return False
        query = {
            "fieldSelector": fields,
            "watch": "true",
            "resourceVersion": page["metadata"]["resourceVersion"],
            "timeoutSeconds": str(max(1, left)),
        }
        for event in server.lines(one.kind.path(one.namespace), query):
            if event["type"] == "DELETED":
                return True
            if event["type"] == "ERROR":
                break
