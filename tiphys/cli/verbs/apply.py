"""``tiphys apply``: make objects what manifests say."""

from typing import Any

import click
import msgspec

from tiphys.cli import manifests, output
from tiphys.cli.applying import annotation, diff
from tiphys.cli.discovery import Discovery, Kind
from tiphys.cli.errors import ServerRefused, SeveralErrors, UserError
from tiphys.cli.manifests import Manifest
from tiphys.cli.server import Server
from tiphys.cli.target import with_server
from tiphys.machinery import codec

#: The same as kubectl's: both tools write the same fields, and either may take the other's place.
MANAGER = "kubectl-client-side-apply"
#: A patch that meets a change of somebody else's is computed anew this often.
ATTEMPTS = 5
SUFFIX = {"none": "", "client": " (dry run)", "server": " (server dry run)"}

Dict = dict[str, Any]


@click.command("apply")
@click.option("-f", "--filename", "files", multiple=True, required=True, help='A file, a folder, or "-" for input.')
@click.option("-R", "--recursive", is_flag=True, help="Folders with all that is below them.")
@click.option("--dry-run", type=click.Choice([*SUFFIX]), default="none", help="Only say what would be done.")
@click.option("--server-side", is_flag=True, help="Let the server merge and keep track of who set what.")
@click.option("--force-conflicts", is_flag=True, help="With --server-side: take over what others have set.")
@click.option("--field-manager", default="", help="Who is said to have set the fields.")
@click.option(
    "--validate", default="strict", type=click.Choice(["strict", "warn", "ignore", "true", "false"]), show_default=True
)
@click.option("-o", "--output", "form", default="", help="name, yaml, json or jsonpath=...: print the results so.")
@with_server
def command(
    server: Server,
    files: tuple[str, ...],
    recursive: bool,
    dry_run: str,
    server_side: bool,
    force_conflicts: bool,
    field_manager: str,
    validate: str,
    form: str,
) -> None:
    """Create objects that are not there, and change those that are.

    \b
    tiphys apply -f web.yaml
    tiphys apply -f manifests/ -n shop
    tiphys apply -f web.yaml --dry-run=server      what would happen?

    What a manifest no longer says is removed from the object; what others have
    set (a scaled number of replicas, say) stays unless the manifest says otherwise.
    Objects can be applied with tiphys and kubectl in turn.
    """
    printer = output.printer(form) if form else None
    found = manifests.read(files, recursive)
    if not found:
        raise UserError("no objects passed to apply")
    words = {"true": "Strict", "false": "Ignore"}
    options = {
        "fieldManager": field_manager or ("kubectl" if server_side else MANAGER),
        "fieldValidation": words.get(validate, validate.capitalize()),
        "dryRun": "All" if dry_run == "server" else "",
    }
    apply = _Apply(server, Discovery(server), options, dry_run == "client", server_side, force_conflicts)
    failed: list[UserError] = []
    for manifest in found:
        try:
            kind, obj, done = apply.one(manifest)
        except ServerRefused as error:
            error.doing = error.doing or f'error when applying "{manifest.source}"'
            failed.append(error)
        except UserError as error:
            failed.append(error)
        else:
            name = (obj.get("metadata") or {}).get("name", "")
            text = printer(obj, kind) if printer else f"{kind.label}/{name} {done}{SUFFIX[dry_run]}\n"
            click.echo(text, nl=False)
    if failed:
        raise SeveralErrors(failed)


class _Apply:
    def __init__(
        self,
        server: Server,
        discovery: Discovery,
        options: dict[str, str],
        pretend: bool,
        server_side: bool,
        force: bool,
    ) -> None:
        self._server = server
        self._discovery = discovery
        self._options = options
        self._pretend = pretend
        self._server_side = server_side
        self._force = force

    def one(self, manifest: Manifest) -> tuple[Kind, Dict, str]:
        """The object as it is afterwards, and what was done."""
        kind = self._discovery.of(str(manifest.obj["apiVersion"]), str(manifest.obj["kind"]))
        metadata = manifest.obj["metadata"]
        if not manifest.name:
            hint = ": cannot use generate name with apply" if metadata.get("generateName") else ""
            raise UserError(f"error when applying {manifest.source}: resource name may not be empty{hint}")
        obj = manifest.obj
        namespace = ""
        if kind.namespaced:
            namespace = metadata.get("namespace") or self._server.namespace
            obj = obj | {"metadata": metadata | {"namespace": namespace}}
        if self._server_side:
            return self._merged_by_server(kind, namespace, obj)
        wanted = annotation.annotated(obj)
        for attempt in range(ATTEMPTS):
            path = kind.path(namespace, manifest.name)
            try:
                current = self._server.get(path)
            except ServerRefused as error:
                if error.reason != "NotFound":
                    raise
                return self._created(kind, namespace, wanted, manifest)
            try:
                return self._changed(kind, path, wanted, current)
            except ServerRefused as error:
                if error.reason != "Conflict" or attempt == ATTEMPTS - 1:
                    error.doing = f'error when patching "{manifest.source}"'
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _created(self, kind: Kind, namespace: str, wanted: Dict, manifest: Manifest) -> tuple[Kind, Dict, str]:
        if self._pretend:
            return kind, wanted, "created"
        try:
            made = self._server.call("POST", kind.path(namespace), self._options, wanted)
        except ServerRefused as error:
            error.doing = f'error when creating "{manifest.source}"'
            raise
        return kind, made, "created"

    def _changed(self, kind: Kind, path: str, wanted: Dict, current: Dict) -> tuple[Kind, Dict, str]:
        original = annotation.last_applied(current)
        if original is None:
            name = current["metadata"]["name"]
            click.echo(
                f"Warning: resource {kind.plural}/{name} is missing the {annotation.LAST_APPLIED} annotation which is "
                "required by apply; it was created in another way. The missing annotation will be patched "
                "automatically.",
                err=True,
            )
        try:
            cls = codec.class_of(kind.group, kind.version, kind.kind)
        except LookupError:
            patch = diff.merge_patch(original or {}, wanted, current)
            content_type = "application/merge-patch+json"
        else:
            patch = diff.strategic_patch(cls, original or {}, wanted, current)
            content_type = "application/strategic-merge-patch+json"
        if not patch:
            return kind, current, "unchanged"
        if self._pretend:
            return kind, wanted, "configured"
        body = msgspec.json.encode(patch)
        done = self._server.call("PATCH", path, self._options, body, content_type=content_type)
        # A dry run answers with the version that is stored, whatever it would change.
        same = not self._options["dryRun"] and done["metadata"].get("resourceVersion") == current["metadata"].get(
            "resourceVersion"
        )
        return kind, done, "unchanged" if same and original is not None else "configured"

    def _merged_by_server(self, kind: Kind, namespace: str, obj: Dict) -> tuple[Kind, Dict, str]:
        path = kind.path(namespace, str(obj["metadata"]["name"]))
        options = self._options | ({"force": "true"} if self._force else {})
        done = self._server.call("PATCH", path, options, obj, content_type="application/apply-patch+yaml")
        return kind, done, "serverside-applied"
