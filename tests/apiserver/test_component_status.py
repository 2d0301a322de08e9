"""``componentstatuses``: computed from the Leases of components, in every form."""

from datetime import UTC, datetime, timedelta

from tests.apiserver.server import TABLE, Api, serving
from tiphys.apiserver import componentstatus
from tiphys.apiserver.seams import Seams
from tiphys.machinery import times

PATH = "/api/v1/componentstatuses"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


def lease(name: str, renewed: datetime) -> dict[str, object]:
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": times.format_micro(renewed)}
    return {"metadata": {"name": name}, "spec": spec}


async def states(api: Api) -> dict[str, str]:
    found = await api.ok("GET", PATH)
    assert (found["kind"], found["apiVersion"]) == ("ComponentStatusList", "v1")
    return {each["metadata"]["name"]: each["conditions"][0]["status"] for each in found["items"]}


async def test_components_are_as_well_as_their_leases() -> None:
    async with serving(Seams(resource_routes=[componentstatus.route()])) as api:
        assert await states(api) == {"controller-manager": "Unknown", "scheduler": "Unknown", "etcd-0": "True"}
        now = datetime.now(UTC)
        await api.ok("POST", LEASES, lease("kube-scheduler", now))
        await api.ok("POST", LEASES, lease("kube-controller-manager", now - timedelta(minutes=1)))
        assert await states(api) == {"controller-manager": "False", "scheduler": "True", "etcd-0": "True"}
        table = await api.ok("GET", PATH, accept=TABLE)
        rows = {row["cells"][0]: row["cells"][1:] for row in table["rows"]}
        assert rows["etcd-0"] == ["Healthy", "ok", ""]
        assert rows["controller-manager"][0] == "Unhealthy"
        assert rows["controller-manager"][2].endswith("connection refused")
        assert (await api.ok("GET", f"{PATH}/scheduler"))["metadata"]["name"] == "scheduler"
        assert (await api.call("GET", f"{PATH}/house"))[0] == 404
        assert (await api.call("POST", PATH, {}))[0] == 405
        warned = await api.raw("GET", PATH)
        assert warned.headers["Warning"] == '299 - "v1 ComponentStatus is deprecated in v1.19+"'
