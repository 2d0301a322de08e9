"""Versions that ``--runtime-config`` switches on and off, and that all of them are views of one object."""

from typing import Any

from tests.apiserver.server import serving

GROUP = "/apis/networking.k8s.io"
ADDRESS = {"metadata": {"name": "10.0.0.9"}, "spec": {"parentRef": {"resource": "things", "name": "x"}}}


async def test_a_version_is_served_when_it_is_asked_for() -> None:
    async with serving() as api:
        assert (await api.raw("GET", f"{GROUP}/v1beta1/ipaddresses")).status == 404
    async with serving(runtime_config={"networking.k8s.io/v1beta1": True}) as api:
        made = await api.ok("POST", f"{GROUP}/v1beta1/ipaddresses", ADDRESS)
        assert made["apiVersion"] == "networking.k8s.io/v1beta1"
        found = await api.ok("GET", f"{GROUP}/v1/ipaddresses/10.0.0.9")
        assert found == made | {"apiVersion": "networking.k8s.io/v1"}
        listed = await api.ok("GET", f"{GROUP}/v1beta1/ipaddresses")
        assert (listed["apiVersion"], len(listed["items"])) == ("networking.k8s.io/v1beta1", 1)


async def test_what_is_stored_stays_when_its_version_is_switched_off() -> None:
    on: dict[str, Any] = {"coordination.k8s.io/v1alpha2": True}
    candidate = {
        "metadata": {"name": "a"},
        "spec": {
            "leaseName": "l",
            "binaryVersion": "1.36.0",
            "emulationVersion": "1.36.0",
            "strategy": "OldestEmulationVersion",
        },
    }
    path = "/apis/coordination.k8s.io/v1alpha2/namespaces/d/leasecandidates"
    async with serving(runtime_config=on) as api:
        await api.ok("POST", path, candidate)
    async with serving(store=api.store.fork()) as off:
        assert (await off.raw("GET", path)).status == 404
    async with serving(store=api.store.fork(), runtime_config=on) as again:
        assert [each["metadata"]["name"] for each in (await again.ok("GET", path))["items"]] == ["a"]


async def test_a_version_that_is_on_by_default_can_be_switched_off() -> None:
    async with serving(runtime_config={"batch/v1": False}) as api:
        assert (await api.raw("GET", "/apis/batch/v1/jobs")).status == 404
        await api.ok("GET", "/api/v1/pods")
