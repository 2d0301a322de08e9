"""A container's life: start, exit codes, logs, signals, failures, and what stays behind: nothing."""

import pytest

from tests.runtime.conftest import Node

pytestmark = pytest.mark.root


async def test_it_runs_and_says_how_it_ended(node: Node) -> None:
    sandbox = await node.sandbox()
    container = await node.started(sandbox, "echo out; echo err >&2; exit 3")
    found = await node.ended(container)
    assert (found.exit_code, found.reason) == (3, "Error")
    assert 0 < found.created_at <= found.started_at <= found.finished_at
    assert sorted(node.output().splitlines()) == ["err", "out"]
