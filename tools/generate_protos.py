"""Compile our ``.proto`` files into Python messages and type declarations, and stubs where we serve.

Run it after changing one: ``python tools/generate_protos.py``. Needs grpcio-tools.
"""

import pathlib
import sys
from importlib import resources

from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parent.parent
#: Files without ``.proto``; True also makes gRPC stubs, which only servers need.
PROTOS = {
    "tiphys/runtime/cri/api": True,
    "tiphys/runtime/cri/images": True,
    "tiphys/store/etcd/messages": False,
    "tiphys/apiserver/encryption/kms": False,
}


def compiled(path: str, stubs: bool) -> int:
    """The compiler's exit code."""
    include = str(resources.files("grpc_tools") / "_proto")
    kinds = ("python_out", "pyi_out", *(("grpc_python_out",) if stubs else ()))
    # Compiled by its path from the root, so that generated imports are absolute and need no patching.
    out = [f"--{kind}={ROOT}" for kind in kinds]
    return int(protoc.main(["protoc", f"-I{ROOT}", f"-I{include}", *out, str(ROOT / f"{path}.proto")]))


if __name__ == "__main__":
    sys.exit(max(compiled(path, stubs) for path, stubs in PROTOS.items()))
