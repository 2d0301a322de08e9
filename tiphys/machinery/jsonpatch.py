"""JSON patch. Source: RFC 6902, RFC 6901; messages as Kubernetes gives them."""

from typing import Any


def json_patch(doc: Any, ops: Any) -> Any:
    raise NotImplementedError
