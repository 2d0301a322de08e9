"""Users by files: static tokens, and names with passwords.

Secrets are kept and found by digest, and passwords compared in constant time:
how long an answer takes tells nothing about them.
Source: Kubernetes docs, "Authenticating", Static Token File; Static Password
File (until 1.18).
"""

import csv
import hashlib
import hmac
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tiphys.apiserver.authentication.authenticator import Authenticated, TokenProblem, with_authenticated
from tiphys.apiserver.config import Misconfigured
from tiphys.wire.exchange import UserInfo

log = logging.getLogger(__name__)

#: Compared where there is no such user, so that strangers take as long as wrong passwords.
_NOBODY: Final = bytes(32)


class FileProblem(Misconfigured):
    """A credentials file that cannot be used; the text names the file and the line."""


def _rows(text: str, kind: str) -> Iterator[tuple[str, UserInfo]]:
    """Secret and user of each line ``secret,user,uid,"group1,group2"``."""
    for number, row in enumerate(csv.reader(text.splitlines()), 1):
        cells = [cell.strip() for cell in row]
        if not cells:
            continue
        if len(cells) < 3:
            raise FileProblem(
                f"{kind} file must have at least 3 columns (secret, user name, user uid), "
                f"line {number} has {len(cells)}"
            )
        if not cells[0]:
            log.warning("a line of the file of users has no secret and is left out", extra={"line": number})
            continue
        groups = [name for group in cells[3].split(",") if (name := group.strip())] if len(cells) > 3 else []
        yield cells[0], UserInfo(cells[1], cells[2], with_authenticated(groups))


class StaticTokens:
    """Tokens from a file. The same token twice: the last line counts."""

    def __init__(self, text: str = "") -> None:
        """Raises FileProblem."""
        self._users = {_digest(token): user for token, user in _rows(text, "token auth")}

    @classmethod
    def from_file(cls, path: str) -> "StaticTokens":
        """Raises OSError, FileProblem."""
        return cls(Path(path).read_text("utf-8") if path else "")

    def find(self, token: str) -> UserInfo | None:
        return self._users.get(_digest(token))

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Authenticated | None:
        user = self.find(token)
        return Authenticated(user, tuple(audiences)) if user is not None else None


class Passwords:
    """Passwords from a file."""

    def __init__(self, text: str) -> None:
        """Raises FileProblem."""
        self._users = {user.name: (_digest(password), user) for password, user in _rows(text, "basic auth")}

    @classmethod
    def from_file(cls, path: str) -> "Passwords":
        """Raises OSError, FileProblem."""
        return cls(Path(path).read_text("utf-8"))

    def user(self, name: str, password: str) -> UserInfo:
        """Raises TokenProblem."""
        digest, user = self._users.get(name, (_NOBODY, None))
        if hmac.compare_digest(digest, _digest(password)) and user is not None:
            return user
        raise TokenProblem("invalid username/password combination")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
