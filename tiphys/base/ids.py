"""Names and ids that must differ, drawn from a generator that the caller owns."""

import random
import uuid

# The alphabet of Kubernetes' generated names: no vowels and no look-alikes, so that no word can appear.
# Source: API Conventions, "Names and uniqueness"; apimachinery, package names and rand.
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Ids:
    """Draws uids and name suffixes; the same seed draws the same ones."""

    def __init__(self, source: random.Random | None = None) -> None:
        self._random = source or random.SystemRandom()

    def uid(self) -> str:
        """A version 4 UUID in its usual text form."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def suffix(self, length: int = 5) -> str:
        """Characters to append to ``generateName``."""
        return "".join(self._random.choices(ALPHABET, k=length))
