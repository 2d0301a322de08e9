"""Sandboxes: namespaces that containers of a Pod share, their network, and the files that go with them."""

import asyncio
import os
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.runtime import groups, plan
from tiphys.runtime.config import RuntimeConfig
from tiphys.runtime.cri import api_pb2
from tiphys.runtime.errors import NotFound, RuntimeFault
from tiphys.runtime.interfaces import PortMapping, SandboxNetwork
from tiphys.runtime.linux.cgroups import Cgroups, Limits
from tiphys.runtime.records import Records, Sandbox
from tiphys.runtime.spawning import Spawner, SpawnError

#: What every sandbox with a network of its own may do: low ports and ping without privileges, as containerd has it.
SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}


def nanoseconds(clock: Clock) -> int:
    return int(clock.now().timestamp() * 1_000_000_000)


def _is_pinned(path: str) -> bool:
    """Whether a namespace is mounted on the file."""
    try:
        return os.stat(path).st_dev != os.stat(os.path.dirname(path)).st_dev
    except FileNotFoundError:
        return False


class Sandboxes:
    """See the module. ``changed`` is told of each sandbox that was made or has ended."""

    def __init__(
        self,
        config: RuntimeConfig,
        spawner: Spawner,
        network: SandboxNetwork,
        cgroups: Cgroups,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._config = config
        self._spawner = spawner
        self._network = network
        self._cgroups = cgroups
        self._clock = clock
        self._ids = ids
        self.records: Records[Sandbox] = Records(config.data / "sandboxes", Sandbox)
        self.changed: Callable[[Sandbox], None] = lambda _: None

    def get(self, sandbox_id: str) -> Sandbox:
        found = self.records.match(sandbox_id)
        if found is None:
            raise NotFound(f'an error occurred when try to find sandbox "{sandbox_id}": not found')
        return found

    def folder(self, sandbox: Sandbox) -> Path:
        return self.records.folder(sandbox.id)

    def cgroup(self, sandbox: Sandbox) -> str:
        """The group below which the Pod's containers get theirs."""
        return self._config.cgroup_root + sandbox.message().linux.cgroup_parent

    async def adopt(self) -> None:
        """After a restart: a sandbox that has lost a namespace (the host has rebooted) is ready no more.

        One that is not ready may have been half made, or half stopped, when the runtime was killed.
        """
        for sandbox in self.records:
            lost_init = sandbox.init_pid and sandbox.init_pid not in self._cgroups.processes(self.cgroup(sandbox))
            if not sandbox.ready or lost_init or not all(map(_is_pinned, sandbox.pins.values())):
                await self.stop(sandbox)

    async def run(self, config: api_pb2.PodSandboxConfig, handler: str) -> Sandbox:
        """Make a sandbox and link it to the network. Raises RuntimeFault, and leaves nothing then."""
        sandbox_id = self._ids.uid().replace("-", "") + self._ids.uid().replace("-", "")
        options = config.linux.security_context.namespace_options
        kinds = plan.namespaces(options)
        pins = {kind: str(self._config.run / "ns" / sandbox_id / kind) for kind in kinds}
        sandbox = Sandbox(
            id=sandbox_id,
            created_at=nanoseconds(self._clock),
            config=config.SerializeToString(),
            runtime_handler=handler,
            ready=False,
            pins=pins,
            shm=str(self._config.run / "shm" / sandbox_id) if options.ipc != plan.NODE else "",
        )
        self.records.save(sandbox)
        try:
            await self._make(sandbox, config, kinds)
        except (SpawnError, OSError, ValueError) as error:
            await self.remove(sandbox)
            raise RuntimeFault(f"failed to create sandbox: {error}") from error
        except BaseException:
            await asyncio.shield(self.remove(sandbox))
            raise
        sandbox.ready = True
        self.records.save(sandbox)
        self.changed(sandbox)
        return sandbox

    async def _make(self, sandbox: Sandbox, config: api_pb2.PodSandboxConfig, kinds: list[str]) -> None:
        group = self.cgroup(sandbox)
        resources = plan.limits_of(config.linux.resources)
        folders = self._cgroups.create(group, Limits(cpu_shares=resources.cpu_shares, devices=None))
        shares_processes = config.linux.security_context.namespace_options.pid == plan.POD
        hostname = config.hostname or socket.gethostname()
        self._write_files(sandbox, config)
        made = await self._spawner.call(
            "sandbox",
            id=f"sandbox-{sandbox.id}",
            cgroups=folders if shares_processes else [],
            namespaces=kinds,
            hostname=hostname[:64],
            sysctls=(SYSCTLS if "net" in kinds else {}) | dict(config.linux.sysctls),
            init=shares_processes,
            pins=sandbox.pins,
            shm=sandbox.shm,
            shm_size=plan.SHM_BYTES,
        )
        if shares_processes:
            sandbox.init_pid = made["pid"]
            self.records.save(sandbox)
        if "net" in kinds:
            mappings = [
                PortMapping(api_pb2.Protocol.Name(m.protocol), m.container_port, m.host_port, m.host_ip)
                for m in config.port_mappings
            ]
            sandbox.addresses = await self._network.add(sandbox.id, sandbox.pins["net"], hostname, mappings)

    def _write_files(self, sandbox: Sandbox, config: api_pb2.PodSandboxConfig) -> None:
        """resolv.conf and hostname, which containers see in /etc."""
        folder = self.folder(sandbox)
        dns = config.dns_config
        if dns.servers or dns.searches or dns.options:
            lines = [f"nameserver {server}" for server in dns.servers]
            lines += [f"search {' '.join(dns.searches)}"] if dns.searches else []
            lines += [f"options {' '.join(dns.options)}"] if dns.options else []
            text = "\n".join(lines) + "\n"
        else:
            text = Path("/etc/resolv.conf").read_text() if Path("/etc/resolv.conf").exists() else ""
        (folder / "resolv.conf").write_text(text)
        (folder / "hostname").write_text((config.hostname or socket.gethostname()) + "\n")

    async def stop(self, sandbox: Sandbox) -> None:
        """Unlink it from the network and end what holds it; repeating it is fine. Its containers are ended before."""
        was_ready = sandbox.ready
        sandbox.ready = False
        self.records.save(sandbox)
        if (namespace := sandbox.pins.get("net")) is not None:
            await self._network.remove(sandbox.id, namespace)
        if sandbox.init_pid:
            with suppress(SpawnError):
                await self._spawner.call("end", id=f"sandbox-{sandbox.id}")
        paths = [*sandbox.pins.values(), *([sandbox.shm] if sandbox.shm else [])]
        await self._spawner.call("unpin", paths=paths)
        with suppress(OSError):
            os.rmdir(self._config.run / "ns" / sandbox.id)
        if was_ready:
            self.changed(sandbox)

    async def remove(self, sandbox: Sandbox) -> None:
        """Stop and forget it; repeating it is fine."""
        await self.stop(sandbox)
        with suppress(SpawnError):
            await self._spawner.call("end", id=f"sandbox-{sandbox.id}")
        await self._remove_group(sandbox)
        shutil.rmtree(self.folder(sandbox), ignore_errors=True)
        self.records.forget(sandbox.id)

    async def _remove_group(self, sandbox: Sandbox) -> None:
        """The Pod's group, if this sandbox is the last in it."""
        group = self.cgroup(sandbox)
        shared = any(self.cgroup(other) == group for other in self.records if other.id != sandbox.id)
        if not shared and group.startswith(self._config.cgroup_root + "/"):
            await groups.dissolve(self._cgroups, group, self._clock)
