"""Numbers that may be percentages."""

from tiphys.machinery import names


def scaled(value: int | str, total: int, round_up: bool) -> int:
    """``value`` itself, or that share of ``total`` where it is a percentage. Raises ValueError."""
    if isinstance(value, int):
        return value
    if names.percent(value):
        raise ValueError("invalid value for IntOrString: invalid type: string is not a percentage")
    product = int(value[:-1]) * total
    return -(-product // 100) if round_up else product // 100
