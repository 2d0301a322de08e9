"""All checks, in the order in which they are shown."""

from tiphys.cli.doctor import containers, machine, networks
from tiphys.cli.doctor.findings import Finding

CHECKS = (machine.check, containers.check, networks.check)


def examine() -> list[Finding]:
    return [finding for check in CHECKS for finding in check()]
