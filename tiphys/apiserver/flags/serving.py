"""Flags of addresses, certificates, bounds and what a server needs to be one."""

from typing import Final

from tiphys.apiserver.flags.flag import Flag, boolean, number, port_range, seconds, text, whole_seconds

FLAGS: Final = (
    Flag("bind-address", "server", "host", text, "The address to listen on."),
    Flag("secure-port", "server", "port", number, "The port to listen on."),
    Flag("advertise-address", "security", "advertise_address", text, "The address at which Pods reach the server."),
    Flag("tls-cert-file", "server", "certificate", text, "The server's certificate, PEM."),
    Flag("tls-private-key-file", "server", "private_key", text, "The key of the server's certificate, PEM."),
    Flag("client-ca-file", "server", "client_ca", text, "The CA of client certificates, PEM."),
    Flag("service-cluster-ip-range", "server", "service_cidr", text, "Services' addresses, one range per family."),
    Flag("service-node-port-range", "server", "node_ports", port_range, "Services' node ports."),
    Flag("request-timeout", "server", "request_timeout_seconds", seconds, "How long a request may take."),
    Flag("min-request-timeout", "server", "watch_timeout_seconds_min", whole_seconds, "Seconds a watch lives."),
    Flag("max-requests-inflight", "server", "requests_in_flight_max", number, "Requests served at the same time."),
    Flag("kubelet-certificate-authority", "security", "kubelet_ca", text, "The CA of kubelets' certificates."),
    Flag("kubelet-client-certificate", "security", "kubelet_client_certificate", text, "Who we are to kubelets."),
    Flag("kubelet-client-key", "security", "kubelet_client_key", text, "The key of that certificate."),
    Flag(
        "managed-fields-in-lists",
        "server",
        "managed_fields_in_lists",
        boolean,
        "Show who owns fields in lists, watches and tables too, rather than only of objects that somebody applies.",
    ),
    Flag("store-file", "storage", "file", text, "Keep objects in this sqlite file; without it, in memory alone."),
)
