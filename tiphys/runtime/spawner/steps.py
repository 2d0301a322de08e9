"""What failed in a child, carried to its parent: step, system call, path and error number."""

import json
from collections.abc import Iterator
from contextlib import contextmanager


class StepError(Exception):
    """One step of a setup failed. ``message`` is for people; the rest says where to look."""

    def __init__(self, step: str, message: str, number: int = 0, path: str = "") -> None:
        super().__init__(message)
        self.step = step
        self.message = message
        self.number = number
        self.path = path

    def encode(self) -> bytes:
        error = {"step": self.step, "message": self.message, "errno": self.number, "path": self.path}
        return json.dumps({"error": error}).encode()


@contextmanager
def step(name: str) -> Iterator[None]:
    """Name what is being done, so that an OSError within says it."""
    try:
        yield
    except OSError as error:
        path = f" {error.filename}" if error.filename else ""
        raise StepError(name, f"{name}: {error.strerror}{path}", error.errno or 0, str(error.filename or "")) from error
