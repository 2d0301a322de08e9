"""Compile ``tiphys/runtime/cri/*.proto`` into Python messages, stubs and type declarations.

Run it after changing a ``.proto`` file: ``python tools/generate_cri.py``. Needs grpcio-tools.
"""

import pathlib
import sys
from importlib import resources

from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROTOS = ("api", "images")


def main() -> int:
    """The compiler's exit code."""
    include = str(resources.files("grpc_tools") / "_proto")
    # Compiled by its path from the root, so that generated imports are absolute and need no patching.
    sources = [f"tiphys/runtime/cri/{name}.proto" for name in PROTOS]
    out = [f"--{kind}={ROOT}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    return int(protoc.main(["protoc", f"-I{ROOT}", f"-I{include}", *out, *(str(ROOT / name) for name in sources)]))


if __name__ == "__main__":
    sys.exit(main())
