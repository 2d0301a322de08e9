"""What webhooks leave in the audit log."""

import json
from typing import Any

from tests.apiserver.audit.test_audit import Kept
from tests.apiserver.server import config_map
from tests.apiserver.webhooks.server import MAPS, Admitting, Hooks, patch, webhook
from tiphys.apiserver import ApiServer, ApiServerConfig, security
from tiphys.apiserver.audit.auditor import Audit
from tiphys.apiserver.audit.policy import Policy
from tiphys.apiserver.config import SecurityConfig
from tiphys.apiserver.seams import Seams
from tiphys.base.clock import RealClock
from tiphys.store.memory import MemoryStore


def audited(kept: Kept) -> Any:
    """Seams with all security, and an audit log of what is written to ConfigMaps."""
    rules = [{"level": "Metadata", "resources": [{"resources": ["configmaps"]}]}, {"level": "None"}]
    document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules, "omitStages": ["RequestReceived"]}
    policy = Policy.parse(json.dumps(document).encode())

    def make(*arguments: Any) -> Seams:
        made = security.seams(SecurityConfig())(*arguments)
        made.auditor = Audit(policy, [kept], RealClock())
        return made

    return make


async def test_annotations_say_what_webhooks_did(remote: Hooks) -> None:
    kept = Kept()
    store = MemoryStore()
    remote.answers["m"] = lambda request: patch({"op": "add", "path": "/data", "value": {"a": "b"}})
    remote.answers["v"] = lambda request: {"auditAnnotations": {"why": "because"}}
    async with ApiServer(ApiServerConfig(port=0), store, seams=audited(kept)) as server:
        api = Admitting(server, store)
        unreachable = {"url": "https://127.0.0.1:1/x", "caBundle": remote.bundle}
        mutating = [
            webhook(remote.config("m"), "m.example.com"),
            webhook(unreachable, "n.example.com", failurePolicy="Ignore"),
        ]
        await api.configure("mutating", "one", *mutating)
        await api.configure("validating", "two", webhook(remote.config("v"), "v.example.com"))
        await api.ok("POST", MAPS, config_map("web"))
    (event,) = kept.events
    found = event["annotations"]
    prefix = "mutation.webhook.admission.k8s.io/round_0_index_"
    assert json.loads(found[f"{prefix}0"]) == {
        "configuration": "one",
        "webhook": "m.example.com",
        "mutated": True,
    }
    assert json.loads(found[f"{prefix}1"])["mutated"] is False
    assert found[f"failed-open.{prefix}1"] == "n.example.com"
    assert found["v.example.com/why"] == "because"
