"""Flags of where objects are kept, and how."""

from typing import Final

from tiphys.apiserver.flags.flag import Flag, boolean, listed, seconds, text

FLAGS: Final = (
    Flag("etcd-servers", "storage", "etcd_servers", listed, "Keep objects in etcd: its members, scheme://host:port."),
    Flag("etcd-cafile", "storage", "etcd_ca_file", text, "The CA of etcd's certificates, PEM."),
    Flag("etcd-certfile", "storage", "etcd_cert_file", text, "Who we are to etcd, PEM."),
    Flag("etcd-keyfile", "storage", "etcd_key_file", text, "The key of that certificate."),
    Flag("etcd-prefix", "storage", "etcd_prefix", text, "What all keys in etcd begin with."),
    Flag("etcd-compaction-interval", "storage", "etcd_compaction_seconds", seconds, "0 leaves history to others."),
    Flag("etcd-healthcheck-timeout", "storage", "etcd_healthcheck_seconds", seconds, "How long /livez waits for etcd."),
    Flag("etcd-readycheck-timeout", "storage", "etcd_readycheck_seconds", seconds, "How long /readyz waits for etcd."),
    Flag("encryption-provider-config", "storage", "encryption_file", text, "What to encrypt at rest and how, YAML."),
    Flag(
        "encryption-provider-config-automatic-reload",
        "storage",
        "encryption_reload",
        boolean,
        "Follow changes of that file.",
        switch=True,
    ),
)
