"""What a stopped cluster left in the kernel is removed: containers, namespaces, mounts, cgroups, links, rules.

Works whether the cluster ended in order or was killed. What is looked for
carries the cluster's id; nothing else is touched.
"""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from tiphys.cli.cluster import Cluster, ClusterConfig
from tiphys.cli.supervisor import process
from tiphys.cli.supervisor.components import runtime as node_runtime
from tiphys.cli.supervisor.components.spawner import ensure_spawner
from tiphys.runtime.linux import cgroups, syscalls
from tiphys.runtime.spawning import Spawner


async def remove(cluster: Cluster, config: ClusterConfig) -> None:
    """All of it; repeating it is fine."""
    if (cluster.data / "runtime").exists():
        spawner_process = process.find_process(ensure_spawner(cluster, config))
        async with node_runtime.runtime(cluster, config) as runtime:
            await runtime.purge()
        async with Spawner(cluster.spawner_socket, lambda _: None) as spawner:
            with contextlib.suppress(ConnectionError):
                await spawner.call("quit")
        if spawner_process is not None:
            process.end(spawner_process, grace_seconds=2)
    if left := process.read_pid_file(cluster.pid_file("spawner")):
        process.end(left, grace_seconds=2)
    network = node_runtime.network(cluster, config)
    await network.purge()
    await network.close()
    await asyncio.to_thread(_remove_groups, f"/tiphys-{config.id}")
    _unmount_below(cluster.data)
    _unmount_below(cluster.run)
    for path in cluster.run.glob("*.pid"):
        path.unlink()


def _remove_groups(root: str) -> None:
    """The cluster's control groups, after ending whatever is still in them."""
    groups = cgroups.of_this_host()
    for pid in groups.processes(root):
        with contextlib.suppress(ProcessLookupError):
            left = process.find_process(pid)
            os.kill(pid, signal.SIGKILL)
            if left is not None:
                process.wait_gone(left, 2)
    with contextlib.suppress(OSError):
        groups.remove(root)


def _unmount_below(folder: Path) -> None:
    """Pinned namespaces, shared memory and volumes, innermost first."""
    prefix = f"{folder}/"
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    # The kernel writes blanks as \040.
    places = [line.split(" ")[4].replace("\\040", " ") for line in mounts]
    for place in sorted((p for p in places if p.startswith(prefix)), key=len, reverse=True):
        with contextlib.suppress(OSError):
            syscalls.umount2(place, syscalls.MNT_DETACH)
