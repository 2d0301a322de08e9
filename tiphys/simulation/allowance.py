"""How much may be done per time: a bucket that fills steadily. Source: the kubelet's ``eventRecordQPS``."""

from tiphys.base.clock import Clock


class Allowance:
    """``per_second`` on average, and what gathers in ``burst_seconds`` at once; 0 is without limit."""

    def __init__(self, per_second: float, burst_seconds: float, clock: Clock) -> None:
        self._per_second = per_second
        self._most = per_second * burst_seconds
        self._clock = clock
        self._left = self._most
        self._at = clock.monotonic() if per_second else 0.0

    def take(self) -> bool:
        """Whether there was one left."""
        if not self._per_second:
            return True
        now = self._clock.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
