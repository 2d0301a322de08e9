"""APIServices: their rules, and those that the server keeps for itself."""

from typing import Any

import pytest

from tests.apiserver.aggregation.conftest import SERVICES, Aggregating, aggregating
from tests.apiserver.aggregation.custom import GROUP, cron_tab
from tests.apiserver.aggregation.server import api_service
from tests.apiserver.server import TABLE
from tiphys.apiserver import pki
from tiphys.apiserver.aggregation.catalog import Catalog
from tiphys.apiserver.aggregation.registration import MANAGED, plan, wanted
from tiphys.store.memory import MemoryStore

MERGE: dict[str, Any] = {"content_type": "application/merge-patch+json"}


async def test_built_in_versions_have_local_ones(aggregated: Aggregating) -> None:
    found = {one["metadata"]["name"]: one for one in (await aggregated.api.ok("GET", SERVICES))["items"]}
    assert "v1.apiregistration.k8s.io" not in found
    assert found["v1."]["spec"] == {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}
    apps = found["v1.apps"]
    assert apps["metadata"]["labels"] == {MANAGED: "onstart"}
    (condition,) = apps["status"]["conditions"]
    assert condition.pop("lastTransitionTime")
    assert condition == {
        "type": "Available",
        "status": "True",
        "reason": "Local",
        "message": "Local APIServices are always available",
    }


async def test_printed(aggregated: Aggregating) -> None:
    await aggregated.api.ok("POST", SERVICES, api_service())
    await aggregated.available("ServiceNotFound")
    table = await aggregated.api.ok("GET", SERVICES, accept=TABLE)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Service", "Available", "Age"]
    rows = {row["cells"][0]: row["cells"][1:3] for row in table["rows"]}
    assert rows["v1.apps"] == ["Local", "True"]
    assert rows["v1beta1.wardle.example.com"] == ["default/wardle", "False (ServiceNotFound)"]


async def test_custom_versions_come_and_go(aggregated: Aggregating) -> None:
    path = f"{SERVICES}/v1.{GROUP}"
    aggregated.catalog.publish("crontabs", [cron_tab()])
    made = await aggregated.until(path, lambda found: found)
    assert made["metadata"]["labels"] == {MANAGED: "true"}
    assert (made["spec"]["groupPriorityMinimum"], made["spec"]["versionPriority"]) == (1000, 100)
    # Who changes it loses, who deletes it too.
    await aggregated.api.ok("PATCH", path, {"spec": {"versionPriority": 5}}, **MERGE)
    await aggregated.until(path, lambda found: found["spec"]["versionPriority"] == 100)
    await aggregated.api.ok("DELETE", path)
    again = await aggregated.until(path, lambda found: found["metadata"]["uid"] != made["metadata"]["uid"])
    assert again
    aggregated.catalog.withdraw("crontabs")
    await aggregated.until(SERVICES, lambda found: not any(GROUP in one["metadata"]["name"] for one in found["items"]))


async def test_built_in_ones_are_made_again_at_the_next_start(files: pki.Pki) -> None:
    store = MemoryStore()
    async with aggregating(files, store) as running:
        revision = store.revision
    async with aggregating(files, store) as running:
        assert store.revision == revision
        await running.api.ok("PATCH", f"{SERVICES}/v1.batch", {"metadata": {"labels": {MANAGED: None}}}, **MERGE)
        await running.api.ok("PATCH", f"{SERVICES}/v1.batch", {"spec": {"versionPriority": 3}}, **MERGE)
        await running.api.ok("DELETE", f"{SERVICES}/v1.apps")
        assert (await running.api.raw("GET", f"{SERVICES}/v1.apps")).status == 404
    async with aggregating(files, store) as running:
        assert (await running.api.ok("GET", f"{SERVICES}/v1.apps"))["spec"]["versionPriority"] == 15
        assert (await running.api.ok("GET", f"{SERVICES}/v1.batch"))["spec"]["versionPriority"] == 3


def test_what_nobody_serves_any_more_is_removed() -> None:
    desired = wanted(Catalog())
    there = list(desired.values())
    del desired["v1.apps"]
    assert plan(desired, there, starting=True).delete == ["v1.apps"]
    assert plan(desired, there, starting=False).delete == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"groupPriorityMinimum": 0},
            "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
        ),
        ({"versionPriority": 1001}, "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000"),
        (
            {"service": None, "insecureSkipTLSVerify": True},
            "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
        ),
        ({"service": {"name": "a"}}, "spec.service.namespace: Required value"),
        (
            {"caBundle": "YQ=="},
            "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
        ),
        (
            {"group": "other.example.com"},
            'metadata.name: Invalid value: "v1beta1.wardle.example.com": '
            'must be `spec.version+"."+spec.group`: "v1beta1.other.example.com"',
        ),
        (
            {"service": {"name": "a", "namespace": "b", "port": 70000}},
            "spec.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive",
        ),
    ],
)
async def test_refused(aggregated: Aggregating, change: dict[str, Any], message: str) -> None:
    status, found = await aggregated.api.call("POST", SERVICES, api_service(**change))
    assert status == 422
    assert message in found["message"]
    assert (await aggregated.api.ok("POST", SERVICES, api_service()))["spec"]["service"]["port"] == 443
