"""Metrics of the proxy, named as kube-proxy's where it has them."""

from prometheus_client import Counter, Gauge, Histogram

SYNC_SECONDS = Histogram(
    "kubeproxy_sync_proxy_rules_duration_seconds",
    "Time from taking up changes to their being in the kernel",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
)
SYNC_FAILURES = Counter(
    "kubeproxy_sync_proxy_rules_nftables_sync_failures_total", "Transactions that the kernel refused"
)
LAST_SYNC = Gauge("kubeproxy_sync_proxy_rules_last_timestamp_seconds", "When the last sync ended")
SERVICES = Gauge("tiphys_proxy_services", "Services that have rules")
STALE_FLOWS = Counter("tiphys_proxy_stale_flows_total", "UDP flows removed because nobody answers them any more")
