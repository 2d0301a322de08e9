"""What the user can act on: the message names the thing and what to do."""

from typing import Any


class UserError(Exception):
    """Ends the command with exit code 1 and its text on standard error."""

    @property
    def line(self) -> str:
        """What is printed."""
        return f"error: {self}"


class ServerRefused(UserError):
    """The API server answered with an error; ``status`` is its Status object. Printed as kubectl prints it."""

    def __init__(self, status: dict[str, Any], doing: str = "") -> None:
        super().__init__(str(status.get("message") or "unknown"))
        self.status = status
        #: What was attempted, where it helps: ``error when creating "web.yaml"``.
        self.doing = doing

    @property
    def reason(self) -> str:
        return str(self.status.get("reason") or "")

    @property
    def code(self) -> int:
        return int(self.status.get("code") or 0)

    @property
    def line(self) -> str:
        if self.reason == "Unauthorized":
            return f"error: You must be logged in to the server ({self})"
        return self._invalid() if self.reason == "Invalid" else self.one_of_several

    @property
    def one_of_several(self) -> str:
        """On one line, with what was being done."""
        reason = f" ({self.reason})" if self.reason else ""
        doing = f"{self.doing}: " if self.doing else ""
        return f"Error from server{reason}: {doing}{self}"

    def _invalid(self) -> str:
        """Causes one to a line if there are several."""
        details = self.status.get("details") or {}
        if not details.get("kind"):
            return f"The request is invalid: {self}"
        head = f'The {details["kind"]} "{details.get("name", "")}" is invalid'
        causes = list(dict.fromkeys(_cause(cause) for cause in details.get("causes") or ()))
        if not causes:
            return f"{head}: {self}"
        return f"{head}: {causes[0]}" if len(causes) == 1 else f"{head}: " + "".join(f"\n* {text}" for text in causes)


def _cause(cause: dict[str, Any]) -> str:
    field = cause.get("field")
    return f"{field}: {cause.get('message', '')}" if field else str(cause.get("message", ""))


class SeveralErrors(UserError):
    """All that went wrong where the command goes on after an error."""

    def __init__(self, errors: list[UserError]) -> None:
        super().__init__(str(len(errors)))
        self.errors = errors

    @property
    def line(self) -> str:
        if len(self.errors) == 1:
            return self.errors[0].line
        return "\n".join(e.one_of_several if isinstance(e, ServerRefused) else e.line for e in self.errors)


class ExitCode(UserError):
    """Ends the command with the exit code of something that ran elsewhere."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def line(self) -> str:
        return str(self)
