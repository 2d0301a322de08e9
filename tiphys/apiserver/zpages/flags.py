"""The values of all flags, as a configuration has them."""

from collections.abc import Mapping
from typing import Any

from tiphys.apiserver.config import ApiServerConfig, SecurityConfig
from tiphys.machinery import times


def values_of(config: ApiServerConfig, security: SecurityConfig) -> dict[str, str]:
    """By name. What concerns the store is not known here."""
    # Late: the table of flags imports every part that has some.
    from tiphys.apiserver.flags import FLAGS  # noqa: PLC0415

    parts: Mapping[str, Any] = {"server": config, "security": security, "audit": config.audit}
    return {
        flag.name: _text(getattr(parts[flag.part], flag.field), flag.field)
        for flag in FLAGS.values()
        if flag.part in parts
    }


def _text(value: Any, field: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if field.endswith("_seconds") and isinstance(value, int | float):
        return times.format_duration(value)
    if isinstance(value, Mapping):
        return ",".join(f"{key}={_text(each, '')}" for key, each in sorted(value.items()))
    if isinstance(value, tuple | list):
        return "[" + ",".join(map(str, value)) + "]"
    return str(value)
