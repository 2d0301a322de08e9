"""What ``up`` shows while it works: one line per step, with the time it took; quiet when nobody watches."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class Progress:
    """Steps are shown on standard error, so that standard output stays for results."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._started = time.monotonic()

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        started = time.monotonic()
        if self._console.is_terminal:
            with self._console.status(text):
                yield
        else:
            yield
        self.done(text, time.monotonic() - started)

    def done(self, text: str, seconds: float) -> None:
        self._console.print(f" [green]✓[/green] {text} [dim]{seconds:.1f} s[/dim]")

    def say(self, text: str) -> None:
        self._console.print(text)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._started
