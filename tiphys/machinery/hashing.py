"""Hashes that name things: stable over restarts, machines and Python versions."""

from typing import Any, Final

import msgspec

ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_OFFSET_32: Final = 0x811C9DC5
_PRIME_32: Final = 0x01000193


def fnv1a_32(data: bytes) -> int:
    """Source: Fowler, Noll, Vo, variant 1a, 32 bits."""
    result = _OFFSET_32
    for byte in data:
        result = (result ^ byte) * _PRIME_32 & 0xFFFFFFFF
    return result


def safe_encoded(text: str) -> str:
    """Each character replaced by one that cannot form a word."""
    return "".join(ALPHABET[ord(char) % len(ALPHABET)] for char in text)


def template_hash(template: Any, collision_count: int | None = None) -> str:
    """Ten safe characters that differ for differing templates."""
    data = msgspec.json.encode(template, enc_hook=str, order="sorted")
    if collision_count is not None:
        data += collision_count.to_bytes(8, "little", signed=True)
    return safe_encoded(f"{fnv1a_32(data):010d}")
