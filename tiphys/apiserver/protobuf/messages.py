"""Which field of which message has which number: ``fields.json``, read on first use.

Written by ``tools/generate_protobuf.py``.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from tiphys.machinery import codec

MAGIC: Final = b"k8s\x00"
MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
STREAM_TYPE: Final = f"{MEDIA_TYPE};stream=watch"
#: Deeper nesting is refused; no type of the API comes near.
DEPTH_MAX: Final = 100
META: Final = "k8s.io.apimachinery.pkg.apis.meta.v1"
QUANTITY: Final = "k8s.io.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING: Final = "k8s.io.apimachinery.pkg.util.intstr.IntOrString"
RAW: Final = "k8s.io.apimachinery.pkg.runtime.RawExtension"
EXTRA_VALUES: Final = tuple(
    f"k8s.io.api.{group}.v1.ExtraValue" for group in ("authentication", "authorization", "certificates")
)
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
FIELDS_FILE: Final = Path(__file__).with_name("fields.json")


class ProtobufError(ValueError):
    """Not such a message."""


class Field(NamedTuple):
    """One field of a message. ``label`` is ``one``, ``many`` or ``map`` (then ``kind`` is that of its values)."""

    name: str
    kind: str
    label: str


@cache
def messages() -> Mapping[str, Mapping[int, Field]]:
    """By the message's full name, by number."""
    text = FIELDS_FILE.read_bytes()
    found = msgspec.json.decode(text, type=dict[str, dict[int, tuple[str, str, str]]])
    return {name: {number: Field(*parts) for number, parts in fields.items()} for name, fields in found.items()}


@cache
def message_of(api_version: str, kind: str) -> str:
    """The full name of a kind's message; raises ProtobufError if none is known."""
    group, _, version = api_version.rpartition("/")
    package = {"": "core", "internal.apiserver.k8s.io": "apiserverinternal"}.get(group, group.partition(".")[0])
    for name in (f"k8s.io.api.{package}.{version}.{kind}", f"{META}.{kind}"):
        if name in messages():
            return name
    raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}"')


def class_of(api_version: str, kind: str) -> type[Any] | None:
    """The Struct of a kind, which tells what is inlined."""
    group, _, version = api_version.rpartition("/")
    try:
        return codec.class_of(group, version, kind)
    except LookupError:
        return None
