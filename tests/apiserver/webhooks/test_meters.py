"""What ``/metrics`` says of webhooks."""

from tests.apiserver.server import config_map
from tests.apiserver.webhooks.server import MAPS, Admitting, Hooks, webhook

PREFIX = "apiserver_admission_webhook"


async def test_questions_refusals_and_failures_are_counted(api: Admitting, remote: Hooks) -> None:
    response = await api.raw("GET", "/metrics")
    assert PREFIX not in response.body.decode()
    remote.answers["no"] = lambda request: {"allowed": False, "status": {"message": "no", "code": 418}}
    remote.answers["bad"] = lambda request: {"uid": "another"}
    ignored = webhook(remote.config("bad"), "bad.example.com", failurePolicy="Ignore")
    await api.configure("validating", "v", webhook(remote.config("yes"), "yes.example.com"), ignored)
    assert (await api.call("POST", MAPS, config_map("web")))[0] == 201
    await api.configure("mutating", "m", webhook(remote.config("no"), "no.example.com"))
    assert (await api.call("POST", MAPS, config_map("other")))[0] == 418
    text = (await api.raw("GET", "/metrics")).body.decode()
    shown = 'name="{}",operation="CREATE",rejected="{}",type="{}"}} 1'
    assert f'{PREFIX}_request_total{{code="200",{shown.format("yes.example.com", "false", "validating")}' in text
    assert f'{PREFIX}_request_total{{code="0",{shown.format("bad.example.com", "true", "validating")}' in text
    assert f'{PREFIX}_request_total{{code="418",{shown.format("no.example.com", "true", "admit")}' in text
    assert f'{PREFIX}_fail_open_count{{name="bad.example.com",type="validating"}} 1' in text
    labels = 'error_type="no_error",name="no.example.com",operation="CREATE",rejection_code="418",type="admit"'
    assert f"{PREFIX}_rejection_count{{{labels}}} 1" in text
    assert f"{PREFIX}_admission_duration_seconds_count" in text


async def test_steps_and_watch_events_are_counted(api: Admitting) -> None:
    async with api.watching(MAPS) as lines:
        # The first may come as what is there already; the second is told.
        for number in (1, 2):
            await api.ok("POST", MAPS, config_map(f"web{number}"))
            await lines.wait(number)
    await api.call("DELETE", "/api/v1/namespaces/kube-system")
    text = (await api.raw("GET", "/metrics")).body.decode()
    step = "apiserver_admission_step_admission_duration_seconds_count"
    for kind, operation, rejected in (("admit", "CREATE", "false"), ("admit", "DELETE", "true")):
        assert f'{step}{{operation="{operation}",rejected="{rejected}",type="{kind}"}}' in text
    assert 'apiserver_watch_events_total{group="",resource="configmaps",version="v1"} ' in text
