"""The webhooks that are configured, in the order in which they are asked; a change counts at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tiphys.apiserver.seams import Objects
from tiphys.machinery import selectors
from tiphys.machinery.selectors import Selector

GROUP: Final = "admissionregistration.k8s.io"


@dataclass(slots=True)
class Hook:
    """One webhook of one configuration. ``conditions`` keeps its compiled match conditions."""

    configuration: str
    webhook: Any
    #: Tells webhooks of the same name in a configuration apart.
    uid: str
    namespaces: Selector
    objects: Selector
    conditions: Any = field(default=None)

    @property
    def name(self) -> str:
        return str(self.webhook.name)


class Source:
    """The hooks of one kind of configuration, made anew when one has changed."""

    def __init__(self, objects: Objects, plural: str) -> None:
        self._objects = objects
        self._plural = plural
        self._hooks: Sequence[Hook] | None = None
        objects.subscribe(GROUP, plural, self._changed)

    def _changed(self, new: Any, old: Any) -> None:
        self._hooks = None

    @property
    def hooks(self) -> Sequence[Hook]:
        """By name of the configuration, then as they stand in it."""
        hooks = self._hooks
        if hooks is None:
            configurations = sorted(self._objects.all(GROUP, self._plural), key=lambda one: one.metadata.name)
            hooks = self._hooks = [hook for one in configurations for hook in _of(one)]
        return hooks


def _of(configuration: Any) -> list[Hook]:
    name = configuration.metadata.name
    found: list[Hook] = []
    counts: dict[str, int] = {}
    for webhook in configuration.webhooks or ():
        number = counts.get(webhook.name, 0)
        counts[webhook.name] = number + 1
        found.append(
            Hook(
                name,
                webhook,
                f"{name}/{webhook.name}/{number}",
                selectors.from_label_selector(webhook.namespaceSelector),
                selectors.from_label_selector(webhook.objectSelector),
            )
        )
    return found
