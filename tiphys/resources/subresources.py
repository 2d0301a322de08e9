"""The subresources that several resources share."""

from typing import Any

from tiphys.resources.rules import Strategy, Subresource

READ_WRITE = ("get", "patch", "update")
PROXY_VERBS = ("create", "delete", "get", "patch", "update")

SCALE = Subresource("scale", READ_WRITE, "autoscaling", "v1", "Scale")


def status(strategy: Strategy[Any]) -> Subresource:
    return Subresource("status", READ_WRITE, strategy=strategy)
