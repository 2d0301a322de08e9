"""What may be chosen about the controllers; defaults are kube-controller-manager's."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Config:
    """Ranges are given by the cluster; times are in seconds."""

    #: Ranges from which nodes get theirs, one per address family; none: node IPAM does nothing.
    cluster_cidrs: tuple[str, ...] = ()
    node_cidr_mask_size_ipv4: int = 24
    node_cidr_mask_size_ipv6: int = 64
    #: PEM of the API server's authority, published as ConfigMap kube-root-ca.crt.
    root_ca: str = ""
    #: PEM of that authority's key, with which certificate requests are signed; empty: nothing is signed.
    signing_key: str = ""
    #: PEM of the key that signs service account tokens; empty: Secrets for them are left as they are.
    service_account_key: str = ""
    node_monitor_period_seconds: float = 5.0
    node_monitor_grace_seconds: float = 50.0
    node_startup_grace_seconds: float = 60.0
    #: Nodes a second that may begin to be evicted.
    node_eviction_rate: float = 0.1
    #: Finished Pods kept in the whole cluster before the oldest are removed.
    terminated_pod_threshold: int = 12500
    pod_gc_period_seconds: float = 20.0
    #: Where a node keeps the directories of local-path volumes whose class names no other place.
    local_path_directory: str = "/var/lib/tiphys/local-path"
    #: Removes such a directory, in a Pod on its node: any image that has /bin/sh.
    local_path_image: str = "tiphys.dev/host:latest"
    #: Names of controllers to run; empty for all.
    only: tuple[str, ...] = ()
