"""Cells that many resources print. Absent values print as ``<none>``, unset times as ``<unknown>``."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tiphys.api import core_v1, meta_v1
from tiphys.machinery import selectors, times
from tiphys.resources.rules import Column


def since(time: str | None, now: datetime) -> str:
    """How long ago, as kubectl's AGE."""
    if not time:
        return "<unknown>"
    return times.human_duration((now - times.parse(time)).total_seconds())


def name(obj: Any, now: datetime) -> str:
    result: str = obj.metadata.name
    return result


def age(obj: Any, now: datetime) -> str:
    return since(obj.metadata.creationTimestamp, now)


def label_selector(selector: meta_v1.LabelSelector | None) -> str:
    """As in the SELECTOR column of workloads."""
    if selector is None or not (selector.matchLabels or selector.matchExpressions):
        return "<none>"
    try:
        return str(selectors.from_label_selector(selector))
    except selectors.SelectorError:
        return "<error>"


def labels(pairs: Mapping[str, str] | None) -> str:
    """``a=1,b=2``, sorted."""
    if not pairs:
        return "<none>"
    return ",".join(f"{key}={pairs[key]}" for key in sorted(pairs))


def joined(words: Iterable[str] | None) -> str:
    return ",".join(words or ())


def container_names(obj: Any, now: datetime) -> str:
    return joined(container.name for container in _template_containers(obj))


def container_images(obj: Any, now: datetime) -> str:
    return joined(container.image or "" for container in _template_containers(obj))


def _template_containers(obj: Any) -> list[core_v1.Container]:
    template = obj.spec.template
    if template is None:
        return []
    containers: list[core_v1.Container] = template.spec.containers
    return containers


NAME = Column(
    "Name",
    name,
    format="name",
    description="Unique within its namespace; cannot be changed.",
)
AGE = Column("Age", age, description="Time since the object was created.")
CONTAINERS = Column("Containers", container_names, priority=1, description="Names of the template's containers.")
IMAGES = Column("Images", container_images, priority=1, description="Images of the template's containers.")
CREATED_AT = Column(
    "Created At",
    lambda obj, now: obj.metadata.creationTimestamp or "",
    format="date",
    description="When the object was created.",
)
DEFAULT_COLUMNS = (NAME, AGE)
