"""Text to tokens. Source: the CEL language definition, "Syntax"."""

import re
from typing import Any, Final, NamedTuple

from tiphys.machinery.cel.errors import Issue, place
from tiphys.machinery.cel.values import UInt

MAX_INT: Final = 2**63
MAX_UINT: Final = 2**64

_TOKEN: Final = re.compile(
    r"""(?P<space>(?:[ \t\r\n\f]+|//[^\n]*)+)
      |(?P<string>(?P<prefix>[rR]?[bB]?|[bB][rR])(?P<body>
            \"\"\"(?:\\.|(?!\"\"\").)*\"\"\" | '''(?:\\.|(?!''').)*'''
          | "(?:\\.|[^"\\\r\n])*" | '(?:\\.|[^'\\\r\n])*'))
      |(?P<double>[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.[0-9]+(?:[eE][-+]?[0-9]+)?)
      |(?P<number>(?:0x[0-9a-fA-F]+|[0-9]+))(?P<unsigned>[uU])?
      |(?P<ident>[_a-zA-Z][_a-zA-Z0-9]*)
      |(?P<op>==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_RAW: Final = re.compile(
    r"""(?P<prefix>[rR][bB]?|[bB][rR])(?P<body>\"\"\".*?\"\"\"|'''.*?'''|"[^"\r\n]*"|'[^'\r\n]*')""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL
)
_SIMPLE: Final = dict(zip("abfnrtv\\?\"'`", "\a\b\f\n\r\t\v\\?\"'`", strict=True))


class Token(NamedTuple):
    """``kind`` is ``const``, ``ident``, ``end`` or the operator itself."""

    kind: str
    pos: int
    text: str
    value: Any = None


class Lexed(NamedTuple):
    tokens: list[Token]
    issues: list[Issue]


def tokens(source: str) -> Lexed:
    """All tokens, closed by ``end``. What is no token is an issue and left out."""
    found: list[Token] = []
    issues: list[Issue] = []
    at = 0
    while at < len(source):
        match = _RAW.match(source, at) or _TOKEN.match(source, at)
        if match is None:
            issues.append(Issue(*place(source, at), f"Syntax error: token recognition error at: '{source[at]}'"))
            at += 1
            continue
        if match.re is _RAW or match["space"] is None:
            token, fault = _token(match)
            found.append(token)
            if fault:
                issues.append(Issue(*place(source, at), fault))
        at = match.end()
    found.append(Token("end", len(source), "<EOF>"))
    return Lexed(found, issues)


def _token(match: re.Match[str]) -> tuple[Token, str]:
    pos, text = match.start(), match[0]
    if match.re is _RAW:
        return _string(pos, text, match["prefix"], match["body"])
    if match["string"]:
        return _string(pos, text, match["prefix"], match["body"])
    if match["double"]:
        value = float(text)
        return Token("const", pos, text, value), "" if value != float("inf") else "invalid double literal"
    if match["number"]:
        return _integer(pos, text, match["number"], bool(match["unsigned"]))
    if match["ident"]:
        return Token("ident", pos, text), ""
    return Token(text, pos, text), ""


def _integer(pos: int, text: str, digits: str, unsigned: bool) -> tuple[Token, str]:
    # What is longer than any number of 64 bits is not even converted.
    short = digits if len(digits) < 40 else "9" * 40
    value = int(short, 16) if short.startswith("0x") else int(short)
    if unsigned:
        token = Token("const", pos, text, UInt(value % MAX_UINT))
        return token, "" if value < MAX_UINT else "invalid uint literal"
    # One more than the greatest is allowed here because a minus may stand before it; the parser looks.
    return Token("const", pos, text, value), "" if value <= MAX_INT else "invalid int literal"


def _string(pos: int, text: str, prefix: str, body: str) -> tuple[Token, str]:
    quotes = 3 if len(body) >= 6 and body[:3] in ('"""', "'''") else 1
    inner, is_bytes = body[quotes:-quotes], "b" in prefix.lower()
    if "r" in prefix.lower():
        return Token("const", pos, text, inner.encode() if is_bytes else inner), ""
    try:
        value = _unescaped_bytes(inner) if is_bytes else _ESCAPE.sub(_unescaped, inner)
    except ValueError as error:
        return Token("const", pos, text, b"" if is_bytes else ""), str(error)
    return Token("const", pos, text, value), ""


def _code(match: re.Match[str]) -> int:
    for group, base in ((2, 16), (3, 16), (4, 16), (5, 8)):
        if match[group]:
            return int(match[group], base)
    raise ValueError("Syntax error: token recognition error at: '" + match[0] + "'")


def _unescaped(match: re.Match[str]) -> str:
    if match[1]:
        return _SIMPLE[match[1]]
    code = _code(match)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError("invalid unicode code point")
    return chr(code)


def _unescaped_bytes(inner: str) -> bytes:
    """In bytes, ``\\x`` and octal escapes are bytes, ``\\u`` is not allowed."""
    parts, at = [], 0
    for match in _ESCAPE.finditer(inner):
        parts.append(inner[at : match.start()].encode())
        if match[3] or match[4]:
            raise ValueError("unable to unescape string")
        parts.append(_SIMPLE[match[1]].encode() if match[1] else bytes([_code(match)]))
        at = match.end()
    return b"".join([*parts, inner[at:].encode()])
