"""Tokens to a tree, by precedence climbing. Source: the CEL language definition, "Grammar"."""

from collections.abc import Callable
from functools import partial
from typing import Final, NoReturn

from tiphys.machinery.cel import macros
from tiphys.machinery.cel.ast import Call, Const, Ident, ListNode, MapNode, Node, Select, StructNode
from tiphys.machinery.cel.errors import CompileError, Issue, place
from tiphys.machinery.cel.lexer import MAX_INT, Token, tokens

MAX_DEPTH: Final = 250
MAX_SIZE: Final = 100_000

RESERVED: Final = frozenset(
    {
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop"),
        *("package", "namespace", "return", "var", "void", "while"),
    }
)
_WORDS: Final = {"true": True, "false": False, "null": None}
_LEVELS: Final = {
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 1),
    **dict.fromkeys("+-", 2),
    **dict.fromkeys("*/%", 3),
}
_EXPECTED: Final = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)


def parse(source: str) -> Node:
    """The tree, macros expanded. Raises CompileError."""
    if len(source) > MAX_SIZE:
        message = f"expression code point size exceeds limit: size: {len(source)}, limit {MAX_SIZE}"
        raise CompileError("", [Issue(1, 0, message)])
    lexed = tokens(source)
    if lexed.issues:
        raise CompileError(source, lexed.issues)
    return _Parser(source, lexed.tokens).whole()


class _Parser:
    def __init__(self, source: str, found: list[Token]) -> None:
        self._source = source
        self._tokens = found
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._expression()
        if self._peek.kind != "end":
            self._fail(self._peek.pos, f"Syntax error: extraneous input '{self._peek.text}' expecting <EOF>")
        return node

    @property
    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _fail(self, pos: int, message: str) -> NoReturn:
        raise CompileError(self._source, [Issue(*place(self._source, pos), message)])

    def _accept(self, kind: str) -> Token | None:
        return self._next() if self._peek.kind == kind else None

    def _expect(self, kind: str) -> Token:
        token = self._peek
        if token.kind != kind:
            shown = "IDENTIFIER" if kind == "ident" else f"'{kind}'"
            self._fail(token.pos, f"Syntax error: mismatched input '{token.text}' expecting {shown}")
        return self._next()

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise CompileError("", [Issue(1, 0, f"expression recursion limit exceeded: {MAX_DEPTH}")])

    def _expression(self) -> Node:
        self._deeper()
        node = self._junction("||")
        question = self._accept("?")
        if question:
            yes = self._junction("||")
            self._expect(":")
            node = Call(question.pos, "_?_:_", None, [node, yes, self._expression()])
        self._depth -= 1
        return node

    def _junction(self, operator: str) -> Node:
        """``a || b || c`` as a balanced tree, so that long chains are not deep."""
        below: Callable[[], Node] = partial(self._junction, "&&") if operator == "||" else partial(self._binary, 1)
        terms: list[Node] = [below()]
        positions: list[int] = []
        while token := self._accept(operator):
            positions.append(token.pos)
            terms.append(below())
        return _balanced(f"_{operator}_", terms, positions, 0, len(positions) - 1) if positions else terms[0]

    def _binary(self, level: int) -> Node:
        left = self._unary()
        count = 0
        while (found := self._level()) >= level:
            token = self._next()
            count += 1
            if count > MAX_DEPTH:
                raise CompileError("", [Issue(1, 0, f"expression recursion limit exceeded: {MAX_DEPTH}")])
            right = self._unary()
            while self._level() > found:
                right = self._continued(right, found + 1)
            name = "@in" if token.text == "in" else f"_{token.text}_"
            left = Call(token.pos, name, None, [left, right])
        return left

    def _continued(self, left: Node, level: int) -> Node:
        """The rest of a tighter binding behind its first operand."""
        while (found := self._level()) >= level:
            token = self._next()
            right = self._unary()
            while self._level() > found:
                right = self._continued(right, found + 1)
            left = Call(token.pos, f"_{token.text}_", None, [left, right])
        return left

    def _level(self) -> int:
        token = self._peek
        if token.kind == "ident":
            return 1 if token.text == "in" else 0
        return _LEVELS.get(token.kind, 0)

    def _unary(self) -> Node:
        token = self._peek
        if token.kind not in ("!", "-"):
            return self._member()
        count = 0
        while self._accept(token.kind):
            count += 1
        following = self._peek
        if token.kind == "-" and count == 1 and following.kind == "const" and type(following.value) in (int, float):
            self._tokens[self._at] = following._replace(value=-following.value, pos=token.pos)
            return self._member(negative=True)
        operand = self._member() if self._peek.kind not in ("!", "-") else self._nested_unary()
        # Pairs cancel each other out, as in the reference grammar.
        return Call(token.pos, f"{token.kind}_", None, [operand]) if count % 2 else operand

    def _nested_unary(self) -> Node:
        self._deeper()
        node = self._unary()
        self._depth -= 1
        return node

    def _member(self, negative: bool = False) -> Node:
        node = self._primary(negative)
        depth = 0
        while self._peek.kind in (".", "["):
            depth += 1
            if depth > MAX_DEPTH:
                raise CompileError("", [Issue(1, 0, f"expression recursion limit exceeded: {MAX_DEPTH}")])
            node = self._index(node) if self._peek.kind == "[" else self._selection(node)
        return node

    def _index(self, node: Node) -> Node:
        token = self._next()
        name = "_[?_]" if self._accept("?") else "_[_]"
        node = Call(token.pos, name, None, [node, self._expression()])
        self._expect("]")
        return node

    def _selection(self, node: Node) -> Node:
        dot = self._next()
        optional = bool(self._accept("?"))
        name = self._expect("ident")
        opened = None if optional else self._accept("(")
        if opened is None:
            if not optional and self._peek.kind == "{" and _qualified(node):
                return self._struct(f"{_qualified(node)}.{name.text}")
            return Select(dot.pos, node, name.text, optional=optional)
        return self._call(opened.pos, name.text, node, self._arguments(")"))

    def _call(self, pos: int, name: str, target: Node | None, args: list[Node]) -> Node:
        try:
            return macros.expanded(pos, name, target, args) or Call(pos, name, target, args)
        except macros.MacroError as error:
            self._fail(error.pos, str(error))

    def _arguments(self, closing: str) -> list[Node]:
        found: list[Node] = []
        if not self._accept(closing):
            found.append(self._expression())
            while self._accept(","):
                found.append(self._expression())
            self._expect(closing)
        return found

    def _primary(self, negative: bool = False) -> Node:
        token = self._peek
        match token.kind:
            case "const":
                self._next()
                if not negative and type(token.value) is int and token.value >= MAX_INT:
                    self._fail(token.pos, "invalid int literal")
                return Const(token.pos, token.value)
            case "ident" if token.text != "in":
                return self._identifier(self._next(), "")
            case ".":
                self._next()
                return self._identifier(self._expect("ident"), ".")
            case "(":
                self._next()
                node = self._expression()
                self._expect(")")
                return node
            case "[":
                self._next()
                return self._list(token.pos)
            case "{":
                self._next()
                return self._map(token.pos)
        return self._fail(token.pos, f"Syntax error: mismatched input '{token.text}' expecting {_EXPECTED}")

    def _identifier(self, token: Token, dot: str) -> Node:
        if token.text in _WORDS and not dot:
            return Const(token.pos, _WORDS[token.text])
        opened = self._accept("(")
        if opened:
            return self._call(opened.pos, token.text, None, self._arguments(")"))
        if token.text in RESERVED:
            self._fail(token.pos, f"reserved identifier: {token.text}")
        if self._peek.kind == "{":
            return self._struct(token.text)
        return Ident(token.pos, token.text)

    def _list(self, pos: int) -> Node:
        items: list[Node] = []
        optional: set[int] = set()
        while not self._accept("]"):
            if self._accept("?"):
                optional.add(len(items))
            items.append(self._expression())
            if not self._accept(","):
                self._expect("]")
                break
        return ListNode(pos, items, frozenset(optional))

    def _map(self, pos: int) -> Node:
        entries: list[tuple[Node, Node, bool]] = []
        while not self._accept("}"):
            optional = bool(self._accept("?"))
            key = self._expression()
            self._expect(":")
            entries.append((key, self._expression(), optional))
            if not self._accept(","):
                self._expect("}")
                break
        return MapNode(pos, entries)

    def _struct(self, name: str) -> Node:
        opened = self._expect("{")
        fields: list[tuple[int, str, Node, bool]] = []
        while not self._accept("}"):
            optional = bool(self._accept("?"))
            field = self._expect("ident")
            colon = self._expect(":")
            fields.append((colon.pos, field.text, self._expression(), optional))
            if not self._accept(","):
                self._expect("}")
                break
        return StructNode(opened.pos, name, fields)


def _balanced(name: str, terms: list[Node], positions: list[int], low: int, high: int) -> Node:
    middle = (low + high + 1) // 2
    left = terms[middle] if middle == low else _balanced(name, terms, positions, low, middle - 1)
    right = terms[middle + 1] if middle == high else _balanced(name, terms, positions, middle + 1, high)
    return Call(positions[middle], name, None, [left, right])


def _qualified(node: Node) -> str:
    """``a.b.c`` of selections that may be a type's name; empty for anything else."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.test and not node.optional:
        head = _qualified(node.operand)
        return f"{head}.{node.field}" if head else ""
    return ""


qualified_name = _qualified
