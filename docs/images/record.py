"""Draws ``docs/images/tour.svg`` from a real run: ``sudo .venv/bin/python docs/images/record.py``.

Starts a cluster of its own, runs the commands below, keeps what they print and removes the cluster.
"""

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
COLUMNS = 100
COMMANDS = (
    "tiphys up",
    "kubectl apply -f examples/demo.yaml",
    "kubectl rollout status deployment/hello",
    "kubectl get pods,service",
    "curl -s http://$(kubectl get service hello -o jsonpath={.spec.clusterIP})/",
    "kubectl exec deployment/hello -- hostname",
    "tiphys status",
    "tiphys down --purge",
)


def main() -> None:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TIPHYS_NAME": "tour",
            "TIPHYS_DATA_DIR": f"{folder}/tour",
            "KUBECONFIG": f"{folder}/kubeconfig",
            "FORCE_COLOR": "1",
            "COLUMNS": str(COLUMNS),
        }
        try:
            for command in COMMANDS:
                console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
                done = subprocess.run(
                    ["bash", "-c", command],
                    cwd=ROOT,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
                if done.returncode:
                    sys.exit(f"{command}: {done.stdout}")
                text = re.sub(r"/tmp/\w+/kubeconfig", "~/.kube/config", done.stdout)
                text = re.sub(r"/tmp/\w+/tour", "/var/lib/tiphys/tour", text)
                text = re.sub(r"\x1b\[\?25[lh]|\x1b\[1A|\x1b\[2K|\r", "", text)
                # A spinner's frames are no result.
                text = "\n".join(line for line in text.split("\n") if "⠋" not in line)
                console.print(Text.from_ansi(text.strip("\n")))
                console.print()
        finally:
            subprocess.run(["tiphys", "down", "--purge"], env=environment, capture_output=True, check=False)
    # Without the web font that rich asks for: a picture should load nothing.
    template = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    (HERE / "tour.svg").write_text(console.export_svg(title="tiphys", theme=MONOKAI, code_format=template))


if __name__ == "__main__":
    main()
