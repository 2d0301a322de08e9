"""What the audit log is told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of a batching sink: what is kept waiting, how much goes at once, how long it may wait, how often it may go."""

    buffer_size: int
    batch_size: int
    wait_seconds: float
    #: Batches a second, and how many may go at once after a pause; 0 is no bound.
    rate: float
    burst: int


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """Nothing is written without a policy and a place to write to. Batch sizes and times count in mode ``batch``."""

    policy_file: str = ""
    #: ``-`` is standard output.
    log_path: str = ""
    log_format: str = "json"
    log_mode: str = "blocking"
    #: 0 is no bound on age and number, and 100 MB.
    log_age_days_max: int = 0
    log_backups_max: int = 0
    log_size_megabytes_max: int = 0
    log_compress: bool = False
    log_buffer_size: int = 10_000
    log_batch_size: int = 1
    log_batch_wait_seconds: float = 0.0
    log_throttle: bool = False
    log_throttle_rate: float = 0.0
    log_throttle_burst: int = 0
    #: Says, in the form of a kubeconfig, where events are sent to.
    webhook_config_file: str = ""
    webhook_mode: str = "batch"
    webhook_initial_backoff_seconds: float = 10.0
    webhook_timeout_seconds: float = 30.0
    webhook_buffer_size: int = 10_000
    webhook_batch_size: int = 400
    webhook_batch_wait_seconds: float = 30.0
    webhook_throttle: bool = True
    webhook_throttle_rate: float = 10.0
    webhook_throttle_burst: int = 15

    @property
    def log_bounds(self) -> Bounds:
        rate = self.log_throttle_rate if self.log_throttle else 0.0
        return Bounds(
            self.log_buffer_size, self.log_batch_size, self.log_batch_wait_seconds, rate, self.log_throttle_burst
        )

    @property
    def webhook_bounds(self) -> Bounds:
        if self.webhook_mode != "batch":
            # Waiting for a network inside a request would hold up all others: each event goes by itself, at once.
            return Bounds(self.webhook_buffer_size, 1, 0.0, 0.0, 1)
        rate = self.webhook_throttle_rate if self.webhook_throttle else 0.0
        return Bounds(
            self.webhook_buffer_size,
            self.webhook_batch_size,
            self.webhook_batch_wait_seconds,
            rate,
            self.webhook_throttle_burst,
        )
