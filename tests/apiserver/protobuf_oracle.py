"""Reads Kubernetes' protobuf with Google's library, by descriptors made from the table of field numbers."""

import base64
import json
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tiphys.apiserver.protobuf.messages import FIELDS_FILE

SCALARS = {"string": 9, "bytes": 12, "bool": 8, "int": 3, "uint": 4, "double": 1}
TIMES = ("meta_v1_Time", "meta_v1_MicroTime")
UNKNOWN = "k8s_io_apimachinery_pkg_runtime_Unknown"


def _flat(name: str) -> str:
    return name.replace(".", "_")


@cache
def _classes() -> dict[str, Any]:
    table = json.loads(FIELDS_FILE.read_bytes())
    meta = {"1": ["apiVersion", "string", "one"], "2": ["kind", "string", "one"]}
    table["test.TypeMeta"] = meta
    table["k8s.io.apimachinery.pkg.runtime.Unknown"] = {
        "1": ["typeMeta", "test.TypeMeta", "one"],
        "2": ["raw", "bytes", "one"],
        "3": ["contentEncoding", "string", "one"],
        "4": ["contentType", "string", "one"],
    }
    file = descriptor_pb2.FileDescriptorProto(name="all.proto", syntax="proto2")
    for name, fields in table.items():
        message = file.message_type.add(name=_flat(name))
        for number, (field, kind, label) in fields.items():
            one = message.field.add(name=f"{field}_{number}", json_name=field, number=int(number))
            one.label = 1 if label == "one" else 3
            if label == "map":
                entry = message.nested_type.add(name=f"{field}_{number}_entry".title().replace("_", ""))
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, type=9, label=1)
                _type(entry.field.add(name="value", number=2, label=1), kind)
                one.name = f"{field}_{number}"
                one.type, one.type_name = 11, f".{_flat(name)}.{entry.name}"
                entry.name = _entry_name(one.name)
                one.type_name = f".{_flat(name)}.{entry.name}"
            else:
                _type(one, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        message.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(message.name))
        for message in file.message_type
    }


def _entry_name(field: str) -> str:
    """The name that protobuf demands of a map's entries."""
    return "".join(part[:1].upper() + part[1:] for part in field.split("_")) + "Entry"


def _type(field: Any, kind: str) -> None:
    if kind in SCALARS:
        field.type = SCALARS[kind]
    else:
        field.type, field.type_name = 11, f".{_flat(kind)}"


def envelope(body: bytes) -> Any:
    """The runtime.Unknown of a body."""
    assert body.startswith(b"k8s\x00")
    return _classes()[UNKNOWN].FromString(body[4:])


def parsed(body: bytes, message: str) -> Any:
    """The object in a body as a message of that full name; nothing in it may be unknown to the table."""
    found = _classes()[_flat(message)].FromString(envelope(body).raw_2)
    plain = type(found)()
    plain.CopyFrom(found)
    plain.DiscardUnknownFields()
    assert plain.ByteSize() == found.ByteSize(), "fields that no message has"
    return found


def message_leaves(message: Any) -> Counter[str]:
    """Every value in a message, keys of maps among them, whatever it is nested in."""
    name = message.DESCRIPTOR.full_name
    if name.endswith(TIMES):
        values = {field.json_name: value for field, value in message.ListFields()}
        return Counter([_instant(values.get("seconds", 0), values.get("nanos", 0))])
    if name.endswith(("runtime_RawExtension", "meta_v1_FieldsV1")):
        return json_leaves(json.loads(next(value for _, value in message.ListFields())))
    if name.endswith("IntOrString"):
        values = {field.json_name: value for field, value in message.ListFields()}
        return Counter([str(values["strVal" if values["type"] else "intVal"])])
    found: Counter[str] = Counter()
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            below = field.message_type.fields_by_name["value"].message_type is not None
            for key in value:
                found[key] += 1
                found += message_leaves(value[key]) if below else Counter([_leaf(value[key])])
        elif field.is_repeated:
            for item in value:
                found += message_leaves(item) if field.message_type else Counter([_leaf(item)])
        else:
            found += message_leaves(value) if field.message_type else Counter([_leaf(value)])
    return found


def _leaf(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _instant(seconds: int, nanos: int) -> str:
    return datetime.fromtimestamp(seconds + nanos / 1e9, UTC).isoformat()


def json_leaves(document: Any, within: bool = False) -> Counter[str]:
    """Every value in a document. Names of fields count nothing, but for those of free maps (``message_leaves`` has
    them too), which is why the caller compares through ``same``."""
    if isinstance(document, dict):
        return sum((json_leaves(value) for value in document.values()), Counter())
    if isinstance(document, list):
        return sum((json_leaves(value) for value in document), Counter())
    return Counter([_moment(document)])


def _moment(value: Any) -> str:
    if isinstance(value, str) and len(value) >= 20 and value[4:5] == "-" and value.endswith("Z"):
        return datetime.fromisoformat(value.replace("Z", "+00:00")).isoformat()
    return str(value)
