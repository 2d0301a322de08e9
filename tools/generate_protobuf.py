"""Write tiphys/apiserver/protobuf_fields.json: the field numbers of Kubernetes' protobuf messages.

    python tools/generate_protobuf.py /path/to/kubectl

The binary is any Go program linked with Kubernetes' API types up to 1.33; they
carry their descriptors, compressed. Only names, numbers and types are kept.
Numbers never change between versions; fields newer than the binary are absent.
"""

import json
import re
import sys
import zlib
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

OUTPUT = Path(__file__).parents[1] / "tiphys/apiserver/protobuf_fields.json"
GZIP = re.compile(rb"\x1f\x8b\x08")
SCALARS = {
    FieldDescriptorProto.TYPE_STRING: "string",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_INT32: "int",
    FieldDescriptorProto.TYPE_INT64: "int",
    FieldDescriptorProto.TYPE_UINT32: "uint",
    FieldDescriptorProto.TYPE_UINT64: "uint",
    FieldDescriptorProto.TYPE_DOUBLE: "double",
    FieldDescriptorProto.TYPE_FLOAT: "float",
}


def files(binary: bytes) -> list[FileDescriptorProto]:
    """The descriptors of Kubernetes' own files in a program."""
    found = []
    for match in GZIP.finditer(binary):
        try:
            data = zlib.decompressobj(31).decompress(binary[match.start() : match.start() + 2**20], 2**22)
        except zlib.error:
            continue
        if b"k8s.io/api" in data[:30]:
            found.append(FileDescriptorProto.FromString(data))
    return found


def fields(prefix: str, message: DescriptorProto) -> dict[str, list[str]]:
    """Number to name, type (``map`` types name key and value) and whether it repeats."""
    entries = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
    found: dict[str, list[str]] = {}
    for field in message.field:
        kind = SCALARS.get(field.type) or field.type_name.lstrip(".")
        label = "many" if field.label == FieldDescriptorProto.LABEL_REPEATED else "one"
        entry = entries.get(kind.rpartition(".")[2]) if kind.startswith(f"{prefix}.") else None
        if entry is not None:
            value = entry.field[1]
            kind, label = SCALARS.get(value.type) or value.type_name.lstrip("."), "map"
        found[str(field.number)] = [field.name, kind, label]
    return found


def main() -> None:
    """Read the binary named on the command line."""
    messages: dict[str, dict[str, list[str]]] = {}
    for file in files(Path(sys.argv[1]).read_bytes()):
        for message in file.message_type:
            name = f"{file.package}.{message.name}"
            messages[name] = fields(name, message)
    OUTPUT.write_text(json.dumps(messages, sort_keys=True, separators=(",", ":")) + "\n")
    print(f"{len(messages)} messages")


if __name__ == "__main__":
    main()
