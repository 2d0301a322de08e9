"""Policies and bindings as tests write them."""

from typing import Any

from tests.apiserver.webhooks.server import GROUP, MAPS, Admitting
from tiphys.apiserver.seams import Admission

__all__ = ["GROUP", "MAPS", "Policies", "rule"]


def rule(*resources: str, group: str = "", version: str = "v1", operations: tuple[str, ...] = ("*",)) -> dict[str, Any]:
    return {
        "apiGroups": [group],
        "apiVersions": [version],
        "operations": list(operations),
        "resources": list(resources),
    }


class Policies(Admitting):
    """A server, and a word for each object."""

    @property
    def admission(self) -> Admission:
        """The server's own chain."""
        return self.server._serving._services.admission

    async def validating(
        self, name: str, *validations: str | dict[str, Any], bind: bool = True, **spec: Any
    ) -> dict[str, Any]:
        """A policy on ConfigMaps (unless ``spec`` says otherwise) and a binding that denies."""
        listed = [{"expression": one} if isinstance(one, str) else one for one in validations]
        constraints = {"resourceRules": [rule("configmaps", operations=("CREATE", "UPDATE"))]}
        body = {"metadata": {"name": name}, "spec": {"matchConstraints": constraints, "validations": listed, **spec}}
        made: dict[str, Any] = await self.ok("POST", f"{GROUP}/validatingadmissionpolicies", body)
        if bind:
            await self.bind(name)
        return made

    async def bind(self, policy: str, *actions: str, name: str = "", **spec: Any) -> Any:
        body = {
            "metadata": {"name": name or f"{policy}-binding"},
            "spec": {"policyName": policy, "validationActions": list(actions or ("Deny",)), **spec},
        }
        return await self.ok("POST", f"{GROUP}/validatingadmissionpolicybindings", body)

    async def mutating(self, name: str, *mutations: dict[str, Any], bind: bool = True, **spec: Any) -> Any:
        """A policy on ConfigMaps that are created or updated, and a binding."""
        constraints = {"resourceRules": [rule("configmaps", operations=("CREATE", "UPDATE"))]}
        body = {
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": constraints,
                "mutations": list(mutations),
                "reinvocationPolicy": "Never",
                **spec,
            },
        }
        made = await self.ok("POST", f"{GROUP}/mutatingadmissionpolicies", body)
        if bind:
            binding = {"metadata": {"name": f"{name}-binding"}, "spec": {"policyName": name}}
            await self.ok("POST", f"{GROUP}/mutatingadmissionpolicybindings", binding)
        return made


def json_patch(expression: str) -> dict[str, Any]:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


def apply(expression: str) -> dict[str, Any]:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
