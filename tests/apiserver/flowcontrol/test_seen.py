"""What can be seen of a server: health checks, metrics, pages, logs; and the objects and dumps of flow control."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.apiserver.server import MERGE, Api, config_map, serving
from tiphys.apiserver import security
from tiphys.apiserver.audit.config import AuditConfig
from tiphys.apiserver.config import SecurityConfig
from tiphys.apiserver.flowcontrol import FlowControl, dump
from tiphys.apiserver.zpages import logs, pages

MAPS = "/api/v1/namespaces/default/configmaps"
#: As 1.36 writes them after ``[+]``.
READY = [
    *("ping", "log", "etcd", "informer-sync", "poststarthook/start-apiserver-admission-initializer"),
    *("poststarthook/rbac/bootstrap-roles", "poststarthook/scheduling/bootstrap-system-priority-classes"),
    *("poststarthook/priority-and-fairness-config-producer", "poststarthook/bootstrap-controller"),
    *("autoregister-completion", "poststarthook/apiservice-openapiv3-controller", "shutdown"),
]


async def text(api: Api, path: str, **query: str) -> str:
    response = await api.raw("GET", path, query=dict(query))
    assert response.status == 200, response.body
    return response.body.decode()


@asynccontextmanager
async def administered(**config: Any) -> AsyncIterator[Api]:
    """A server with everything around it, whose callers may do everything."""
    modes = SecurityConfig(authorization_modes=("AlwaysAllow",))
    async with serving(security.seams(modes), port=0, **config) as api:
        yield api


async def test_readiness_lists_the_checks_of_kube_apiserver() -> None:
    async with administered() as api:
        lines = (await text(api, "/readyz", verbose="", exclude="etcd")).splitlines()
        names = [line.removeprefix("[+]").split()[0] for line in lines[:-1]]
        assert [name for name in names if name in READY] == READY
        assert "[+]etcd excluded: ok" in lines and lines[-1] == "readyz check passed"
        assert await text(api, "/readyz/poststarthook/rbac/bootstrap-roles") == "ok"
        live = (await text(api, "/livez", verbose="")).splitlines()
        assert "[+]shutdown ok" not in live and "[+]informer-sync ok" not in live
        slis = await text(api, "/metrics/slis")
        assert 'kubernetes_healthcheck{name="etcd",type="readyz"} 1' in slis
        api.server._lifecycle.leaving = True
        failed = await api.raw("GET", "/readyz")
        assert failed.status == 500 and b"[-]shutdown failed: reason withheld" in failed.body
        assert (await api.raw("GET", "/readyz/shutdown")).body.startswith(b"internal server error: process is shutting")
        assert await text(api, "/livez") == "ok"


async def test_metrics_are_well_formed_and_have_the_names_that_dashboards_look_for(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n")
    audit = AuditConfig(policy_file=str(policy), log_path=str(tmp_path / "audit.log"))
    async with administered(audit=audit, feature_gates={"AllBeta": True}) as api:
        await api.ok("POST", MAPS, config_map("a"))
        async with api.watching(MAPS) as watch:
            await watch.wait(1)
            found = await text(api, "/metrics")
            labels = r'(?=.*verb="WATCH")(?=.*resource="configmaps").*'
            assert re.search(f"^apiserver_longrunning_requests{{{labels}}} 1$", found, re.M)
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", found, re.M))
    for name, kind in {
        "apiserver_request_total": "counter",
        "apiserver_request_duration_seconds": "histogram",
        "apiserver_request_sli_duration_seconds": "histogram",
        "apiserver_response_sizes": "histogram",
        "apiserver_current_inflight_requests": "gauge",
        "apiserver_longrunning_requests": "gauge",
        "apiserver_storage_objects": "gauge",
        "apiserver_resource_objects": "gauge",
        "apiserver_flowcontrol_dispatched_requests_total": "counter",
        "apiserver_flowcontrol_nominal_limit_seats": "gauge",
        "apiserver_flowcontrol_request_execution_seconds": "histogram",
        "apiserver_audit_event_total": "counter",
        "apiserver_audit_level_total": "counter",
        "authentication_attempts": "counter",
        "process_cpu_seconds_total": "counter",
        "kubernetes_build_info": "gauge",
        "kubernetes_feature_enabled": "gauge",
    }.items():
        assert types.get(name) == kind, name
    assert 'apiserver_flowcontrol_dispatched_requests_total{flow_schema="global-default"' in found
    sample = re.compile(r'^[a-z_]+({([a-zA-Z_]+="[^"]*",?)*})? -?[0-9.e+-]+(inf|nan)?$')
    bad = [line for line in found.splitlines() if not line.startswith("#") and not sample.match(line)]
    assert not bad
    assert len(types) == len(re.findall("^# TYPE", found, re.M)), "each name stands once"


async def test_statusz_and_flagz() -> None:
    async with administered(request_timeout_seconds=90.0) as api:
        status = await text(api, "/statusz")
        assert status.startswith("\nkube-apiserver statusz\nWarning: ") and "\nUp: 0 hr 00 min 0" in status
        flags = await text(api, "/flagz")
        assert "\nrequest-timeout=1m30s\n" in flags and "\nenable-priority-and-fairness=true\n" in flags
        asked = "application/json;v=v1beta1;g=config.k8s.io;as=Flagz"
        found = await api.ok("GET", "/flagz", accept=asked)
        assert (found["kind"], found["apiVersion"]) == ("Flagz", "config.k8s.io/v1beta1")
        assert found["flags"]["request-timeout"] == "1m30s"
        found = await api.ok("GET", "/statusz", accept=asked.replace("Flagz", "Statusz"))
        assert found["metadata"] == {"name": "kube-apiserver"} and "/readyz" in found["paths"]
        assert (await api.raw("GET", "/flagz", accept="application/json")).status == 406


def test_what_form_is_wanted() -> None:
    assert pages.wanted("*/*", "Flagz") == "text"
    assert pages.wanted("application/json;v=v1;g=config.k8s.io;as=Flagz, text/plain;q=0.5", "Flagz") == "text"
    assert pages.wanted("application/json;v=v1alpha1;g=config.k8s.io;as=Statusz", "Flagz") == ""


async def test_pprof_has_the_paths_of_go_and_can_be_switched_off() -> None:
    async with administered() as api:
        index = await text(api, "/debug/pprof/")
        for name in ("goroutine", "heap", "profile", "threadcreate", "cmdline"):
            assert f"'{name}'" in index
        assert "tasks" in await text(api, "/debug/pprof/goroutine")
        assert (await api.raw("GET", "/debug/pprof/profile", query={"seconds": "999"})).status == 400
        assert "function calls" in await text(api, "/debug/pprof/profile", seconds="1")
    async with administered(profiling=False, logs_directory="") as api:
        assert (await api.raw("GET", "/debug/pprof/")).status == 404
        assert (await api.raw("GET", "/logs/")).status == 404


def test_logs_show_nothing_outside_of_their_directory(tmp_path: Path) -> None:
    root = tmp_path / "log"
    (root / "pods").mkdir(parents=True)
    (root / "a&b.log").write_text("x")
    (tmp_path / "secret").write_text("s")
    (root / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(root / "pipe")
    listing = logs.find(root, "")
    assert isinstance(listing, bytes) and b'<a href="pods/">' in listing and b"a&amp;b.log" in listing
    assert logs.find(root, "a&b.log") == (root / "a&b.log").resolve()
    for outside in ("../secret", "link", "pipe", "nothing", "pods/../../secret", "\x00", "/etc/passwd" * 2):
        assert logs.find(root, outside) is None, outside


async def test_logs_are_served(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("line\n")
    async with administered(logs_directory=str(tmp_path)) as api:
        assert "x.log" in await text(api, "/logs/")
        response = await api.raw("GET", "/logs/x.log")
        assert response.stream is not None
        taken: list[bytes] = []

        class Taker:
            def write(self, data: bytes) -> None:
                taken.append(data)

            async def drain(self) -> None:
                return None

        await response.stream(Taker())  # type: ignore[arg-type]
        assert taken == [b"line\n"]
        assert (await api.raw("GET", "/logs/../x.log")).status == 404


async def test_dumps_show_levels_queues_and_requests() -> None:
    async with administered() as api:
        base = "/debug/api_priority_and_fairness"
        levels = (await text(api, f"{base}/dump_priority_levels")).splitlines()
        assert levels[0].split() == [*(f"{name}," for name in dump.LEVEL_COLUMNS[:-1]), "CancelledRequests"]
        names = ["catch-all", "exempt", "global-default", "leader-election", "node-high", "system"]
        assert [line.split(",")[0] for line in levels[1:]] == [*names, "workload-high", "workload-low"]
        queues = (await text(api, f"{base}/dump_queues")).splitlines()
        assert len(queues) == 1 + 64 + 64 + 16 + 3 * 128
        assert (await text(api, f"{base}/dump_requests", includeRequestDetails="1")).count("\n") == 1


async def test_flow_control_knows_how_many_watch() -> None:
    async with administered() as api, api.watching(MAPS) as one, api.watching(MAPS) as other:
        await api.ok("POST", MAPS, config_map("a"))
        await one.wait(1)
        await other.wait(1)
        gate = api.server._handler._gate
        assert isinstance(gate, FlowControl)
        assert (gate.watchers("", "configmaps"), gate.watchers("", "pods")) == (2, 0)


async def test_the_plain_bounds_hold_where_fairness_is_switched_off() -> None:
    async with administered(priority_and_fairness=False, mutating_in_flight_max=1) as api:
        await api.ok("POST", MAPS, config_map("a"))
        answer = await api.raw("GET", MAPS)
        assert "X-Kubernetes-PF-FlowSchema-UID" not in answer.headers
        gate = api.server._handler._gate
        gate.running[False] = 1  # type: ignore[attr-defined]
        refused = await api.raw("PATCH", f"{MAPS}/a", {}, content_type=MERGE)
        assert (refused.status, refused.body) == (429, b"Too many requests, please try again later.\n")
        assert (await api.raw("GET", MAPS)).status == 200
