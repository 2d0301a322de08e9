"""ServiceAccount."""

from tiphys.api import core_v1
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource, Strategy, Subresource


class ServiceAccountStrategy(Strategy[core_v1.ServiceAccount]):
    """The main endpoint; nothing but the metadata is checked, as in Kubernetes."""

    def prepare_for_create(self, obj: core_v1.ServiceAccount) -> None:
        _clean(obj)

    def prepare_for_update(self, obj: core_v1.ServiceAccount, old: core_v1.ServiceAccount) -> None:
        _clean(obj)


def _clean(account: core_v1.ServiceAccount) -> None:
    """Of a reference to a Secret only the name counts."""
    for reference in account.secrets or ():
        for field in ("apiVersion", "kind", "namespace", "fieldPath", "resourceVersion", "uid"):
            setattr(reference, field, None)


ROW = Resource(
    group="",
    version="v1",
    kind="ServiceAccount",
    plural="serviceaccounts",
    cls=core_v1.ServiceAccount,
    strategy=ServiceAccountStrategy(),
    short_names=("sa",),
    subresources=(Subresource("token", ("create",), "authentication.k8s.io", "v1", "TokenRequest"),),
    columns=(
        NAME,
        Column(
            "Secrets",
            lambda account, now: len(account.secrets or ()),
            type="integer",
            description="How many Secrets it lists.",
        ),
        AGE,
    ),
)
