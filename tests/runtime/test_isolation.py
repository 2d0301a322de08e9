"""What a container can see and do, asked from within."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.conftest import Node
from tiphys.runtime import security
from tiphys.runtime.cri import api_pb2

pytestmark = pytest.mark.root
NET_ADMIN = 1 << security.CAPABILITIES.index("NET_ADMIN")


async def said(node: Node, script: str, **fields: Any) -> str:
    code, text = await node.run(script, **fields)
    assert code == 0, text
    return text


async def status(node: Node, **fields: Any) -> dict[str, str]:
    lines = (await said(node, "cat /proc/self/status", **fields)).splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


# Namespaces


async def test_namespaces_of_its_own(node: Node) -> None:
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
    text = await said(node, " ".join(["readlink", *(f"/proc/self/ns/{kind};readlink" for kind in kinds[:-1])])
                      + f" /proc/self/ns/{kinds[-1]}")  # fmt: skip
    inside = text.split()
    assert len(inside) == len(kinds)
    assert set(inside).isdisjoint({os.readlink(f"/proc/self/ns/{kind}") for kind in kinds})


async def test_the_first_process_of_its_namespace(node: Node) -> None:
    rows = (await said(node, "echo $$; ps -o pid,comm; true")).splitlines()
    assert rows[0] == "1"
    assert [row.split()[0] for row in rows[2:] if "ps" not in row] == ["1"]


async def test_containers_of_a_sandbox_share_network_ipc_and_name(node: Node) -> None:
    sandbox = await node.sandbox("web-0")
    script = "hostname; readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; readlink /proc/self/ns/uts"
    first = await said(node, script, sandbox=sandbox, name="first")
    second = await said(node, script, sandbox=sandbox, name="second")
    assert first == second
    assert first.startswith("web-0\n")
    await said(node, "echo shared > /dev/shm/file", sandbox=sandbox, name="first")
    assert await said(node, "cat /dev/shm/file", sandbox=sandbox, name="second") == "shared\n"


async def test_a_shared_process_namespace(node: Node) -> None:
    sandbox = await node.sandbox("shared", pid=api_pb2.POD)
    context = {"namespace_options": {"pid": api_pb2.POD}}
    await node.started(sandbox, "exec sleep 4321", name="other", context=context)
    text = await said(node, "echo $$; ps -o pid,args", sandbox=sandbox, context=context)
    assert "sleep 4321" in text
    assert text.splitlines()[0] != "1"


async def test_the_hosts_namespaces(node: Node) -> None:
    options = {"network": api_pb2.NODE, "ipc": api_pb2.NODE, "pid": api_pb2.NODE}
    sandbox = await node.sandbox("hostly", **options)
    script = "for n in net ipc uts pid; do readlink /proc/self/ns/$n; done; hostname"
    text = await said(node, script, sandbox=sandbox, context={"namespace_options": options})
    own = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "ipc", "uts", "pid")]
    assert text.split() == [*own, socket.gethostname()]


async def test_only_a_loopback_without_a_network(node: Node) -> None:
    text = await said(node, "ls /sys/class/net; ip -o addr show lo")
    assert text.splitlines()[0] == "lo"
    assert "127.0.0.1/8" in text


async def test_sysctls_of_a_sandbox(node: Node) -> None:
    sandbox = await node.sandbox("tuned", sysctls={"net.ipv4.ip_local_port_range": "20000 30000"})
    script = "cd /proc/sys/net/ipv4; cat ip_unprivileged_port_start ip_local_port_range"
    assert (await said(node, script, sandbox=sandbox)).split() == ["0", "20000", "30000"]


# Rights


async def test_default_capabilities(node: Node) -> None:
    found = await status(node)
    expected = security.capabilities(
        (), (), privileged=False, available=security.ALL, device_rules=node.runtime.sandboxes._cgroups.controls_devices
    )
    own = int(next(line.split()[1] for line in status_lines() if line.startswith("CapBnd")), 16)
    for kind in ("CapBnd", "CapEff", "CapPrm"):
        assert int(found[kind], 16) == expected & own, kind
    assert int(found["CapAmb"], 16) == 0


def status_lines() -> list[str]:
    return Path("/proc/self/status").read_text().splitlines()


async def test_capabilities_added_and_dropped(node: Node) -> None:
    added = await status(node, context={"capabilities": api_pb2.Capability(add_capabilities=["NET_ADMIN"])})
    assert int(added["CapEff"], 16) & NET_ADMIN
    dropped = await status(node, context={"capabilities": api_pb2.Capability(drop_capabilities=["ALL"])})
    assert {dropped[kind] for kind in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
    one = api_pb2.Capability(drop_capabilities=["ALL"], add_capabilities=["NET_BIND_SERVICE"])
    only = await status(node, context={"capabilities": one})
    assert int(only["CapEff"], 16) == 1 << security.CAPABILITIES.index("NET_BIND_SERVICE")


async def test_others_than_root_have_no_capabilities(node: Node) -> None:
    found = await status(node, context={"run_as_user": api_pb2.Int64Value(value=1000)})
    assert int(found["CapEff"], 16) == 0
    assert int(found["CapPrm"], 16) == 0
    assert int(found["CapBnd"], 16) != 0


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({}, "0 0 0"),
        ({"run_as_user": api_pb2.Int64Value(value=1000)}, "1000 0 0"),
        ({"run_as_user": api_pb2.Int64Value(value=33)}, "33 44 44 55"),
        ({"run_as_username": "web"}, "33 44 44 55"),
        (
            {"run_as_user": api_pb2.Int64Value(value=33), "supplemental_groups": [77],
             "supplemental_groups_policy": api_pb2.Strict},
            "33 44 44 77",
        ),
        (
            {"run_as_user": api_pb2.Int64Value(value=7), "run_as_group": api_pb2.Int64Value(value=8),
             "supplemental_groups": [9]},
            "7 8 8 9",
        ),
    ],
)  # fmt: skip
async def test_who_it_runs_as(node: Node, context: dict[str, Any], expected: str) -> None:
    script = "echo $(id -u) $(id -g) $(id -G)"
    assert (await said(node, script, context=context)).strip() == expected


@pytest.mark.parametrize("wanted", [True, False])
async def test_no_new_privileges(node: Node, wanted: bool) -> None:
    assert (await status(node, context={"no_new_privs": wanted}))["NoNewPrivs"] == str(int(wanted))


async def test_the_default_filter(node: Node) -> None:
    profile = api_pb2.SecurityProfile(profile_type=api_pb2.SecurityProfile.RuntimeDefault)
    assert (await status(node, context={"seccomp": profile}))["Seccomp"] == "2"
    code, text = await node.run("unshare -U true", context={"seccomp": profile})
    assert (code, "Operation not permitted" in text) == (1, True)
    unconfined = api_pb2.SecurityProfile(profile_type=api_pb2.SecurityProfile.Unconfined)
    assert (await status(node, context={"seccomp": unconfined}))["Seccomp"] == "0"


async def test_a_filter_without_new_privileges(node: Node) -> None:
    profile = api_pb2.SecurityProfile(profile_type=api_pb2.SecurityProfile.RuntimeDefault)
    context = {"seccomp": profile, "no_new_privs": True, "run_as_user": api_pb2.Int64Value(value=1000)}
    found = await status(node, context=context)
    assert (found["Seccomp"], found["NoNewPrivs"]) == ("2", "1")


async def test_no_descriptor_of_ours_is_seen(node: Node) -> None:
    assert (await said(node, "ls /proc/self/fd | sort -n")).split() == ["0", "1", "2", "3"]


async def test_signals_are_as_new(node: Node) -> None:
    container = await node.create(await node.sandbox(), "cat", "/proc/self/status")
    await node.start(container)
    await node.ended(container)
    found = dict(line.split(":\t", 1) for line in node.output().splitlines() if ":\t" in line)
    assert int(found["SigBlk"], 16) == 0
    # The real-time signals that the C library keeps to itself stay as they are.
    assert int(found["SigIgn"], 16) & 0x7FFFFFFF == 0


# Files


async def test_masked_and_read_only_paths(node: Node) -> None:
    script = """
        for p in kcore keys timer_list interrupts; do [ -e /proc/$p ] && wc -c < /proc/$p; done
        ls /proc/acpi /sys/firmware 2>/dev/null
        echo 1 > /proc/sys/kernel/domainname && echo WRITTEN
        echo h > /proc/sysrq-trigger && echo WRITTEN
        mkdir /sys/fs/cgroup/new 2>/dev/null && echo WRITTEN
        touch /sys/x 2>/dev/null && echo WRITTEN
        true"""
    text = await said(node, script)
    assert "WRITTEN" not in text
    assert [line for line in text.splitlines() if line.isdigit() and line != "0"] == []
    assert "Read-only file system" in text


async def test_a_privileged_container(node: Node) -> None:
    script = (
        "echo tiphys-test > /proc/sys/kernel/domainname && echo written; ls /proc/acpi /dev/kmsg; cat /proc/self/status"
    )
    text = await said(node, script, context={"privileged": True})
    assert text.startswith("written\n")
    found = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    own = next(line.split()[1] for line in status_lines() if line.startswith("CapBnd"))
    assert found["CapEff"].strip() == own
    assert found["Seccomp"] == "0"


async def test_a_read_only_root(node: Node) -> None:
    code, text = await node.run("touch /file", context={"readonly_rootfs": True})
    assert (code, "Read-only file system" in text) == (1, True)
    assert await said(node, "touch /dev/shm/x && echo ok", context={"readonly_rootfs": True}) == "ok\n"


async def test_what_is_written_is_its_own(node: Node) -> None:
    sandbox = await node.sandbox()
    await said(node, "echo mine > /etc/mine; rm /etc/passwd", sandbox=sandbox, name="first")
    text = await said(node, "ls /etc/mine 2>&1; ls /etc/passwd", sandbox=sandbox, name="second")
    assert "No such file" in text
    assert "/etc/passwd" in text.splitlines()


async def test_devices(node: Node) -> None:
    text = await said(node, "ls /dev; head -c 3 /dev/zero | wc -c; echo x > /dev/null; tty < /dev/ptmx; true")
    names = set(text.split())
    assert {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "fd", "stdin"} <= names
    assert not names & {"kmsg", "mem", "vda", "loop0"}
    # Even who may make a node may not use it.
    code, text = await node.run("mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg")
    assert code != 0
    assert "Operation not permitted" in text


async def test_volumes(node: Node, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("text\n")
    mounts = [
        api_pb2.Mount(host_path=str(tmp_path / "data"), container_path="/rw"),
        api_pb2.Mount(host_path=str(tmp_path / "data"), container_path="/deep/er/ro", readonly=True),
        api_pb2.Mount(host_path=str(tmp_path / "data/file"), container_path="/etc/one"),
    ]
    text = await said(node, "cat /rw/file /etc/one; echo new > /rw/new; touch /deep/er/ro/x 2>&1; true", mounts=mounts)
    assert text.startswith("text\ntext\n")
    assert "Read-only file system" in text
    assert (tmp_path / "data/new").read_text() == "new\n"


async def test_links_in_the_image_cannot_lead_a_volume_out(node: Node, tmp_path: Path) -> None:
    sandbox = await node.sandbox()
    source = node.config.data / "file"
    source.write_text("text\n")
    mount = api_pb2.Mount(host_path=str(source), container_path="/out/file")
    container = await node.create(sandbox, "cat", "/out/file", mounts=[mount])
    upper = node.config.data / "containers" / container / "upper"
    (upper / "out").symlink_to(tmp_path)
    await node.start(container)
    assert (await node.ended(container)).exit_code == 0
    assert node.output() == "text\n"
    assert os.listdir(tmp_path) == []


async def test_environment(node: Node) -> None:
    envs = [api_pb2.KeyValue(key="A", value="b=c d")]
    lines = (await said(node, "env", envs=envs, working_dir="/made/here")).splitlines()
    assert {"A=b=c d", "HOME=/root", "PATH=/bin:/usr/bin:/sbin:/usr/sbin", "PWD=/made/here"} <= set(lines)
    assert not any("SPAWNER" in line for line in lines)


# Limits


def memory_limit(cgroup: str) -> int:
    for name in (f"memory{cgroup}/memory.limit_in_bytes", f"{cgroup[1:]}/memory.max"):
        if (path := Path("/sys/fs/cgroup", name)).exists():
            return int(path.read_text())
    raise AssertionError(cgroup)


async def test_limits_of_its_group(node: Node) -> None:
    container = await node.started(
        await node.sandbox(), "sleep 1000",
        resources={"memory_limit_in_bytes": 64 << 20, "cpu_shares": 512, "cpu_quota": 50000, "cpu_period": 100000},
    )  # fmt: skip
    record = node.runtime._containers.get(container)  # type: ignore[union-attr]
    pid = await node.pid(container)
    assert node.runtime.sandboxes._cgroups.processes(record.cgroup) == [pid]
    await node.cri.UpdateContainerResources(
        api_pb2.UpdateContainerResourcesRequest(
            container_id=container, linux=api_pb2.LinuxContainerResources(memory_limit_in_bytes=32 << 20)
        )
    )
    stats = (await node.cri.ContainerStats(api_pb2.ContainerStatsRequest(container_id=container))).stats
    assert 0 < stats.memory.usage_bytes.value < 32 << 20
    assert (await node.status(container)).resources.linux.memory_limit_in_bytes == 32 << 20
    assert memory_limit(record.cgroup) == 32 << 20


async def test_a_command_is_as_confined_as_the_container(node: Node) -> None:
    context = {"run_as_user": api_pb2.Int64Value(value=33), "no_new_privs": True, "readonly_rootfs": True}
    container = await node.started(await node.sandbox(), "sleep 1000", context=context, envs=[
        api_pb2.KeyValue(key="A", value="b")
    ])  # fmt: skip
    script = "echo $(id -u) $(id -G) $A; grep -E 'NoNewPrivs|CapEff' /proc/self/status; touch /x; ls /proc/self/fd"
    _, out, err = await node.execute(container, "sh", "-c", script)
    assert out.split() == ["33", "44", "55", "b", "CapEff:", "0" * 16, "NoNewPrivs:", "1", "0", "1", "2", "3"]
    assert "Read-only file system" in err
    pid = await node.pid(container)
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
    for kind in kinds:
        out = (await node.execute(container, "readlink", f"/proc/self/ns/{kind}"))[1]
        assert out.strip() == os.readlink(f"/proc/{pid}/ns/{kind}")
