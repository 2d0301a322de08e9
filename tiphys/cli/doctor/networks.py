"""What Pods and Services are linked with."""

import os
from collections.abc import Iterator
from pathlib import Path

from tiphys.cli.doctor.findings import Finding, State
from tiphys.network import probe

#: What others need and we do without, by where it shows.
NOT_NEEDED = {
    "br_netfilter": "/proc/sys/net/bridge/bridge-nf-call-iptables",
    "ip_vs": "/proc/net/ip_vs",
    "wireguard": "/sys/module/wireguard",
}
ADVICE = {
    "veth": "modprobe veth",
    "bridge": "modprobe bridge",
    "vxlan": "modprobe vxlan",
    "nftables": "modprobe nf_tables",
    "forwarding": "sysctl -w net.ipv4.ip_forward=1",
    "conntrack": "modprobe nf_conntrack",
}


def check() -> Iterator[Finding]:
    if os.geteuid() == 0:
        yield from (_finding(feature) for feature in probe.probe())
    else:
        yield Finding("network", "LIMITED", "only root can ask the kernel", "sudo tiphys doctor")
    for name, path in NOT_NEEDED.items():
        yield Finding(name, "OK", "there, not used" if Path(path).exists() else "not there, not needed")


def _finding(feature: probe.Feature) -> Finding:
    if feature.present:
        return Finding(feature.name, "OK")
    state: State = "MISSING" if feature.required else "LIMITED"
    return Finding(feature.name, state, feature.detail, ADVICE.get(feature.name.split()[0], ""))
