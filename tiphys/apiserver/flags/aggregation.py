"""Flags of API aggregation."""

from typing import Final

from tiphys.apiserver.flags.flag import Flag, text

FLAGS: Final = (
    Flag("proxy-client-cert-file", "security", "proxy_client_certificate", text, "Who we are to aggregated servers."),
    Flag("proxy-client-key-file", "security", "proxy_client_key", text, "The key of that certificate."),
)
