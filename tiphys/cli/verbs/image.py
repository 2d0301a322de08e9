"""``tiphys image``: the container images that a cluster's node has."""

import sys
from pathlib import Path

import click

from tiphys.cli import options
from tiphys.cli.cluster import Cluster
from tiphys.cli.errors import SeveralErrors, UserError
from tiphys.cli.images import connected, is_id, rows, short_id, size_text
from tiphys.cli.tabs import align


@click.group("image")
def command() -> None:
    """Load, list and remove the container images of a cluster's node.

    \b
    docker save web:1 | tiphys image load -
    tiphys image load web.tar
    tiphys image ls
    tiphys image rm web:1
    """


@command.command("load")
@click.argument("archive", metavar="FILE|-")
@click.option("--tag", default="", help="The reference of an image whose archive names none.")
@options.name
@options.data_dir
def load(archive: str, tag: str, name: str, data_dir: str | None) -> None:
    """Put the images of an archive on the node; a Pod can use them at once.

    The archive is what "docker save", "podman save" or "skopeo copy" writes
    (docker-archive or OCI layout), compressed or not.
    """
    path = Path(archive)
    if archive != "-" and not path.is_file():
        raise UserError(f"{archive}: {'is a folder' if path.is_dir() else 'there is no such file'}")
    with connected(Cluster.named(name, data_dir)) as images:
        if archive == "-":
            found = images.load_stream(sys.stdin.buffer, tag)
        else:
            found = images.load_file(str(path.resolve()), tag)
    for image in found:
        for reference in image.references or [image.id]:
            click.echo(f"Loaded image: {reference}")


@command.command("ls")
@options.name
@options.data_dir
@options.output
def ls(name: str, data_dir: str | None, output: str) -> None:
    """List the node's images."""
    with connected(Cluster.named(name, data_dir)) as images:
        found = images.every()
    if output == "json":
        # protobuf's JSON is what crictl prints as well.
        from google.protobuf import json_format  # noqa: PLC0415  # the table needs none of it

        listed = [json_format.MessageToDict(image, always_print_fields_with_no_presence=True) for image in found]
        click.echo(_json({"images": listed}))
        return
    lines = sorted(
        (repository, tag, short_id(image.id), size_text(image.size))
        for image in found
        for repository, tag in rows(image)
    )
    table = [("IMAGE", "TAG", "IMAGE ID", "SIZE"), *lines]
    click.echo(align("".join("\t".join(line) + "\n" for line in table), 5), nl=False)


def _json(content: object) -> str:
    from tiphys.cli.documents import to_json  # noqa: PLC0415  # as above

    return to_json(content).rstrip("\n")


@command.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@options.name
@options.data_dir
def rm(names: tuple[str, ...], name: str, data_dir: str | None) -> None:
    """Remove images, by reference or by the beginning of their id."""
    failed: list[UserError] = []
    for image_name in names:
        try:
            with connected(Cluster.named(name, data_dir)) as images:
                found = images.find(image_name)
                if found is None:
                    raise UserError(f'no such image "{image_name}"; "tiphys image ls" shows what there is')
                images.remove(found.id if is_id(found, image_name) else image_name)
        except UserError as error:
            failed.append(error)
        else:
            click.echo(f"Deleted: {image_name}")
    if failed:
        raise SeveralErrors(failed)
