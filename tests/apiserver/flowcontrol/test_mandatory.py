"""What every cluster has of flow control cannot be changed, but for the shares of the exempt level."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.apiserver.extensions.crontabs import eventually
from tests.apiserver.server import MERGE, Api
from tests.apiserver.webhooks.server import admitting

ROOT = "/apis/flowcontrol.apiserver.k8s.io/v1"
LEVELS = f"{ROOT}/prioritylevelconfigurations"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with admitting() as running:

        async def kept() -> bool:
            return (await running.raw("GET", f"{ROOT}/flowschemas/catch-all")).status == 200

        await eventually(kept)
        yield running


@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        (f"{ROOT}/flowschemas/exempt", {"matchingPrecedence": 5}, "spec of 'exempt' must equal the fixed value"),
        (f"{ROOT}/flowschemas/catch-all", {"rules": None}, "spec of 'catch-all' must equal the fixed value"),
        (
            f"{LEVELS}/catch-all",
            {"limited": {"nominalConcurrencyShares": 6}},
            "spec of 'catch-all' must equal the fixed value",
        ),
        (
            f"{LEVELS}/workload-low",
            {"type": "Exempt", "limited": None},
            "type must be 'Exempt' if and only if `name` is 'exempt'",
        ),
        (
            f"{LEVELS}/exempt",
            {"type": "Limited", "exempt": None, "limited": {"limitResponse": {"type": "Reject"}}},
            "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value",
        ),
    ],
)
async def test_changes_that_are_refused(api: Api, path: str, change: dict[str, Any], said: str) -> None:
    status, found = await api.call("PATCH", path, {"spec": change}, content_type=MERGE)
    assert (status, found["reason"]) == (422, "Invalid")
    assert said in found["message"]


async def test_changes_that_are_not(api: Api) -> None:
    change = {"spec": {"exempt": {"nominalConcurrencyShares": 7, "lendablePercent": 50}}}
    found = await api.ok("PATCH", f"{LEVELS}/exempt", change, content_type=MERGE)
    assert found["spec"]["exempt"] == change["spec"]["exempt"]
    labelled = {"metadata": {"labels": {"a": "b"}}}
    await api.ok("PATCH", f"{ROOT}/flowschemas/catch-all", labelled, content_type=MERGE)
