"""From the configuration to what writes the audit log."""

from collections.abc import Sequence
from pathlib import Path

from tiphys.apiserver.audit import legacy
from tiphys.apiserver.audit.auditor import Audit, Sink
from tiphys.apiserver.audit.batch import Batching, Direct
from tiphys.apiserver.audit.config import AuditConfig
from tiphys.apiserver.audit.logfile import LogFile
from tiphys.apiserver.audit.policy import Policy, PolicyError
from tiphys.apiserver.audit.webhook import Webhook
from tiphys.apiserver.remote import Remote, target_of
from tiphys.base.clock import Clock


def auditor_of(config: AuditConfig, clock: Clock) -> Audit | None:
    """None where nothing is to be written. Raises PolicyError, OSError and remote.TargetError, naming the file."""
    if not config.policy_file:
        return None
    sinks = [*_logs(config, clock), *_webhooks(config, clock)]
    policy = _policy(config.policy_file)
    return Audit(policy, sinks, clock) if sinks else None


def _policy(path: str) -> Policy:
    try:
        return Policy.parse(Path(path).read_bytes())
    except PolicyError as problem:
        raise PolicyError(f"loading audit policy file {path}: {problem}") from problem


def _as_it_is(line: bytes) -> bytes:
    return line


def _logs(config: AuditConfig, clock: Clock) -> list[Sink]:
    if not config.log_path:
        return []
    file = LogFile(
        config.log_path,
        clock,
        size_megabytes_max=config.log_size_megabytes_max,
        backups_max=config.log_backups_max,
        age_days_max=config.log_age_days_max,
        compress=config.log_compress,
    )
    form = legacy.text_of if config.log_format == "legacy" else _as_it_is
    if config.log_mode != "batch":
        return [Direct("log", file, form)]

    async def write(lines: Sequence[bytes]) -> None:
        file.write(b"".join(form(line) + b"\n" for line in lines))

    return [Batching("log", write, file.close, config.log_bounds, clock)]


def _webhooks(config: AuditConfig, clock: Clock) -> list[Sink]:
    if not config.webhook_config_file:
        return []
    remote = Remote(target_of(config.webhook_config_file), config.webhook_timeout_seconds)
    webhook = Webhook(remote, clock, config.webhook_initial_backoff_seconds)
    return [Batching("webhook", webhook.send, webhook.close, config.webhook_bounds, clock)]
