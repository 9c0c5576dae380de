"""What a mutant is, and all the mutants of a file in Python or C.

A mutant is the file with one small change that ought to be a bug: a comparison's limit moved or its sense
reversed, `and` for `or`, a condition negated, a number one more or less, an operator's opposite, a statement
dropped. Its name says where and what, without line numbers, so that it stays the same while code around it
changes.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What takes an operator's place, in either language.
SWAPS = {
    "<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"], "==": ["!="], "!=": ["=="],
    "is": ["is not"], "is not": ["is"], "in": ["not in"], "not in": ["in"],
    "and": ["or"], "or": ["and"], "&&": ["||"], "||": ["&&"],
    "+": ["-"], "-": ["+"], "*": ["+"], "/": ["*"], "//": ["*"], "%": ["*"],
    "&": ["|"], "|": ["&"], "^": ["|"], "<<": [">>"], ">>": ["<<"],
    "+=": ["-="], "-=": ["+="], "&=": ["|="], "|=": ["&="], "^=": ["|="], "<<=": [">>="], ">>=": ["<<="],
    "*=": ["+="], "++": ["--"], "--": ["++"],
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """`text` with `new` in place of what is from `start` to `end`."""

    path: Path
    text: str
    start: int
    end: int
    new: str
    name: str = ""

    @property
    def mutated(self) -> str:
        return self.text[: self.start] + self.new + self.text[self.end :]

    @property
    def line(self) -> int:
        return self.text.count("\n", 0, self.start) + 1

    def change(self) -> str:
        """The lines concerned, before and after."""
        first = self.text.rfind("\n", 0, self.start) + 1
        last = self.text.find("\n", self.end)
        before = self.text[first:last]
        after = self.text[first : self.start] + self.new + self.text[self.end : last]
        return f"{' '.join(before.split())} -> {' '.join(after.split())}"


Change = tuple[int, int, str]


def mutants_of(path: Path) -> list[Mutant]:
    """All of them, in the order of the file."""
    text = path.read_text()
    changes, where = (c_changes, c_functions) if path.suffix == ".c" else (python_changes, python_functions)
    functions = where(text)
    seen: Counter[str] = Counter()
    result = []
    for start, end, new in sorted(set(changes(text))):
        mutant = Mutant(path, text, start, end, new)
        inside = [name for first, last, name in functions if first <= start < last]
        name = f"{path.relative_to(ROOT)} {'.'.join(inside) or 'module'}: {mutant.change()}"
        seen[name] += 1
        result.append(
            Mutant(path, text, start, end, new, name + (f" ({seen[name]})" if seen[name] > 1 else ""))
        )
    return result


def swaps(text: str, start: int, operator: str) -> Iterator[Change]:
    for new in SWAPS.get(operator, []):
        yield start, start + len(operator), new


def neighbours(start: int, end: int, value: int, suffix: str = "") -> Iterator[Change]:
    """A number's: one more, and one less unless it is 0."""
    yield start, end, f"{value + 1}{suffix}"
    if value > 0:
        yield start, end, f"{value - 1}{suffix}"


# ---- Python ----


class _Places:
    """Where the nodes of a tree are in its text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = [0]
        for line in text.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    def start(self, node: ast.AST) -> int:
        return self.lines[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]

    def end(self, node: ast.AST) -> int:
        return self.lines[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def between(self, left: ast.AST, right: ast.AST) -> Iterator[Change]:
        """What may take the place of the operator between two operands."""
        first = self.end(left)
        gap = self.text[first : self.start(right)]
        found = re.search(r"not\s+in|is\s+not|\b(?:is|in|and|or)\b|[^\s\w()\\]+", gap)
        if found:
            yield from swaps(self.text, first + found.start(), found[0])


def python_functions(text: str) -> list[tuple[int, int, str]]:
    places = _Places(text)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    return sorted((places.start(node), places.end(node), node.name) for node in nodes)


def python_changes(text: str) -> Iterator[Change]:
    places = _Places(text)
    tree = ast.parse(text)
    for node in ast.walk(tree):
        yield from _python_operators(places, node)
        if isinstance(node, (ast.If, ast.While, ast.IfExp)) and not _is_simple(node.test):
            condition = text[places.start(node.test) : places.end(node.test)]
            yield places.start(node.test), places.end(node.test), f"not ({condition})"
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for statement in ast.walk(node):
                yield from _python_statement(places, statement)


def _is_simple(condition: ast.expr) -> bool:
    """Does a change of its one operator negate it already?"""
    is_comparison = isinstance(condition, ast.Compare) and len(condition.ops) == 1
    return is_comparison or (isinstance(condition, ast.UnaryOp) and isinstance(condition.op, ast.Not))


def _is_text(operand: ast.expr) -> bool:
    """Then % is no operator of numbers."""
    return isinstance(operand, ast.Constant) and isinstance(operand.value, (str, bytes))


def _python_operators(places: _Places, node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        for left, right in zip([node.left, *node.comparators], node.comparators):
            yield from places.between(left, right)
    elif isinstance(node, ast.BoolOp):
        for left, right in zip(node.values, node.values[1:]):
            yield from places.between(left, right)
    elif isinstance(node, ast.BinOp) and not _is_text(node.left):
        yield from places.between(node.left, node.right)
    elif isinstance(node, ast.AugAssign):
        yield from places.between(node.target, node.value)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield places.start(node), places.start(node) + len("not "), ""
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield places.start(node), places.end(node), str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield from neighbours(places.start(node), places.end(node), node.value)


def _python_statement(places: _Places, node: ast.AST) -> Iterator[Change]:
    """A statement dropped; one that returns a value returns none."""
    start, dropped = 0, (ast.Assign, ast.AugAssign, ast.Raise, ast.Break, ast.Continue)
    if isinstance(node, dropped) or (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)):
        start = places.start(node)
        yield start, places.end(node), "pass"
    elif isinstance(node, ast.Return) and not (node.value is None or isinstance(node.value, ast.Constant)):
        yield places.start(node), places.end(node), "return None"


# ---- C, as the core is written: a function's body is between braces at the start of a line ----

_C_BODY = re.compile(r"^[^\n]*?(\w+)\([^;{]*?\)\n\{\n(.*?)^\}\n", re.M | re.S)
_C_TOKEN = re.compile(
    r"(?P<skip>/\*.*?\*/|^\#.*?$|\"[^\"\n]*\"|'[^'\n]*'|__\w+__\s+\w+\([^;]*;)"
    r"|(?P<number>\b(?:0x[0-9a-f]+|\d+)(?P<suffix>u?)\b)"
    r"|(?P<word>\w+)"
    r"|(?P<operator><<=|>>=|->|\+\+|--|&&|\|\||[<>=!+\-*/&|^]=|<<|>>|[<>+\-*/%&|^!?])"
    r"|(?P<other>\S)",
    re.M | re.S,
)
_C_STATEMENT = re.compile(
    r"^ +(?!return\b|if\b|else\b|for\b|while\b|case\b|default\b|do\b|goto\b)"
    r"(?!(?:static |const )*(?:unsigned|int|\w+_t)\b(?! *\())([\w*(+\-].*);(?: */\*.*)?$",
    re.M,
)
_C_CONDITION = re.compile(r"\b(?:if|while) \(")
_C_SIMPLE = re.compile(r"![^&|<>=]*|[^&|]*(?:[<>=!]=|[<>])[^&|]*")  # a change of its operator negates it


def c_functions(text: str) -> list[tuple[int, int, str]]:
    return [(found.start(), found.end(), found[1]) for found in _C_BODY.finditer(text)]


def c_changes(text: str) -> Iterator[Change]:
    for body in _C_BODY.finditer(text):
        yield from _c_tokens(text, body.start(2), body.end(2))
        for found in _C_CONDITION.finditer(text, body.start(2), body.end(2)):
            end = _closing(text, found.end() - 1)
            condition = text[found.end() : end]
            if not _C_SIMPLE.fullmatch(condition.replace("->", ".")):
                yield found.end(), end, f"!({condition})"
        for found in _C_STATEMENT.finditer(text, body.start(2), body.end(2)):
            before = text[: found.start()].rstrip()
            if before.endswith((";", "{", "}", ")", "else", "*/")):  # else it began on a line before
                yield found.start(1), found.end(1), ""


def _closing(text: str, opening: int) -> int:
    """Where the parenthesis is closed that is opened there."""
    depth = 0
    for at in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return at
    raise ValueError(f"a parenthesis is not closed: {text[opening : opening + 80]!r}")


def _c_tokens(text: str, start: int, end: int) -> Iterator[Change]:
    before = ""
    for token in _C_TOKEN.finditer(text, start, end):
        if token["skip"]:
            continue
        if token["number"]:
            value = int(token["number"].removesuffix("u"), 0)
            yield from neighbours(token.start(), token.end(), value, token["suffix"])
        elif token["operator"] == "?":  # never, and always
            yield token.start(), token.end(), "&& 0 ?"
            yield token.start(), token.end(), "|| 1 ?"
        elif token["operator"] == "!":
            yield token.start(), token.end(), ""
        elif token["operator"] and token["operator"] != "*":  # which mostly is a pointer's
            has_left = re.fullmatch(r"\w+|[\])]", before) and before != "return"
            if has_left or token["operator"] in ("++", "--"):
                yield from swaps(text, token.start(), token["operator"])
        before = token[0]
