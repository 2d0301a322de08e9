"""Both stages, as the chain is given them. Without a policy and a binding nothing more than this is loaded."""

from typing import Any

from tiphys.apiserver.admission.plugin import Reinvocation
from tiphys.apiserver.policies.source import Source
from tiphys.apiserver.policies.status import Reporter
from tiphys.apiserver.seams import Attributes
from tiphys.apiserver.webhooks.calling import Calling
from tiphys.machinery.fields import FieldError
from tiphys.resources.admissionregistration import expressions


def _validating_spec(spec: Any) -> Any:
    # The expression language is only loaded where there are expressions.
    from tiphys.apiserver.policies import compiled  # noqa: PLC0415

    return compiled.validating(spec)


def _mutating_spec(spec: Any) -> Any:
    from tiphys.apiserver.policies import compiled  # noqa: PLC0415  # as above

    return compiled.mutating(spec)


class Validating:
    """See ``admission.plugin.Validator``."""

    def __init__(self, calling: Calling) -> None:
        self._calling = calling
        self._source = Source(
            calling.tools.objects,
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            _validating_spec,
        )

    @property
    def active(self) -> bool:
        return bool(self._source.policies)

    async def check(self, attributes: Attributes, obj: Any, old: Any) -> None:
        from tiphys.apiserver.policies.validation import Check  # noqa: PLC0415  # as above

        await Check(self._calling, attributes, obj, old).run(self._source.policies)


class Mutating:
    """See ``admission.plugin.Mutator``."""

    def __init__(self, calling: Calling) -> None:
        self._calling = calling
        self._source = Source(
            calling.tools.objects, "mutatingadmissionpolicies", "mutatingadmissionpolicybindings", _mutating_spec
        )

    @property
    def active(self) -> bool:
        return bool(self._source.policies)

    async def mutate(self, attributes: Attributes, obj: Any, old: Any, reinvocation: Reinvocation) -> None:
        from tiphys.apiserver.policies.mutation import Mutation  # noqa: PLC0415  # as above

        await Mutation(self._calling, attributes, obj, old, reinvocation).run(self._source.policies)


class _Checking:
    """Checks expressions of objects that are written; see ``expressions.Compiler``."""

    def condition(self, expression: str, *, params: bool) -> str:
        from tiphys.apiserver.policies import checking  # noqa: PLC0415  # as above

        return checking.condition(expression, params=params)

    def policy(self, policy: Any) -> list[FieldError]:
        from tiphys.apiserver.policies import checking  # noqa: PLC0415  # as above

        return checking.policy(policy)


expressions.use(_Checking())


def mutating(calling: Calling) -> Mutating:
    return Mutating(calling)


def validating(calling: Calling) -> Validating:
    return Validating(calling)


def reporter(calling: Calling) -> Reporter:
    """What writes the status of policies; to be closed with the server."""
    return Reporter(calling.tools)
