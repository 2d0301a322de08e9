"""What an API server is told when it is made. Defaults serve tests; ``tiphys up`` fills in the rest."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tiphys.apiserver.audit.config import AuditConfig

#: Given a webhook's ``clientConfig`` and the review, its answer to come, or None for the network to be asked.
AskedHere = Callable[[Any, bytes], Awaitable[bytes] | None]


class Misconfigured(ValueError):
    """A configuration with which the server cannot start; the text names the flag or the file."""


@dataclass(frozen=True, slots=True)
class ApiServerConfig:
    """Addresses, certificates (paths of PEM files) and bounds."""

    host: str = "127.0.0.1"
    #: 0 lets the kernel choose; ``ApiServer.port`` then says which.
    port: int = 6443
    certificate: str = ""
    private_key: str = ""
    #: The CA that client certificates must come from; empty: none are asked for.
    client_ca: str = ""
    #: The CA of authenticating proxies; empty: none are believed.
    requestheader_client_ca: str = ""
    #: Services' cluster IPs; a comma separates two families.
    service_cidr: str = "10.96.0.0/16"
    #: First and last node port.
    node_ports: tuple[int, int] = (30000, 32767)
    cluster_domain: str = "cluster.local"
    request_timeout_seconds: float = 60.0
    #: Within this time a connection must have sent its first request's head.
    head_timeout_seconds: float = 32.0
    #: Requests that read, and those that change something, served at the same time. With priority and fairness
    #: their sum is what all levels share; without it each is a bound of its own, and 0 is none.
    requests_in_flight_max: int = 400
    mutating_in_flight_max: int = 200
    priority_and_fairness: bool = True
    audit: AuditConfig = field(default_factory=AuditConfig)
    #: A server that ends goes on serving for so long, not ready any more.
    shutdown_delay_seconds: float = 0.0
    #: Then new requests are answered with 429 and Retry-After while those under way end.
    shutdown_send_retry_after: bool = False
    #: How long watches may take to end by themselves before they are ended.
    shutdown_watch_grace_seconds: float = 0.0
    #: ``/debug/pprof`` and ``/debug/flags``.
    profiling: bool = True
    #: ``/logs/`` shows the files below; empty: nothing is shown.
    logs_directory: str = "/var/log"
    #: Of HTTP/2, which is not spoken; taken so that command lines of kube-apiserver work.
    goaway_chance: float = 0.0
    body_bytes_max: int = 3 * 1024 * 1024
    #: A watcher that has more than this queued and not taken is cut off.
    watch_buffer_bytes_max: int = 32 * 1024 * 1024
    #: Watches without ``timeoutSeconds`` end after a random time between this and its double.
    watch_timeout_seconds_min: float = 1800.0
    bookmark_period_seconds: float = 60.0
    #: Seconds of history that paged lists and resumed watches can rely on.
    history_seconds: float = 300.0
    #: Show who owns which fields in lists, watches and tables too, as Kubernetes does. Without it they show it only of
    #: objects that somebody applies, and what only updates have written is half as long there.
    managed_fields_in_lists: bool = True
    #: Versions and resources beyond (or less than) those on by default; see ``resources.table.served``.
    runtime_config: Mapping[str, bool] = field(default_factory=dict)
    #: Kubernetes' feature gates by name; those without a meaning here are kept and ignored.
    feature_gates: Mapping[str, bool] = field(default_factory=dict)
    #: Answers webhooks in this process, in the place of the network: for simulations.
    webhooks: AskedHere | None = None


@dataclass(frozen=True, slots=True)
class SecurityConfig:
    """Files (PEM unless said otherwise) and names. Empty ones switch off what needs them."""

    #: Signs service account tokens.
    service_account_key: str = ""
    #: Check them; where none is given, the key that signs does.
    service_account_key_files: tuple[str, ...] = ()
    #: Who issues them; the first one signs, the others are accepted.
    issuers: tuple[str, ...] = ("https://kubernetes.default.svc.cluster.local",)
    #: What the server is called in tokens; by default its issuers.
    api_audiences: tuple[str, ...] = ()
    service_account_jwks_uri: str = ""
    #: Longest life of a token that somebody asks for; 0 leaves it to him.
    service_account_expiration_max_seconds: float = 0.0
    service_account_extend_expiration: bool = True
    #: Whether tokens in Secrets are compared with what the Secret holds now.
    service_account_lookup: bool = True
    #: CSV of static tokens, and of passwords: secret, name, uid, groups.
    token_file: str = ""
    basic_auth_file: str = ""
    bootstrap_tokens: bool = False
    #: None where nobody has said so; then yes.
    anonymous: bool | None = None
    #: Authenticating proxies (their CA is the listener's): who may be one, and the headers they speak in.
    requestheader_allowed_names: tuple[str, ...] = ()
    requestheader_username_headers: tuple[str, ...] = ()
    requestheader_uid_headers: tuple[str, ...] = ()
    requestheader_group_headers: tuple[str, ...] = ()
    requestheader_extra_prefixes: tuple[str, ...] = ()
    oidc_issuer_url: str = ""
    oidc_client_id: str = ""
    oidc_ca_file: str = ""
    oidc_username_claim: str = "sub"
    oidc_username_prefix: str = ""
    oidc_groups_claim: str = ""
    oidc_groups_prefix: str = ""
    #: ``key=value`` each.
    oidc_required_claims: tuple[str, ...] = ()
    oidc_signing_algs: tuple[str, ...] = ("RS256",)
    #: An AuthenticationConfiguration (YAML).
    authentication_config: str = ""
    #: Who is asked about tokens, in kubeconfig form.
    token_webhook_file: str = ""
    token_webhook_version: str = "v1beta1"
    token_webhook_cache_seconds: float = 120.0
    #: Who decides, in this order. (kube-apiserver's own default is AlwaysAllow.)
    authorization_modes: tuple[str, ...] = ("Node", "RBAC")
    #: Policies of ABAC, one a line.
    authorization_policy_file: str = ""
    authorization_webhook_file: str = ""
    authorization_webhook_version: str = "v1beta1"
    authorization_cache_authorized_seconds: float = 300.0
    authorization_cache_unauthorized_seconds: float = 30.0
    #: An AuthorizationConfiguration (YAML), instead of modes and their files.
    authorization_config: str = ""
    #: How kubelets are reached: the CA of their certificates, and who we are to them.
    kubelet_ca: str = ""
    kubelet_client_certificate: str = ""
    kubelet_client_key: str = ""
    #: Who we are to aggregated servers.
    proxy_client_certificate: str = ""
    proxy_client_key: str = ""
    #: The address at which Pods reach this server; by default the one it listens on, if that is one of the host's.
    advertise_address: str = ""
    #: Admission plugins beside those that are on anyway, those not to run, and what they are told (a YAML file).
    enable_admission_plugins: tuple[str, ...] = ()
    disable_admission_plugins: tuple[str, ...] = ()
    admission_config_file: str = ""


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """Where objects are kept."""

    #: A sqlite file; ``:memory:`` keeps everything in the process and loses it at its end.
    file: str = ":memory:"
    #: etcd's members, in the place of the file; then the files (PEM) that prove who is who.
    etcd_servers: tuple[str, ...] = ()
    etcd_ca_file: str = ""
    etcd_cert_file: str = ""
    etcd_key_file: str = ""
    etcd_prefix: str = "/registry"
    #: 0 leaves compaction to others.
    etcd_compaction_seconds: float = 300.0
    etcd_healthcheck_seconds: float = 2.0
    etcd_readycheck_seconds: float = 2.0
    #: The EncryptionConfiguration, and whether its changes are followed.
    encryption_file: str = ""
    encryption_reload: bool = False
