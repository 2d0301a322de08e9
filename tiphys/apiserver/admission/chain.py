"""``seams.Admission``: all plugins in their order.

```
admit:     plugins in order ─► mutating policies ─► mutating webhooks ─┬─► the last plugins
               ▲                                                       │
               └────────── once more, if one of them changed it ───────┘
validate:  registry's own ─► plugins in order ─► validating policies ─► validating webhooks ─► the last plugins
```
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

from tiphys.apiserver.admission import table
from tiphys.apiserver.admission.certificates import CertificateRequester
from tiphys.apiserver.admission.escalation import Escalation
from tiphys.apiserver.admission.meters import Meters
from tiphys.apiserver.admission.plugin import Mutator, Plugin, Reinvocation, Tools, Validator
from tiphys.apiserver.seams import Attributes

Step = Callable[[Attributes, Any, Any], Awaitable[None] | None]
Stage = Callable[[Attributes, Any, Any], Awaitable[None]]

#: Nobody configured from inside the cluster may get in the way of taking the configuration back.
EXEMPT: Final = frozenset(
    {
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
    }
)


class Steps(NamedTuple):
    """What is to be called for one kind of request."""

    admit: Sequence[Step]
    admit_last: Sequence[Step]
    validate: Sequence[Step]
    validate_last: Sequence[Step]
    #: Whether mutators and validators are asked.
    dynamic: bool


class Chain:
    """Calls the plugins that handle a request; which ones do is found out once per kind of request.

    ``mutators`` and ``validators`` are asked in the order given, and only while they are active. ``closing`` is called
    by ``close``.
    """

    def __init__(
        self,
        tools: Tools,
        names: Sequence[str] | None = None,
        mutators: Sequence[Mutator] = (),
        validators: Sequence[Validator] = (),
        closing: Sequence[Callable[[], Awaitable[None]]] = (),
        meters: Meters | None = None,
    ) -> None:
        self.meters = meters or Meters()
        self._clock = tools.clock
        names = table.chosen() if names is None else names
        # Not Kubernetes' plugins but its registries' own: they are not switched off, and come first.
        own: list[Plugin] = [CertificateRequester.made(tools), Escalation.made(tools)]
        self._plugins = [*own, *table.made([name for name in names if name not in table.LAST], tools)]
        self._last = table.made([name for name in names if name in table.LAST], tools)
        self._mutators = mutators
        self._validators = validators
        self._closing = closing
        self._steps: dict[tuple[str, str, str, str], Steps] = {}

    async def close(self) -> None:
        """Give back connections."""
        for close in (*self._closing, *(plugin.close for plugin in (*self._plugins, *self._last))):
            await close()

    async def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        await self._timed("admit", self._admit, attributes, obj, old)

    async def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        await self._timed("validate", self._validate, attributes, obj, old)

    async def _timed(self, kind: str, call: Stage, attributes: Attributes, obj: Any, old: Any) -> None:
        clock = self._clock
        start = clock.monotonic()
        rejected = True
        try:
            await call(attributes, obj, old)
            rejected = False
        finally:
            self.meters.step(kind, attributes.operation, rejected, clock.monotonic() - start)

    async def _admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        steps = self._steps_of(attributes)
        for step in steps.admit:
            waiting = step(attributes, obj, old)
            if waiting is not None:
                await waiting
        if steps.dynamic:
            for mutator in self._mutators:
                if mutator.active:
                    await self._mutate(steps.admit, attributes, obj, old)
                    break
        for step in steps.admit_last:
            waiting = step(attributes, obj, old)
            if waiting is not None:
                await waiting

    async def _mutate(self, admit: Sequence[Step], attributes: Attributes, obj: Any, old: Any) -> None:
        """Ask all mutators; if one has changed something, all plugins and then those that want it once more."""
        reinvocation = Reinvocation()
        for mutator in self._mutators:
            if mutator.active:
                await mutator.mutate(attributes, obj, old, reinvocation)
        if not reinvocation.needed:
            return
        reinvocation.again = True
        for step in admit:
            waiting = step(attributes, obj, old)
            if waiting is not None:
                await waiting
        for mutator in self._mutators:
            if mutator.active:
                await mutator.mutate(attributes, obj, old, reinvocation)

    async def _validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        steps = self._steps_of(attributes)
        for step in steps.validate:
            waiting = step(attributes, obj, old)
            if waiting is not None:
                await waiting
        if steps.dynamic:
            for validator in self._validators:
                if validator.active:
                    await validator.check(attributes, obj, old)
        for step in steps.validate_last:
            waiting = step(attributes, obj, old)
            if waiting is not None:
                await waiting

    def _steps_of(self, attributes: Attributes) -> Steps:
        key = (attributes.group, attributes.resource, attributes.subresource, attributes.operation)
        return self._steps.get(key) or self._found_out(key, attributes)

    def _found_out(self, key: tuple[str, str, str, str], attributes: Attributes) -> Steps:
        first = [plugin for plugin in self._plugins if plugin.handles(attributes)]
        last = [plugin for plugin in self._last if plugin.handles(attributes)]
        exempt = attributes.group == "admissionregistration.k8s.io" and attributes.resource in EXEMPT
        steps = self._steps[key] = Steps(_admits(first), _admits(last), _checks(first), _checks(last), not exempt)
        return steps


def _admits(plugins: Sequence[Plugin]) -> list[Step]:
    """The mutating steps of those that have one."""
    return [plugin.admit for plugin in plugins if type(plugin).admit is not Plugin.admit]


def _checks(plugins: Sequence[Plugin]) -> list[Step]:
    return [plugin.validate for plugin in plugins if type(plugin).validate is not Plugin.validate]
