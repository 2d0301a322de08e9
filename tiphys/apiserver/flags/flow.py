"""Flags of flow control, audit, shutdown and what can be seen from outside."""

from collections.abc import Callable, Sequence
from typing import Final

from tiphys.apiserver.flags.flag import Flag, boolean, number, seconds, text


def one_of(*words: str) -> Callable[[Sequence[str]], str]:
    """Reads one of a few words."""

    def read(values: Sequence[str]) -> str:
        if values[-1] not in words:
            raise ValueError(f"one of {', '.join(words)} is expected")
        return values[-1]

    return read


def fraction(values: Sequence[str]) -> float:
    try:
        found = float(values[-1])
    except ValueError:
        raise ValueError("a number is expected") from None
    if found < 0:
        raise ValueError("a number that is not negative is expected")
    return found


def chance(values: Sequence[str]) -> float:
    found = fraction(values)
    if found > 0.02:
        raise ValueError("a number from 0 to 0.02 is expected")
    return found


def logs_directory(values: Sequence[str]) -> str:
    return "/var/log" if boolean(values) else ""


MODES: Final = one_of("batch", "blocking", "blocking-strict")


def _batching(part: str, what: str) -> tuple[Flag, ...]:
    """The flags that log and webhook have alike."""

    def flag(name: str, read: Callable[[Sequence[str]], object], help_: str, switch: bool = False) -> Flag:
        field = {"batch-max-size": "batch_size", "batch-max-wait": "batch_wait_seconds"}.get(name)
        field = field or name.replace("batch-", "", 1).replace("-enable", "").replace("-qps", "_rate").replace("-", "_")
        return Flag(f"audit-{part}-{name}", "audit", f"{part}_{field}", read, help_, switch=switch)

    return (
        Flag(f"audit-{part}-mode", "audit", f"{part}_mode", MODES, f"How audit events get to the {what}."),
        flag("batch-buffer-size", number, "Events that may wait; more are dropped."),
        flag("batch-max-size", number, "Most events of a batch."),
        flag("batch-max-wait", seconds, "How long a batch may wait to be full."),
        flag("batch-throttle-enable", boolean, "Whether batches are held back.", switch=True),
        flag("batch-throttle-qps", fraction, "Batches a second."),
        flag("batch-throttle-burst", number, "Batches at once after a pause."),
    )


FLAGS: Final = (
    Flag(
        "enable-priority-and-fairness", "server", "priority_and_fairness", boolean, "Fair queues for all.", switch=True
    ),
    Flag(
        "max-mutating-requests-inflight", "server", "mutating_in_flight_max", number, "Changes made at the same time."
    ),
    Flag("audit-policy-file", "audit", "policy_file", text, "What is written into the audit log."),
    Flag("audit-log-path", "audit", "log_path", text, "The audit log; - is standard output."),
    Flag("audit-log-format", "audit", "log_format", one_of("json", "legacy"), "json or legacy."),
    Flag("audit-log-maxage", "audit", "log_age_days_max", number, "Days old audit logs are kept."),
    Flag("audit-log-maxbackup", "audit", "log_backups_max", number, "Old audit logs that are kept."),
    Flag("audit-log-maxsize", "audit", "log_size_megabytes_max", number, "Megabytes of an audit log."),
    Flag("audit-log-compress", "audit", "log_compress", boolean, "Whether old audit logs are packed.", switch=True),
    *_batching("log", "log"),
    Flag("audit-webhook-config-file", "audit", "webhook_config_file", text, "Where audit events are sent to."),
    Flag(
        *("audit-webhook-initial-backoff", "audit", "webhook_initial_backoff_seconds", seconds),
        "Pause before the second try.",
    ),
    *_batching("webhook", "webhook"),
    Flag("shutdown-delay-duration", "server", "shutdown_delay_seconds", seconds, "Serve for so long, not ready."),
    Flag(
        *("shutdown-send-retry-after", "server", "shutdown_send_retry_after", boolean),
        "Whether late requests are told to come back.",
        switch=True,
    ),
    Flag(
        *("shutdown-watch-termination-grace-period", "server", "shutdown_watch_grace_seconds", seconds),
        "How long watches may take to end.",
    ),
    Flag("goaway-chance", "server", "goaway_chance", chance, "Of HTTP/2, which is not spoken: no effect."),
    Flag("profiling", "server", "profiling", boolean, "Whether /debug/pprof is there.", switch=True),
    Flag("enable-logs-handler", "server", "logs_directory", logs_directory, "Whether /logs/ is there.", switch=True),
)
