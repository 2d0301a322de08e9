"""``tiphys doctor``: what this machine can and cannot do."""

import json
import sys
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tiphys.cli import options
from tiphys.cli.doctor import Finding, examine

COLOURS = {"OK": "green", "LIMITED": "yellow", "MISSING": "red"}


@click.command("doctor")
@options.output
def command(output: str) -> None:
    """Look at what a cluster needs of this machine; nothing is changed.

    \b
    OK        works
    LIMITED   a cluster starts, but something of it is taken away
    MISSING   a cluster cannot start; the exit code is then 1
    """
    findings = examine()
    able = all(finding.state != "MISSING" for finding in findings)
    if output == "json":
        click.echo(json.dumps({"able": able, "checks": [asdict(finding) for finding in findings]}, indent=2))
    else:
        _print(findings, able)
    sys.exit(0 if able else 1)


def _print(findings: list[Finding], able: bool) -> None:
    # Rich leaves colours out where nobody sees them, or NO_COLOR asks for it.
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="")
    for header in ("CHECK", "STATE", "DETAIL"):
        table.add_column(header, overflow="fold")
    for finding in findings:
        detail = finding.detail + (f"; {finding.advice}" if finding.advice else "")
        table.add_row(finding.name, Text(finding.state, style=COLOURS[finding.state]), Text(detail))
    console.print(table)
    limited = [finding.name for finding in findings if finding.state == "LIMITED"]
    missing = [finding.name for finding in findings if finding.state == "MISSING"]
    if not able:
        console.print(f"\nA cluster cannot start here: {', '.join(missing)}.")
        return
    less = f"; limited: {', '.join(limited)}" if limited else ""
    console.print(f"\nA cluster can start here{less}.")
