"""Conditions on rows, as people type them: `rating >= 4`, `event in view,cart`, `service = feed and clicked = 1`.

A condition is parsed into a small tree and evaluated on columns of text with Arrow; it never becomes
SQL or Python. Comparisons with a number compare numbers (a cell that is none fulfils no comparison),
all others compare texts. Names and values with blanks or signs stand in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from gensar_lite.data.storage import DataError

_TOKEN = re.compile(
    r"""\s*(?: (?P<quoted>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | `[^`]*`)
          | (?P<sign>==|!=|<>|>=|<=|=|>|<|\(|\)|,)
          | (?P<word>[^\s"'`=<>!(),]+) )""",
    re.VERBOSE,
)
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_COMPARE: dict[str, Callable] = {
    "=": pc.equal,
    "!=": pc.not_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
    "<": pc.less,
    "<=": pc.less_equal,
}


@dataclass(frozen=True)
class Comparison:
    """One column against values: `sign` is one of = != > >= < <= in, not in."""

    column: str
    sign: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Junction:
    """`word` ("and", "or") between two conditions."""

    word: str
    left: Condition
    right: Condition


Condition = Comparison | Junction


def parse_condition(text: str) -> Condition:
    """The tree of a condition; raises `DataError` that quotes the place where it stops making sense."""
    parser = _Parser(text)
    try:
        condition = parser.either()
    except RecursionError:
        raise DataError(f"The condition {text[:40]!r}… has too many parentheses inside each other") from None
    if parser.kind != "end":
        parser.fail("expected 'and', 'or' or the end")
    return condition


class _Parser:
    """Recursive descent over tokens (kind, text); "and" binds tighter than "or"."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._tokens()
        self.kind, self.token = next(self.tokens)

    def _tokens(self) -> Iterator[tuple[str, str]]:
        place = 0
        while self.text[place:].strip():
            match = _TOKEN.match(self.text, place)
            if match is None:
                raise DataError(
                    f'The condition {self.text!r} cannot be read at {self.text[place:].strip()!r}; write it like "rating >= 4" or "event in view,cart"'
                )
            place = match.end()
            kind = str(match.lastgroup)
            token = match[kind]
            if kind == "quoted":
                token = re.sub(r"\\(.)", r"\1", token[1:-1])
            yield kind, token
        yield "end", ""

    def fail(self, wanted: str) -> None:
        found = repr(self.token) if self.kind != "end" else "the end"
        raise DataError(
            f'The condition {self.text!r} cannot be read: {wanted}, found {found}; write it like "rating >= 4", "event in view,cart" or "service = feed and clicked = 1"'
        )

    def step(self) -> str:
        token = self.token
        self.kind, self.token = next(self.tokens)
        return token

    def is_word(self, word: str) -> bool:
        return self.kind == "word" and self.token.lower() == word

    def either(self) -> Condition:
        left = self.both()
        while self.is_word("or"):
            self.step()
            left = Junction("or", left, self.both())
        return left

    def both(self) -> Condition:
        left = self.one()
        while self.is_word("and"):
            self.step()
            left = Junction("and", left, self.one())
        return left

    def one(self) -> Condition:
        if self.kind == "sign" and self.token == "(":
            self.step()
            inside = self.either()
            if self.token != ")":
                self.fail("expected ')'")
            self.step()
            return inside
        if self.kind not in ("word", "quoted"):
            self.fail("expected the name of a column")
        column = self.step()
        negated = self.is_word("not")
        if negated:
            self.step()
        if self.is_word("in"):
            self.step()
            bracket = self.kind == "sign" and self.token == "("
            if bracket:
                self.step()
            values = [self.value()]
            while self.kind == "sign" and self.token == ",":
                self.step()
                values.append(self.value())
            if bracket:
                if self.token != ")":
                    self.fail("expected ')'")
                self.step()
            return Comparison(column, "not in" if negated else "in", tuple(values))
        if negated or self.kind != "sign" or self.token in "(),":
            self.fail("expected one of = != > >= < <= or 'in'")
        sign = {"==": "=", "<>": "!="}.get(self.token, self.token)
        self.step()
        return Comparison(column, sign, (self.value(),))

    def value(self) -> str:
        if self.kind not in ("word", "quoted"):
            self.fail("expected a value")
        return self.step()


def columns_of(condition: Condition) -> list[str]:
    """The names in a condition, each once."""
    if isinstance(condition, Comparison):
        return [condition.column]
    return list(dict.fromkeys([*columns_of(condition.left), *columns_of(condition.right)]))


def as_numbers(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """float64 of a column of text; null where a cell is no number."""
    good = pc.match_substring_regex(column, _NUMBER)
    return pc.cast(pc.utf8_trim_whitespace(pc.if_else(good, column, None)), pa.float64())


def evaluate(condition: Condition, columns: dict[str, pa.Array]) -> pa.Array:
    """(R,) Boolean: the rows that fulfil the condition. A missing cell is the empty text, and no number."""
    if isinstance(condition, Junction):
        left, right = evaluate(condition.left, columns), evaluate(condition.right, columns)
        return pc.and_(left, right) if condition.word == "and" else pc.or_(left, right)
    text = pc.fill_null(columns[condition.column], "")
    if condition.sign in ("in", "not in", "=", "!="):
        inside = pc.is_in(pc.utf8_trim_whitespace(text), value_set=pa.array(condition.values, pa.string()))
        numbers = [float(v) for v in condition.values if re.match(_NUMBER, v)]
        if numbers:  # 1 is 1.0
            inside = pc.or_(inside, pc.is_in(as_numbers(text), value_set=pa.array(numbers, pa.float64())))
        return pc.invert(inside) if condition.sign in ("not in", "!=") else inside
    value = condition.values[0]
    if re.match(_NUMBER, value):
        return pc.fill_null(_COMPARE[condition.sign](as_numbers(text), float(value)), False)
    return _COMPARE[condition.sign](text, value)  # dates such as 2023-05-02 compare as texts
