"""Kubernetes' protobuf in both directions: what typed Go clients send and ask for.

``messages`` is the table of field numbers, ``reading`` goes from bytes to JSON,
``writing`` from JSON documents to bytes. A body is the four bytes ``k8s\\0`` and
a ``runtime.Unknown``: apiVersion, kind and the object's own message.
Source: Kubernetes docs, "Kubernetes API Concepts", "Protobuf encoding".
"""

from tiphys.apiserver.protobuf.messages import MAGIC, MEDIA_TYPE, STREAM_TYPE, ProtobufError
from tiphys.apiserver.protobuf.reading import to_json
from tiphys.apiserver.protobuf.writing import Writer, document_of, writes

__all__ = ["MAGIC", "MEDIA_TYPE", "STREAM_TYPE", "ProtobufError", "Writer", "document_of", "to_json", "writes"]
