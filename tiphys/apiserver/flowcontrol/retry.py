"""How long refused clients are told to stay away: longer, the more of them come back too early.

Source: apiserver's tracker of dropped requests, by behaviour.
"""

from typing import Final

RETRY_AFTER_SECONDS_MAX: Final = 32


class RetryAfter:
    """For one level."""

    __slots__ = ("_refused", "_since", "seconds")

    def __init__(self) -> None:
        self.seconds = 1
        self._refused = 0
        self._since = 0.0

    def refused(self, now: float) -> int:
        """Count a refusal; the seconds to answer it with."""
        passed = now - self._since
        if passed >= self.seconds:
            self._since = now
            if passed >= 2 * RETRY_AFTER_SECONDS_MAX:
                self.seconds = 1
            elif self._refused >= 3 * self.seconds:
                self.seconds = min(RETRY_AFTER_SECONDS_MAX, self.seconds * 2)
            elif self._refused < self.seconds and self.seconds > 1:
                self.seconds -= 1
            self._refused = 0
        self._refused += 1
        return self.seconds
