"""The Pod worker's decisions: events in, instructions out, no I/O and no time of its own."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.kubelet.conftest import container, pod
from tiphys.api import core_v1
from tiphys.api.scalars import Time
from tiphys.kubelet import protocol as w
from tiphys.kubelet.facts import ContainerFact, ContainerStateName, PodFact, SandboxFact
from tiphys.kubelet.restart import find_container, spec_hash
from tiphys.kubelet.worker import PodWorker
from tiphys.machinery import codec

START = datetime(2026, 1, 1, tzinfo=UTC)


class Driver:
    """A worker, the runtime it believes in, and a clock that moves when told."""

    def __init__(self, **spec: Any) -> None:
        self.pod = pod(**spec)
        self.pod.metadata.uid = "u1"
        self.now = START
        self.worker = PodWorker(self.pod, host_ips=("192.0.2.1",))
        self.sandboxes: dict[str, SandboxFact] = {}
        self.containers: dict[str, ContainerFact] = {}

    def post(self, event: w.Event) -> list[w.Instruction]:
        return self.worker.handle(event, self.now)

    def later(self, seconds: float) -> list[w.Instruction]:
        self.now += timedelta(seconds=seconds)
        return self.post(w.Tick())

    def observe(self) -> list[w.Instruction]:
        facts = PodFact("u1", "default", "web", tuple(self.sandboxes.values()), tuple(self.containers.values()))
        return self.post(w.Observed(facts))

    def sandbox(self, name: str = "s1", ready: bool = True, attempt: int = 0) -> list[w.Instruction]:
        self.sandboxes[name] = SandboxFact(name, ready, attempt, 1, ("10.0.0.1",))
        return self.observe()

    def set(
        self,
        name: str,
        state: ContainerStateName,
        code: int = 0,
        attempt: int = 0,
        sandbox: str = "s1",
        container_hash: str | None = None,
    ) -> list[w.Instruction]:
        nanoseconds = int(self.now.timestamp() * 1e9)
        known = self.containers.get(f"{name}-{attempt}")
        spec = find_container(self.pod, name)
        assert spec is not None
        self.containers[f"{name}-{attempt}"] = ContainerFact(
            f"{name}-{attempt}",
            name,
            sandbox,
            state,
            attempt,
            known.created_at if known else nanoseconds,
            known.started_at if known else nanoseconds,
            nanoseconds if state == "exited" else 0,
            code,
            hash=container_hash or spec_hash(spec),
        )
        return self.observe()

    def run(self, name: str, attempt: int = 0) -> list[w.Instruction]:
        self.set(name, "running", attempt=attempt)
        return self.post(w.StartDone(name))

    def begin(self) -> list[w.Instruction]:
        """Up to the sandbox."""
        self.post(w.Admitted())
        self.post(w.VolumesReady())
        self.sandbox()
        return self.post(w.SandboxDone())

    def deleted(self, grace: int = 30) -> list[w.Instruction]:
        self.pod.metadata.deletionTimestamp = Time("2026-01-01T00:00:00Z")
        self.pod.metadata.deletionGracePeriodSeconds = grace
        return self.post(w.Updated(self.pod))


def kinds(instructions: Sequence[w.Instruction]) -> list[str]:
    """What is to be done, without reports and timers."""
    plain = [i for i in instructions if not isinstance(i, w.Report | w.Wake | w.Emit)]
    return [_shown(i) for i in plain]


def _shown(instruction: w.Instruction) -> str:
    match instruction:
        case w.StartContainer(name, attempt):
            return f"start {name} {attempt}"
        case w.KillContainer(_, name, grace, hook):
            return f"kill {name} {grace:g}{'' if hook else ' no hook'}"
        case w.StopSandbox(sandbox_id):
            return f"stop {sandbox_id}"
        case w.RunSandbox(attempt):
            return f"sandbox {attempt}"
        case w.Cleanup(remove):
            return f"cleanup {'all' if remove else 'volumes'}"
        case w.RemoveContainers(ids):
            return f"remove {','.join(ids)}"
        case w.StartProbe(_, name, kind):
            return f"probe {kind} {name}"
        case w.StopProbes(_, stopped):
            return f"stop probes {','.join(stopped)}"
    return type(instruction).__name__


def emitted(instructions: Sequence[w.Instruction]) -> list[tuple[str, str]]:
    return [(i.reason, i.message) for i in instructions if isinstance(i, w.Emit)]


def reported(instructions: Sequence[w.Instruction]) -> core_v1.PodStatus:
    return [i.status for i in instructions if isinstance(i, w.Report)][-1]


def test_from_nothing_to_running() -> None:
    d = Driver()
    first = d.post(w.Admitted())
    assert kinds(first) == ["PrepareVolumes"]
    status = reported(first)
    assert status.phase == "Pending" and status.startTime == "2026-01-01T00:00:00Z"
    assert (status.containerStatuses or [])[0].state.waiting.reason == "ContainerCreating"  # type: ignore[union-attr]
    assert kinds(d.post(w.VolumesReady())) == ["sandbox 0"]
    assert kinds(d.sandbox()) == ["start main 0"]
    assert kinds(d.post(w.SandboxDone())) == []
    assert kinds(d.set("main", "running")) == []
    done = d.post(w.StartDone("main"))
    assert reported(done).phase == "Running"
    assert reported(done).podIP == "10.0.0.1"


def test_nothing_is_asked_for_twice() -> None:
    d = Driver()
    d.post(w.Admitted())
    assert kinds(d.post(w.Tick())) == []
    d.post(w.VolumesReady())
    assert kinds(d.post(w.Tick())) == []
    d.sandbox()
    assert kinds(d.later(100)) == []


def test_containers_start_one_after_another_in_order() -> None:
    d = Driver(containers=[container("a"), container("b")])
    assert kinds(d.begin()) == []
    assert kinds(d.run("a")) == ["start b 0"]
    assert kinds(d.run("b")) == []


def test_one_that_cannot_start_does_not_hold_up_the_next() -> None:
    d = Driver(containers=[container("a"), container("b")])
    d.begin()
    assert kinds(d.post(w.StartDone("a", ("CreateContainerConfigError", "no")))) == ["start b 0"]
    d.run("b")
    assert kinds(d.later(9)) == []
    assert kinds(d.later(1.1)) == ["start a 0"]


def test_crash_loop_waits_ten_seconds_doubling_to_five_minutes() -> None:
    d = Driver()
    d.begin()
    d.run("main")
    assert kinds(d.set("main", "exited", 1)) == ["start main 1"]
    attempt, waits = 1, []
    for _ in range(7):
        d.run("main", attempt)
        out = d.set("main", "exited", 1, attempt)
        assert kinds(out)[:1] != [f"start main {attempt + 1}"]
        wake = next(i.at for i in out if isinstance(i, w.Wake))
        waits.append(round(wake - d.now.timestamp()))
        attempt += 1
        out = d.later(waits[-1] + 0.001)
        assert f"start main {attempt}" in kinds(out)
    assert waits == [10, 20, 40, 80, 160, 300, 300]


def test_back_off_is_forgotten_after_ten_quiet_minutes() -> None:
    d = Driver()
    d.begin()
    d.run("main")
    d.set("main", "exited", 1)
    d.run("main", 1)
    d.later(601)
    assert kinds(d.set("main", "exited", 1, 1)) == ["start main 2"]


def test_restart_policies() -> None:
    for policy, code, again in (
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ):
        d = Driver(restartPolicy=policy)
        d.begin()
        d.run("main")
        assert ("start main 1" in kinds(d.set("main", "exited", code))) is again, (policy, code)


def test_pod_that_has_ended_stops_its_sandbox_and_keeps_its_containers() -> None:
    d = Driver(restartPolicy="Never")
    d.begin()
    d.run("main")
    out = d.set("main", "exited", 0)
    assert kinds(out) == ["stop s1"] and reported(out).phase == "Succeeded"
    assert kinds(d.post(w.SandboxStopped("s1"))) == ["cleanup volumes"]
    assert kinds(d.post(w.CleanedUp(False))) == []
    assert kinds(d.deleted()) == ["cleanup all"]
    assert kinds(d.post(w.CleanedUp(True))) == ["Finalize"]
    assert kinds(d.post(w.Finalized())) == ["Forget"]


def test_deletion_stops_everything_before_the_api_forgets() -> None:
    d = Driver(initContainers=[container("side", restartPolicy="Always")], containers=[container("a"), container("b")])
    d.begin()
    d.run("side")
    d.run("a")
    d.run("b")
    assert kinds(d.deleted(grace=20)) == ["kill a 20", "kill b 20"]
    assert kinds(d.set("a", "exited", 143)) == []
    d.now += timedelta(seconds=5)
    assert kinds(d.set("b", "exited", 143)) == ["kill side 15"]
    assert kinds(d.set("side", "exited", 143)) == ["stop s1"]
    assert kinds(d.post(w.SandboxStopped("s1"))) == ["cleanup all"]
    out = d.post(w.CleanedUp(True))
    assert kinds(out) == ["Finalize"]
    final = next(i.status for i in out if isinstance(i, w.Finalize))
    assert final.phase == "Failed"
    assert all(s.state.terminated for s in final.containerStatuses or ())


def test_a_second_deletion_only_shortens_the_wait() -> None:
    d = Driver()
    d.begin()
    d.run("main")
    assert kinds(d.deleted(grace=30)) == ["kill main 30"]
    assert kinds(d.deleted(grace=30)) == []
    assert kinds(d.deleted(grace=5)) == ["kill main 5 no hook"]
    assert kinds(d.deleted(grace=60)) == []


def test_deletion_while_an_image_is_pulled() -> None:
    d = Driver()
    d.begin()
    assert kinds(d.deleted()) == ["CancelStart"]
    assert kinds(d.post(w.StartDone("main", ("ContainerCreating", "")))) == ["stop s1"]


def test_deleted_before_it_ran_is_reported_as_failed() -> None:
    d = Driver()
    d.post(w.Admitted())
    d.post(w.VolumesReady())
    d.deleted()
    d.post(w.SandboxDone("no"))
    out = d.post(w.CleanedUp(True))
    final = next(i.status for i in out if isinstance(i, w.Finalize))
    ended = (final.containerStatuses or [])[0].state.terminated
    assert final.phase == "Failed"
    assert ended and (ended.reason, ended.exitCode) == ("ContainerStatusUnknown", 137)


def test_sandbox_that_dies_is_made_anew_with_its_containers() -> None:
    d = Driver()
    d.begin()
    d.run("main")
    d.sandboxes["s1"] = SandboxFact("s1", False, 0, 1, ("10.0.0.1",))
    d.containers["main-0"] = ContainerFact("main-0", "main", "s1", "exited", 0, 1, 1, 2, 137, hash="")
    out = d.observe()
    assert kinds(out) == ["sandbox 1"]
    assert emitted(out) == [("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")]
    assert kinds(d.sandbox("s2", attempt=1)) == ["start main 1"]


def test_ended_pod_does_not_get_another_sandbox() -> None:
    d = Driver(restartPolicy="Never")
    d.begin()
    d.run("main")
    d.sandboxes["s1"] = SandboxFact("s1", False, 0, 1, ())
    assert kinds(d.set("main", "exited", 0)) == ["cleanup volumes"]


def test_init_container_that_fails_for_good_fails_the_pod() -> None:
    d = Driver(restartPolicy="Never", initContainers=[container("first")])
    d.begin()
    d.run("first")
    out = d.set("first", "exited", 1)
    assert kinds(out) == ["stop s1"] and reported(out).phase == "Failed"


def test_sidecar_has_to_start_before_the_next() -> None:
    probe = {"exec": {"command": ["up"]}}
    d = Driver(initContainers=[container("side", restartPolicy="Always", startupProbe=probe)])
    d.begin()
    assert kinds(d.run("side")) == ["probe startup side"]
    assert kinds(d.post(w.ProbeTurned("side-0", "startup", True))) == ["stop probes startup", "start main 0"]


def test_sidecar_restarts_while_others_run_and_does_not_keep_an_ended_pod() -> None:
    d = Driver(restartPolicy="Never", initContainers=[container("side", restartPolicy="Always")])
    d.begin()
    d.run("side")
    d.run("main")
    assert "start side 1" in kinds(d.set("side", "exited", 1))
    d.run("side", 1)
    assert kinds(d.set("main", "exited", 0)) == ["kill side 30"]


def test_probes_wait_for_the_startup_probe() -> None:
    probe = {"exec": {"command": ["x"]}}
    d = Driver(containers=[container(startupProbe=probe, readinessProbe=probe, livenessProbe=probe)])
    d.begin()
    out = d.run("main")
    assert kinds(out) == ["probe startup main"]
    [status] = reported(out).containerStatuses or []
    assert status.started is False and status.ready is False
    out = d.post(w.ProbeTurned("main-0", "startup", True))
    assert kinds(out) == ["stop probes startup", "probe readiness main", "probe liveness main"]
    [status] = reported(out).containerStatuses or []
    assert status.started is True and status.ready is False
    out = d.post(w.ProbeTurned("main-0", "readiness", True))
    assert (reported(out).containerStatuses or [])[0].ready is True


def test_failed_startup_probe_kills_with_its_own_grace_period() -> None:
    probe = {"exec": {"command": ["x"]}, "terminationGracePeriodSeconds": 7}
    d = Driver(containers=[container(startupProbe=probe)])
    d.begin()
    d.run("main")
    out = d.post(w.ProbeTurned("main-0", "startup", False))
    assert kinds(out) == ["kill main 7"]
    assert ("Killing", "Container main failed startup probe, will be restarted") in emitted(out)


def test_changed_image_replaces_the_container() -> None:
    d = Driver()
    d.begin()
    d.run("main")
    d.pod.spec.containers[0].image = "example.test/box:2"
    out = d.post(w.Updated(d.pod))
    assert kinds(out) == ["kill main 30"]
    assert emitted(out) == [("Killing", "Container main definition changed, will be restarted")]
    old = d.containers["main-0"].hash
    assert "start main 1" in kinds(d.set("main", "exited", 143, container_hash=old))


def test_a_kubelet_that_restarts_starts_nothing_anew() -> None:
    d = Driver(containers=[container(readinessProbe={"exec": {"command": ["x"]}})])
    d.pod.status = core_v1.PodStatus(
        phase="Running",
        containerStatuses=[
            core_v1.ContainerStatus(
                name="main", containerID="tiphys://main-3", ready=True, started=True, restartCount=3
            )
        ],
    )
    d.worker = PodWorker(d.pod, host_ips=("192.0.2.1",))
    d.sandbox()
    d.set("main", "running", attempt=3)
    out = d.post(w.Admitted())
    assert kinds(out) == ["PrepareVolumes", "probe readiness main"]
    [status] = reported(out).containerStatuses or []
    assert status.ready and status.restartCount == 3
    assert kinds(d.post(w.VolumesReady())) == []


def test_a_container_made_while_the_runtime_was_asked_is_not_lost() -> None:
    d = Driver()
    d.begin()
    asked_at = int(d.now.timestamp() * 1e9)
    d.now += timedelta(seconds=1)
    d.run("main")
    sandbox = SandboxFact("s1", True, 0, 1, ("10.0.0.1",))
    assert kinds(d.post(w.Observed(PodFact("u1", "", "", (sandbox,)), True, asked_at))) == []
    later = int(d.now.timestamp() * 1e9) + 1
    assert kinds(d.post(w.Observed(PodFact("u1", "", "", (sandbox,)), True, later))) == ["start main 1"]


def test_old_containers_are_removed_but_the_last_two() -> None:
    d = Driver()
    d.begin()
    d.run("main")
    removed: list[str] = []
    for attempt in range(3):
        d.set("main", "exited", 1, attempt)
        d.later(400)
        removed += kinds(d.set("main", "running", attempt=attempt + 1))
        d.post(w.StartDone("main"))
    assert removed == ["remove main-0", "remove main-1"]


def test_deadline() -> None:
    d = Driver(activeDeadlineSeconds=5)
    d.begin()
    d.run("main")
    out = d.later(5)
    assert kinds(out) == ["kill main 30"]
    assert (reported(out).phase, reported(out).reason) == ("Failed", "DeadlineExceeded")


def test_volume_failures_are_tried_again_ever_later() -> None:
    d = Driver()
    d.post(w.Admitted())
    waits = []
    for _ in range(4):
        out = d.post(w.VolumesFailed("MountVolume.SetUp failed"))
        assert ("FailedMount", "MountVolume.SetUp failed") in emitted(out)
        wake = next(i.at for i in out if isinstance(i, w.Wake))
        waits.append(wake - d.now.timestamp())
        assert "PrepareVolumes" in kinds(d.later(waits[-1]))
    assert waits == [0.5, 1.0, 2.0, 4.0]


def test_ephemeral_container_runs_once() -> None:
    d = Driver()
    d.begin()
    d.run("main")
    d.pod.spec.ephemeralContainers = [core_v1.EphemeralContainer(name="debug", image="example.test/box:1")]
    assert kinds(d.post(w.Updated(d.pod))) == ["start debug 0"]
    d.run("debug")
    assert kinds(d.set("debug", "exited", 1)) == []


def test_refused_pod_says_only_why() -> None:
    d = Driver()
    out = d.post(w.Rejected("OutOfcpu", "Pod was rejected: no"))
    status = reported(out)
    assert (status.phase, status.reason, status.message) == ("Failed", "OutOfcpu", "Pod was rejected: no")
    assert status.containerStatuses is None


def test_a_pod_that_was_called_not_ready_with_its_node_says_that_it_is() -> None:
    d = Driver()
    d.begin()
    status = reported(d.run("main"))
    assert {c.type: c.status for c in status.conditions or ()}["Ready"] == "True"
    shown = codec.copy(d.pod)
    shown.status = codec.copy(status)
    ready = next(c for c in shown.status.conditions or () if c.type == "Ready")
    ready.status = "False"
    # The API as it was before the last write says nothing new.
    assert not [i for i in d.post(w.Updated(codec.copy(shown))) if isinstance(i, w.Report)]
    d.later(60)
    ready.lastTransitionTime = Time("2026-01-01T00:00:40Z")
    again = reported(d.post(w.Updated(shown)))
    found = next(c for c in again.conditions or () if c.type == "Ready")
    assert (found.status, found.lastTransitionTime) == ("True", "2026-01-01T00:01:00Z")
    assert not [i for i in d.post(w.Updated(shown)) if isinstance(i, w.Report)]
