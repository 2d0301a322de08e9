"""What a Pod calls itself and where it looks names up: hostname, /etc/hosts, resolv.conf.

Source: Kubernetes docs, "DNS for Services and Pods" and "Adding entries to Pod /etc/hosts with HostAliases".
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tiphys.api import core_v1

HOSTNAME_MAX = 63
#: What the kernel holds as a host name.
FQDN_MAX = 64
SEARCHES_MAX = 32
NAMESERVERS_MAX = 3


class NameTooLong(ValueError):
    """The Pod's FQDN does not fit into the kernel's host name."""


@dataclass(frozen=True, slots=True)
class Resolv:
    """The contents of a resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def hostname_of(pod: core_v1.Pod, cluster_domain: str) -> tuple[str, str]:
    """Host name and domain (may be empty). Raises NameTooLong."""
    if pod.spec.hostnameOverride:
        return pod.spec.hostnameOverride[:FQDN_MAX], ""
    hostname = pod.spec.hostname or pod.metadata.name[:HOSTNAME_MAX].rstrip("-.")
    domain = ""
    if pod.spec.subdomain:
        domain = f"{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}"
    if pod.spec.setHostnameAsFQDN and domain:
        name = f"{hostname}.{domain}"
        if len(name) > FQDN_MAX:
            raise NameTooLong(
                f'failed to construct FQDN from pod hostname and cluster domain, FQDN "{name}" is too long '
                f"({FQDN_MAX} characters is the max, {len(name)} characters requested)"
            )
        return name, domain
    return hostname, domain


def hosts_file(pod: core_v1.Pod, ips: Sequence[str], hostname: str, domain: str, of_host: str = "") -> str:
    """/etc/hosts; ``of_host`` is the node's, which a Pod on the host's network extends."""
    if pod.spec.hostNetwork:
        text = "# Kubernetes-managed hosts file (host network).\n" + of_host
    else:
        lines = [
            "# Kubernetes-managed hosts file.",
            "127.0.0.1\tlocalhost",
            "::1\tlocalhost ip6-localhost ip6-loopback",
            "fe00::\tip6-localnet",
            "fe00::\tip6-mcastprefix",
            "fe00::1\tip6-allnodes",
            "fe00::2\tip6-allrouters",
        ]
        short = hostname.split(".")[0]
        lines += [f"{ip}\t{short}.{domain}\t{short}" if domain else f"{ip}\t{hostname}" for ip in ips]
        text = "\n".join(lines) + "\n"
    aliases = pod.spec.hostAliases or ()
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join(f"{alias.ip}\t{chr(9).join(alias.hostnames or ())}\n" for alias in aliases)
    return text


def parse_resolv(text: str) -> Resolv:
    """The node's resolv.conf; unknown lines are ignored, as the resolver does."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if not words:
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] == "search":
            searches = [w if w == "." else w.rstrip(".") for w in words[1:]]
        elif words[0] == "options":
            options.extend(words[1:])
    return Resolv(tuple(servers), tuple(searches), tuple(options))


def resolv_of(pod: core_v1.Pod, of_host: Resolv, cluster_dns: Sequence[str], cluster_domain: str) -> Resolv:
    """Where the Pod looks names up, by its dnsPolicy and dnsConfig."""
    policy = pod.spec.dnsPolicy or "ClusterFirst"
    if policy == "ClusterFirst" and pod.spec.hostNetwork:
        policy = "Default"
    if policy == "None":
        base = Resolv()
    elif policy == "Default" or not cluster_dns:
        base = of_host
    else:
        own = (f"{pod.metadata.namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain)
        base = Resolv(tuple(cluster_dns), own + of_host.searches, ("ndots:5",))
    config = pod.spec.dnsConfig
    if config is not None:
        base = Resolv(
            _unique((*base.servers, *(config.nameservers or ()))),
            _unique((*base.searches, *(config.searches or ()))),
            _merged_options(base.options, config.options or ()),
        )
    return Resolv(base.servers[:NAMESERVERS_MAX], _unique(base.searches)[:SEARCHES_MAX], base.options)


def _unique(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _merged_options(base: Sequence[str], more: Sequence[core_v1.PodDNSConfigOption]) -> tuple[str, ...]:
    """By option name, the Pod's own ones winning."""
    merged = {text.partition(":")[0]: text for text in base}
    for option in more:
        name = option.name or ""
        merged[name] = f"{name}:{option.value}" if option.value is not None else name
    return tuple(merged.values())
