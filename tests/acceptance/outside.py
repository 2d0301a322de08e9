"""How acceptance tests look at a cluster: by running the commands that a user would, and reading what they print."""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

#: Nothing here takes this long unless something is broken.
PATIENCE_SECONDS = 30.0

#: kubectl 1.32 says so when the empty first frame of a stream, which servers send as a greeting, arrives before
#: it has set the stream up; a race of its own that says nothing about the server.
EARLY_FRAME = re.compile(r"^E\d{4} .*websocket\.go.* Unknown stream id \d+, discarding message\n", re.MULTILINE)


class Step(NamedTuple):
    """A kubectl command line, what its output (both streams) must match, and its exit code."""

    command: str
    expected: str = ""
    code: int = 0
    stdin: str = ""
    env: Mapping[str, str] = {}


@dataclass(frozen=True)
class Kubectl:
    """The stock kubectl against one cluster, in one namespace."""

    kubeconfig: Path
    namespace: str = "default"
    folder: Path | None = None

    def within(self, namespace: str, folder: Path | None = None) -> "Kubectl":
        return Kubectl(self.kubeconfig, namespace, folder or self.folder)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "KUBECTL_KUBERC": "false"}

    def line(self, arguments: Sequence[str]) -> list[str]:
        """The command line; the namespace stands early so that a command's own wins."""
        return ["kubectl", arguments[0], "--namespace", self.namespace, *arguments[1:]]

    def run(self, command: str, stdin: str = "", env: Mapping[str, str] = {}) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            self.line(shlex.split(command)),
            input=stdin,
            env={**self.environment, **env},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        done.stdout = EARLY_FRAME.sub("", done.stdout)
        return done

    def start(self, command: str) -> "subprocess.Popen[bytes]":
        """A command that goes on; whoever starts it ends it."""
        return subprocess.Popen(
            self.line(shlex.split(command)),
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __call__(self, command: str, stdin: str = "") -> str:
        """The output of a command that must succeed."""
        done = self.run(command, stdin)
        assert done.returncode == 0, f"kubectl {command}: {done.stdout}"
        return done.stdout

    def walk(self, steps: Sequence[Step]) -> None:
        """Every step in order; all that went wrong is said at the end."""
        wrong = [text for step in steps if (text := self._problem(step))]
        assert not wrong, "\n\n".join(wrong)

    def _problem(self, step: Step) -> str:
        done = self.run(step.command, step.stdin, step.env)
        found = re.search(step.expected, done.stdout, re.MULTILINE)
        if done.returncode == step.code and found:
            return ""
        return (
            f"kubectl {step.command}\n  exit {done.returncode}, want {step.code}; want match of {step.expected!r} in:\n"
            + done.stdout
        )
