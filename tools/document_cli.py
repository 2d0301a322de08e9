"""Writes docs/cli.md from the commands' own help: ``python tools/document_cli.py``."""

from pathlib import Path

import click

from tiphys.cli.main import VERBS, tiphys_command

TARGET = Path(__file__).parent.parent / "docs" / "cli.md"
WIDTH = 96
HEAD = """# Command line

Written by `tools/document_cli.py` from what `--help` says.

Verbs about objects (`get`, `describe`, `apply`, `delete`, `logs`, `exec`) work on the cluster `tiphys` of this machine,
on another with `--name`, or, with `--kubeconfig` or `--context`, on any Kubernetes cluster. They print what kubectl
prints, fail with exit code 1 as it does, and `exec` passes on the exit code of its command. Colours appear on terminals
only, and not if `NO_COLOR` is set.

| variable | stands for |
|---|---|
| `TIPHYS_NAME` | `--name` |
| `TIPHYS_DATA_DIR` | `--data-dir` |
| `KUBECONFIG` | `--kubeconfig` |
"""


def document() -> str:
    root = click.Context(tiphys_command, info_name="tiphys", max_content_width=WIDTH, terminal_width=WIDTH)
    sections = [HEAD]
    for verb in VERBS:
        command = tiphys_command.get_command(root, verb)
        assert command is not None, verb
        sections.append(f"\n## {verb}\n\n{_help(command, root, verb)}")
        if isinstance(command, click.Group):
            inner = click.Context(command, parent=root, info_name=verb, terminal_width=WIDTH)
            sections += [f"\n### {verb} {name}\n\n{_help(sub, inner, name)}" for name, sub in command.commands.items()]
    return "".join(sections)


def _help(command: click.Command, parent: click.Context, name: str) -> str:
    context = click.Context(command, parent=parent, info_name=name, terminal_width=WIDTH)
    return f"```\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    TARGET.write_text(document())
