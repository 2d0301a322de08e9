"""Links of sandboxes on a node's bridge: the built-in network of Pods.

``Bridge`` is asynchronous outside; inside, one thread of its own does all work,
because the kernel takes its time for links and because a network namespace
belongs to a thread. Calls are served in order. All of them may be repeated.
"""

import asyncio
import errno
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from tiphys.network import rules
from tiphys.network.addresses import Addresses
from tiphys.network.config import NetworkConfig
from tiphys.network.namespaces import SetNs, inside
from tiphys.network.sockets import NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkError, NetlinkSocket
from tiphys.wire import nftables, rtnetlink

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_PEER = "eth0"
_POD_CIDR = "pod-cidr"
_LOOPBACK_INDEX = 1
_DEFAULT_MTU = 1500
#: What a kernel without nftables says, at one step or another.
_NO_NFTABLES = (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP)
_IPV4_SETTINGS = Path("/proc/sys/net/ipv4")


class Mapping(Protocol):
    """A host port as the runtime describes it."""

    @property
    def protocol(self) -> str: ...
    @property
    def host_port(self) -> int: ...
    @property
    def container_port(self) -> int: ...
    @property
    def host_ip(self) -> str: ...


class Bridge:
    """The network of one node's sandboxes.

    ``setns`` moves the calling thread into a namespace; without one Python's own
    is used, or pyroute2's where Python has none.
    """

    def __init__(self, config: NetworkConfig, setns: SetNs | None = None) -> None:
        self._worker = _Worker(config, setns)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network")
        self._restoring = False

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def configure(self, pod_cidr: str) -> None:
        """Make the bridge and its rules for this node's Pod addresses.

        What survived a crash is kept; addresses of sandboxes that are gone are freed.
        Raises ValueError for a bad range and OSError when the kernel refuses.
        """
        await self._run(lambda: self._worker.configure(pod_cidr))

    async def add(
        self, sandbox_id: str, netns_path: str, hostname: str, port_mappings: Sequence[Mapping] = ()
    ) -> list[str]:
        """Link a sandbox's namespace to the bridge; its addresses. Raises OSError, and leaves nothing then."""
        mappings = [
            rules.PortMapping(each.protocol, each.host_port, each.container_port, each.host_ip)
            for each in port_mappings
            if each.host_port
        ]
        return await self._run(lambda: self._worker.add(sandbox_id, netns_path, mappings))

    async def remove(self, sandbox_id: str, netns_path: str) -> None:
        """Close the sandbox's host ports and free its address; its link dies with the namespace."""
        await self._run(lambda: self._worker.remove(sandbox_id))

    def status(self) -> tuple[bool, str, str]:
        """Ready, and if not, reason and message of the CRI condition NetworkReady.

        The first call of a restarted process begins to restore what was configured before:
        a kubelet that has not restarted tells the range only once.
        """
        if not self._restoring:
            self._restoring = True
            self._thread.submit(self._worker.restore)
        return self._worker.status

    async def purge(self) -> None:
        """Remove every link, table and file that carries this cluster's tag, its proxy's table too."""
        await self._run(self._worker.purge)

    async def close(self) -> None:
        """Stop the thread; links and rules stay."""
        await self._run(self._worker.close)
        self._thread.shutdown()


class _Worker:
    """The work itself; runs in one thread."""

    def __init__(self, config: NetworkConfig, setns: SetNs | None) -> None:
        self._config = config
        self._setns = setns
        self._addresses: Addresses | None = None
        self._pod_cidr = ""
        self._bridge_index = 0
        self._mtu = 0
        self._routes: NetlinkSocket | None = None
        self._filters: NetlinkSocket | None = None
        self._ports_dir = config.state_dir / "ports"
        self._ports: dict[str, list[rules.Element]] = {}
        self.status: tuple[bool, str, str] = (
            False,
            "NetworkPluginNotReady",
            "Network plugin returns error: the Pod address range of this node is not known yet",
        )

    @property
    def _route_socket(self) -> NetlinkSocket:
        if self._routes is None:
            self._routes = NetlinkSocket(NETLINK_ROUTE)
        return self._routes

    @property
    def _filter_socket(self) -> NetlinkSocket:
        if self._filters is None:
            self._filters = NetlinkSocket(NETLINK_NETFILTER)
        return self._filters

    def _apply(self, step: str, batch: nftables.Batch) -> None:
        self._filter_socket.transact(step, *batch.finish())

    def _apply_if_supported(self, step: str, batch: nftables.Batch) -> None:
        try:
            self._apply(step, batch)
        except OSError as error:
            if error.errno not in _NO_NFTABLES:
                raise
            logger.warning("%s; Pods have no host ports and reach only the cluster", error)

    def close(self) -> None:
        for each in (self._routes, self._filters):
            if each is not None:
                each.close()
        self._routes = self._filters = None

    # Configuration

    def configure(self, pod_cidr: str) -> None:
        if self.status[0] and pod_cidr == self._pod_cidr:
            return
        try:
            self._configure(pod_cidr)
        except OSError as error:
            self.status = (False, "NetworkPluginNotReady", f"Network plugin returns error: {error}")
            raise
        self.status = (True, "", "")

    def restore(self) -> None:
        """Configure the range that an earlier process has left, if any; a failure shows in the status."""
        path = self._config.state_dir / _POD_CIDR
        if self._addresses is None and path.exists():
            try:
                self.configure(path.read_text())
            except (OSError, ValueError) as error:
                logger.warning("network of %s: %s", self._config.bridge, error)

    def _remember(self, pod_cidr: str) -> None:
        fresh = self._config.state_dir / f"{_POD_CIDR}.new"
        fresh.write_text(pod_cidr)
        fresh.rename(self._config.state_dir / _POD_CIDR)

    def _configure(self, pod_cidr: str) -> None:
        config = self._config
        addresses = Addresses(config.state_dir / "addresses", pod_cidr)
        links = self._links()
        self._mtu = config.mtu or self._default_mtu(links)
        self._bridge_index = self._make_bridge(links)
        interface = f"{addresses.gateway}/{IPv4Network(pod_cidr).prefixlen}"
        requests = [*self._old_addresses(interface), rtnetlink.add_address(self._bridge_index, interface)]
        if config.service_cidr:
            requests.append(rtnetlink.add_route(config.service_cidr, self._bridge_index, source=addresses.gateway))
        self._route_socket.run(f"give {config.bridge} the address {interface}", requests)
        self._write_settings()
        alive = {link.name for link in links.values()}
        addresses.release_all_but(each for each in addresses.sandboxes() if config.port(each) in alive)
        self._load_ports(addresses)
        opened = [element for each in self._ports.values() for element in each]
        batch = rules.setup(config.table, config.bridge, pod_cidr, config.cluster_cidr, opened)
        self._apply_if_supported(f"write table {config.table}", batch)
        self._remember(pod_cidr)
        self._addresses, self._pod_cidr = addresses, pod_cidr

    def _links(self) -> dict[str, rtnetlink.Link]:
        bodies = self._route_socket.get("list links", rtnetlink.get_links())
        return {link.name: link for link in map(rtnetlink.link, bodies)}

    def _default_mtu(self, links: dict[str, rtnetlink.Link]) -> int:
        mtus = {link.number: link.mtu for link in links.values()}
        routes = map(rtnetlink.route, self._route_socket.get("list routes", rtnetlink.get_routes()))
        found = [mtus[route.link] for route in routes if route.destination.prefixlen == 0 and route.link in mtus]
        return min(found, default=_DEFAULT_MTU)

    def _make_bridge(self, links: dict[str, rtnetlink.Link]) -> int:
        name = self._config.bridge
        if name not in links:
            request = rtnetlink.add_bridge(name, self._mtu, self._config.mac("bridge"))
            self._route_socket.run(f"add bridge {name}", [request])
        found = links.get(name) or rtnetlink.link(self._route_socket.get(f"find {name}", rtnetlink.get_link(name))[0])
        if found.kind != "bridge":
            raise FileExistsError(errno.EEXIST, f"link {name} exists and is a {found.kind or 'device'}, not a bridge")
        return found.number

    def _old_addresses(self, interface: str) -> list[rtnetlink.Request]:
        """Requests that take from the bridge what is left of another range."""
        found = map(rtnetlink.address, self._route_socket.get("list addresses", rtnetlink.get_addresses()))
        return [
            rtnetlink.delete_address(link, str(each))
            for link, each in found
            if link == self._bridge_index and each.version == 4 and str(each) != interface
        ]

    def _write_settings(self) -> None:
        own = _IPV4_SETTINGS / "conf" / self._config.bridge
        for path, value in (
            (_IPV4_SETTINGS / "ip_forward", "1"),
            (own / "forwarding", "1"),
            # Every Pod's way to another goes in and out by the bridge, for which the kernel would advise a shortcut
            # past connection tracking. "all" overrides the bridge's; other links keep their own setting.
            (_IPV4_SETTINGS / "conf/all/send_redirects", "0"),
            (own / "send_redirects", "0"),
            (own / "rp_filter", "0"),
            (own / "route_localnet", "1"),
        ):
            if path.read_text().strip() != value:
                path.write_text(value)

    def _load_ports(self, addresses: Addresses) -> None:
        self._ports_dir.mkdir(parents=True, exist_ok=True)
        self._ports = {}
        for path in self._ports_dir.iterdir():
            address = addresses.find(path.name)
            if address is None:
                path.unlink()
                continue
            mappings = msgspec.json.decode(path.read_bytes(), type=list[rules.PortMapping])
            self._ports[path.name] = rules.elements(address, mappings)

    # Sandboxes

    def _require_addresses(self) -> Addresses:
        if self._addresses is None:
            raise OSError(errno.ENETDOWN, self.status[2])
        return self._addresses

    def add(self, sandbox_id: str, netns_path: str, mappings: list[rules.PortMapping]) -> list[str]:
        self.restore()
        addresses = self._require_addresses()
        known = addresses.find(sandbox_id) is not None
        address = addresses.allocate(sandbox_id)
        try:
            self._attach(sandbox_id, netns_path, address, addresses.gateway)
            self._open_ports(sandbox_id, address, mappings)
        except OSError:
            if not known:
                self._delete_link(self._config.port(sandbox_id))
                self.remove(sandbox_id)
            raise
        return [address]

    def _attach(self, sandbox_id: str, netns_path: str, address: str, gateway: str) -> None:
        port = self._config.port(sandbox_id)
        namespace = os.open(netns_path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            mac = self._config.mac(address)
            create = rtnetlink.add_veth(port, self._bridge_index, self._mtu, _PEER, mac, namespace)
            step = f"link {netns_path} to {self._config.bridge}"
            created = not self._route_socket.run(step, [create], ignore=(errno.EEXIST,))[0]
            if not self._set_up_inside(namespace, address, gateway, required=created):
                # The link is there but leads into an older namespace, which is about to die.
                self._delete_link(port)
                self._route_socket.run(step, [create])
                self._set_up_inside(namespace, address, gateway, required=True)
            # A Pod that reaches itself through a Service comes back by its own port if br_netfilter is present.
            self._route_socket.run(f"set hairpin of {port}", [rtnetlink.set_port_hairpin(port)])
            # The kernel lets a new port forward some time later, and a first packet that is lost costs a second.
            # Asking for a link makes it do now what is due.
            for name in (port, self._config.bridge):
                self._route_socket.get(f"settle {name}", rtnetlink.get_link(name))
        finally:
            os.close(namespace)

    def _set_up_inside(self, namespace: int, address: str, gateway: str, required: bool) -> bool:
        with inside(namespace, self._setns), NetlinkSocket(NETLINK_ROUTE) as routes:
            try:
                link = rtnetlink.link(routes.get(f"find {_PEER} of the sandbox", rtnetlink.get_link(_PEER))[0])
            except NetlinkError as error:
                if error.errno == errno.ENODEV and not required:
                    return False
                raise
            routes.run(
                f"give the sandbox the address {address}",
                [
                    rtnetlink.set_up(_LOOPBACK_INDEX),
                    rtnetlink.set_up(link.number),
                    rtnetlink.add_address(link.number, f"{address}/32"),
                    rtnetlink.add_route("0.0.0.0/0", link.number, gateway=gateway),
                ],
            )
        return True

    def _delete_link(self, name: str) -> None:
        try:
            found = self._route_socket.get(f"find {name}", rtnetlink.get_link(name))
        except NetlinkError as error:
            if error.errno == errno.ENODEV:
                return
            raise
        request = rtnetlink.delete_link(rtnetlink.link(found[0]).number)
        self._route_socket.run(f"delete {name}", [request], ignore=(errno.ENODEV,))

    def _open_ports(self, sandbox_id: str, address: str, mappings: list[rules.PortMapping]) -> None:
        if not mappings or sandbox_id in self._ports:
            return
        self._check_free(mappings, address)
        path = self._ports_dir / sandbox_id
        fresh = self._ports_dir.parent / f"{sandbox_id}.new"
        fresh.write_bytes(msgspec.json.encode(mappings))
        fresh.rename(path)
        opened = rules.elements(address, mappings)
        self._ports[sandbox_id] = opened
        self._apply(f"open host ports of {address}", rules.change_ports(self._config.table, opened, ()))

    def _check_free(self, mappings: list[rules.PortMapping], address: str) -> None:
        taken = {(element.set_name, element.key) for each in self._ports.values() for element in each}
        for mapping, element in zip(mappings, rules.elements(address, mappings), strict=True):
            if (element.set_name, element.key) in taken:
                name = f"{mapping.host_ip or '0.0.0.0'}:{mapping.host_port}/{mapping.protocol}"
                raise OSError(errno.EADDRINUSE, f"host port {name} is taken by another Pod")

    def remove(self, sandbox_id: str) -> None:
        closed = self._ports.pop(sandbox_id, ())
        if closed:
            batch = rules.change_ports(self._config.table, (), closed)
            try:
                self._apply(f"close host ports of {sandbox_id}", batch)
            except NetlinkError as error:
                if error.errno != errno.ENOENT:
                    raise
        (self._ports_dir / sandbox_id).unlink(missing_ok=True)
        if self._addresses is not None:
            self._addresses.release(sandbox_id)

    def _own_tables(self) -> list[str]:
        request = nftables.ask(nftables.NFT_MSG_GETTABLE, nftables.NFPROTO_IPV4)
        try:
            bodies = self._filter_socket.get("list tables", request)
        except OSError as error:
            if error.errno in _NO_NFTABLES:
                return []
            raise
        names = (nftables.name_in(body, nftables.NFT_MSG_GETTABLE)[1] for body in bodies)
        return [name for name in names if name.startswith(self._config.table_prefix)]

    def purge(self) -> None:
        for table in self._own_tables():
            self._apply(f"remove table {table}", rules.purge(table))
        if self._config.service_cidr:
            # What the proxy adds where there is no nftables.
            request = rtnetlink.delete_local_route(self._config.service_cidr, _LOOPBACK_INDEX)
            self._route_socket.run("delete the route of services", [request], ignore=(errno.ESRCH,))
        own = [each for name, each in self._links().items() if name.startswith(self._config.port_prefix)]
        for each in own:
            step = f"delete {each.name}"
            self._route_socket.run(step, [rtnetlink.delete_link(each.number)], ignore=(errno.ENODEV,))
        shutil.rmtree(self._config.state_dir, ignore_errors=True)
        self._addresses = None
        self._ports = {}
        self.status = (False, "NetworkPluginNotReady", "Network plugin returns error: the network was removed")
