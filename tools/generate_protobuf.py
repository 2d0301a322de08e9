"""Write tiphys/apiserver/protobuf/fields.json: the field numbers of Kubernetes' protobuf messages.

    python -m tools.generate_protobuf /path/to/kubectl

The binary is any Go program linked with Kubernetes' API types up to 1.33; they
carry their descriptors, compressed. Only names, numbers and types are kept.
Numbers never change between versions; what is newer than the binary comes from ``protobuf_newer``.
"""

import json
import re
import sys
import zlib
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

from tiphys.api.kinds import KINDS
from tiphys.machinery import codec, shapes
from tools.protobuf_newer import COPIES, NEWER

OUTPUT = Path(__file__).parents[1] / "tiphys/apiserver/protobuf/fields.json"
API = "k8s.io.api"
META = "k8s.io.apimachinery.pkg.apis.meta.v1"
SHORT = {
    "quantity": "k8s.io.apimachinery.pkg.api.resource.Quantity",
    "raw": "k8s.io.apimachinery.pkg.runtime.RawExtension",
}
#: By message: number to name, kind and label.
Messages = dict[str, dict[str, list[str]]]
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


def newer(messages: Messages) -> None:
    """Add what programs with descriptors do not know yet."""
    for target, source, names in COPIES:
        before, after = f"{API}.{source}.", f"{API}.{target}."
        for name in [name for name in messages if name.startswith(before)]:
            short = name.removeprefix(before)
            if after + short not in messages and (not names or short in names.split()):
                copied = {n: [f, kind.replace(before, after), label] for n, (f, kind, label) in messages[name].items()}
                messages[after + short] = copied
    for line in NEWER.strip().splitlines():
        name, _, rest = line.partition(":")
        package = name.rpartition(".")[0]
        message = messages.setdefault(f"{API}.{name}", {})
        for text in filter(None, rest.split(",")):
            number, field, kind = text.split()
            label = {"*": "many", "%": "map"}.get(kind[-1], "one")
            message[number] = [field, _kind(kind.rstrip("*%"), package), label]
    before, after = f"{API}.resource.v1.", f"{API}.resource.v1beta2."
    for name in [name for name in messages if name.startswith(before)]:
        copied = {n: [f, kind.replace(before, after), label] for n, (f, kind, label) in messages[name].items()}
        messages[name.replace(before, after)] = copied


def _kind(kind: str, package: str) -> str:
    if kind in SCALARS.values():
        return kind
    if kind in SHORT:
        return SHORT[kind]
    prefix, _, name = kind.rpartition(".")
    return f"{ {'meta': META, 'core': API + '.core.v1'}.get(prefix, f'{API}.{package}') }.{name}"


def renamed(messages: Messages) -> Messages:
    """The messages that our kinds use, with fields named as in JSON: some differ in their capitals."""
    found: Messages = {}

    def visit(name: str, cls: Any) -> None:
        known = {field.lower(): field for field in shapes.fields_of(cls)} if cls is not None else {}
        fresh = name not in found
        fields = found.setdefault(name, {})
        for number, (field, kind, label) in messages[name].items():
            if fresh or field.lower() in known:
                fields[number] = [known.get(field.lower(), field), kind, label]
        for field, kind, _ in list(fields.values()):
            inline = bool(known) and field not in known.values()
            below = cls if inline else known and shapes.fields_of(cls)[field].cls if cls is not None else None
            if kind in messages and (kind, below) not in seen:
                seen.add((kind, below))
                visit(kind, below)

    seen: set[tuple[str, Any]] = set()
    for group, version, kind in KINDS:
        package = {"": "core", "internal.apiserver.k8s.io": "apiserverinternal"}.get(group, group.partition(".")[0])
        for name in (f"{API}.{package}.{version}.{kind}", f"{META}.{kind}"):
            if name in messages:
                visit(name, codec.class_of(group, version, kind))
                break
    for name in (f"{META}.WatchEvent", f"{META}.PartialObjectMetadata", f"{META}.PartialObjectMetadataList"):
        visit(name, None)
    for name in ("DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions"):
        if f"{META}.{name}" not in found:
            visit(f"{META}.{name}", None)
    return found


def main() -> None:
    """Read the binary named on the command line."""
    messages: Messages = {}
    for file in files(Path(sys.argv[1]).read_bytes()):
        for message in file.message_type:
            name = f"{file.package}.{message.name}"
            messages[name] = fields(name, message)
    newer(messages)
    messages = renamed(messages)
    OUTPUT.write_text(json.dumps(messages, sort_keys=True, separators=(",", ":")) + "\n")
    print(f"{len(messages)} messages")


if __name__ == "__main__":
    main()
