"""Why bytes are not JSON, in the words of Go's scanner.

Runs only after decoding has failed. Needs no stack of calls, whatever the nesting.
"""

from typing import Final

from tiphys.machinery.goformat import quote

MAX_DEPTH: Final = 10_000
_SPACE: Final = b" \t\r\n"
_WORDS: Final = {0x74: b"true", 0x66: b"false", 0x6E: b"null"}
_DIGITS: Final = b"0123456789"
_END: Final = "unexpected end of JSON input"


class _Fault(Exception):
    pass


def syntax_error(data: bytes) -> str:
    """The sentence for the first fault; empty if there is none."""
    try:
        _Scanner(data).document()
    except _Fault as fault:
        return str(fault)
    return ""


def _shown(byte: int) -> str:
    if byte == 0x27:
        return r"'\''"
    if byte == 0x22:
        return "'\"'"
    return f"'{quote(chr(byte))[1:-1]}'"


class _Scanner:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def document(self) -> None:
        stack: list[int] = []
        self._skip()
        self._begin(stack, "looking for beginning of value")
        while stack:
            self._skip()
            self._continue(stack)
        self._skip()
        if self._at < len(self._data):
            raise self._unexpected("after top-level value")

    def _skip(self) -> None:
        while self._at < len(self._data) and self._data[self._at] in _SPACE:
            self._at += 1

    def _peek(self) -> int:
        if self._at >= len(self._data):
            raise _Fault(_END)
        return self._data[self._at]

    def _unexpected(self, where: str) -> _Fault:
        return _Fault(f"invalid character {_shown(self._peek())} {where}")

    def _begin(self, stack: list[int], where: str) -> None:
        """One value: scalars whole, of collections the opening bracket."""
        byte = self._peek()
        if byte in b"[{":
            if len(stack) >= MAX_DEPTH:
                raise _Fault("exceeded max depth")
            stack.append(byte)
            self._at += 1
            self._open(stack)
        elif byte == 0x22:
            self._string()
        elif byte in _WORDS:
            self._word(_WORDS[byte])
        elif byte == 0x2D or byte in _DIGITS:
            self._number()
        else:
            raise self._unexpected(where)

    def _open(self, stack: list[int]) -> None:
        """What stands behind an opening bracket."""
        self._skip()
        closing = 0x5D if stack[-1] == 0x5B else 0x7D
        if self._peek() == closing:
            self._at += 1
            stack.pop()
        elif closing == 0x5D:
            self._begin(stack, "looking for beginning of value")
        else:
            self._pair(stack)

    def _pair(self, stack: list[int]) -> None:
        self._skip()
        if self._peek() != 0x22:
            raise self._unexpected("looking for beginning of object key string")
        self._string()
        self._skip()
        if self._peek() != 0x3A:
            raise self._unexpected("after object key")
        self._at += 1
        self._skip()
        self._begin(stack, "looking for beginning of value")

    def _continue(self, stack: list[int]) -> None:
        """What stands behind a value inside a collection."""
        is_list = stack[-1] == 0x5B
        byte = self._peek()
        if byte == (0x5D if is_list else 0x7D):
            self._at += 1
            stack.pop()
        elif byte != 0x2C:
            raise self._unexpected("after array element" if is_list else "after object key:value pair")
        else:
            self._at += 1
            self._skip()
            if is_list:
                self._begin(stack, "looking for beginning of value")
            else:
                self._pair(stack)

    def _string(self) -> None:
        self._at += 1
        while True:
            byte = self._peek()
            if byte == 0x22:
                self._at += 1
                return
            if byte == 0x5C:
                self._at += 1
                self._escape()
            elif byte < 0x20:
                raise self._unexpected("in string literal")
            else:
                self._at += 1

    def _escape(self) -> None:
        byte = self._peek()
        if byte not in b'bfnrt\\/"u':
            raise self._unexpected("in string escape code")
        self._at += 1
        if byte == 0x75:
            for _ in range(4):
                if self._peek() not in b"0123456789abcdefABCDEF":
                    raise self._unexpected("in \\u hexadecimal character escape")
                self._at += 1

    def _word(self, word: bytes) -> None:
        for index, expected in enumerate(word):
            if index and self._peek() != expected:
                raise self._unexpected(f"in literal {word.decode()} (expecting {_shown(expected)})")
            self._at += 1

    def _number(self) -> None:
        if self._data[self._at] == 0x2D:
            self._at += 1
        if self._peek() not in _DIGITS:
            raise self._unexpected("in numeric literal")
        if self._data[self._at] == 0x30:
            self._at += 1
        else:
            self._digits()
        if self._here(b"."):
            self._at += 1
            if self._peek() not in _DIGITS:
                raise self._unexpected("after decimal point in numeric literal")
            self._digits()
        if self._here(b"eE"):
            self._at += 1
            if self._here(b"+-"):
                self._at += 1
            if self._peek() not in _DIGITS:
                raise self._unexpected("in exponent of numeric literal")
            self._digits()

    def _here(self, choices: bytes) -> bool:
        return self._at < len(self._data) and self._data[self._at] in choices

    def _digits(self) -> None:
        while self._here(_DIGITS):
            self._at += 1
