"""What the beam stepper shows: the surviving beams as a tree, and the probabilities of the codes after one of them.

Explained in notebook 06. Everything here is data and marks; `beams.py` puts it on a page.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gensar_lite.decoding.trace import Trace
from gensar_lite.explore.style import FAINT, INK, MUTED, PAPER, ROLES, role_of, shorten, text_colour
from gensar_lite.explore.widgets.scene import Mark, curve, line, rect, text
from gensar_lite.identifiers.table import IdentifierTable

TREE_WIDTH = 1320.0
CODES = (1320.0, 230.0)
TOP, ROW, BOX = 56.0, 44.0, 132.0
BROKEN = "#d55e00"
NOWHERE = "names no item"


def names_of(table: IdentifierTable, view: str) -> list[str]:
    """The codebook of each level."""
    return [table.codebook_names[book] for book in table.codebooks_of[view]]


def percent(logprob: float) -> str:
    """A log-probability as a percentage that stays readable when it is small."""
    share = float(np.exp(logprob))
    return f"{share:.0%}" if share >= 0.095 else f"{share:.1%}" if share >= 0.00095 else f"{share:.0e}"


def tree_height(trace: Trace) -> float:
    """How high the tree of a trace is drawn."""
    return TOP + ROW * max(len(level.code) for level in trace.levels) + 8


def beam_marks(
    trace: Trace, table: IdentifierTable, view: str, step: int, titles: Sequence[str], chosen: tuple[int, int]
) -> list[Mark]:
    """The first `step` levels as a tree from left to right, best beams on top. A box's key is "beam:LEVEL:ROW" (level
    0 is the start); `chosen` is the one whose next codes are shown. Orange and dashed: no item begins like this."""
    names, levels = names_of(table, view), len(trace.levels)
    right = 330.0
    gap = (TREE_WIDTH - right - BOX * levels - 98) / levels
    lefts = [6.0, *(98 + gap + level * (BOX + gap) for level in range(levels))]
    middle = TOP + ROW / 2
    at: list[list[float]] = [[middle]]
    marks = [rect(6, middle - 16, 92, 32, MUTED, key="beam:0:0", tip="the start: history and query are read")]
    marks.append(text(52, middle + 5, "start", 14, anchor="middle", fill=PAPER))
    for number in range(levels):
        left, name = lefts[number + 1], names[number]
        marks.append(text(left, 16, f"level {number + 1} · {name}", 15, weight="bold"))
        if number >= step:
            at.append([])
            marks.append(rect(left, TOP, BOX, ROW * 0.72, "#f6f7f9", stroke=FAINT, width=1))
            marks.append(text(left + BOX / 2, TOP + 20, "not yet written", 12, anchor="middle", fill=MUTED))
            continue
        level = trace.levels[number]
        allowed, size = int(level.allowed.sum()), level.allowed.size
        marks.append(text(left, 36, f"{allowed:,} of {size:,} lead somewhere", 12, fill=MUTED))
        at.append([TOP + ROW * row + ROW / 2 for row in range(len(level.code))])
        wide = BOX + (0 if number else 92 - BOX)
        for row, (parent, code, score, real) in enumerate(
            zip(level.parent, level.code, level.scores, level.real, strict=True)
        ):
            own = float(level.logprob[parent, code])
            y, before = at[-1][row], at[-2][parent]
            stroke = MUTED if real else BROKEN
            marks.append(
                curve((lefts[number] + wide, before), (left, y), stroke, 1 + 7 * float(np.exp(own)), opacity=0.55)
            )
            fill = ROLES[role_of(name)] if real else "#fdf0e7"
            tip = f"{name} {code}: {percent(own)} after its prefix\n{percent(float(score))} for the whole prefix"
            tip += "" if real else "\nno item begins like this"
            look = {} if real else {"stroke": BROKEN, "width": 2}
            marks.append(rect(left, y - 16, BOX, 32, fill, key=f"beam:{number + 1}:{row}", tip=tip, rx=4, **look))
            ink = text_colour(fill)
            marks.append(text(left + 9, y + 5, f"{name} {code}", 14, fill=ink, weight="bold"))
            marks.append(text(left + BOX - 9, y + 5, percent(float(score)), 13, fill=ink, anchor="end"))
            if number + 1 == levels:
                item = int(trace.items[row])
                words = shorten(titles[item], 40) if item >= 0 else NOWHERE
                marks.append(
                    text(
                        left + BOX + 12,
                        y + 5,
                        words,
                        14,
                        fill=INK if item >= 0 else BROKEN,
                        weight=None if item >= 0 else "bold",
                    )
                )
    depth, row = chosen
    if depth < len(at) and row < len(at[depth]) and depth < levels:
        x, w = lefts[depth], 92 if depth == 0 else BOX
        marks.append(rect(x - 4, at[depth][row] - 20, w + 8, 40, "none", stroke=INK, width=2.5, rx=6))
    return marks


def code_marks(trace: Trace, table: IdentifierTable, view: str, chosen: tuple[int, int]) -> list[Mark]:
    """The codes of the level after a beam as bars: as high as they are probable, grey where they lead to no item,
    dark where they went on."""
    depth, row = chosen
    level, name = trace.levels[depth], names_of(table, view)[depth]
    share = np.exp(level.logprob[row])
    went_on = set(level.code[level.parent == row].tolist())
    prefix = " ".join(f"{n} {c}" for n, c in zip(names_of(table, view), level.prefixes[row], strict=False))
    head = f"Level {depth + 1}: the codes of {name} after {prefix or 'the start'}"
    allowed = int(level.allowed[row].sum())
    note = f"{allowed} of {len(share)} lead to an item; dark: among the beams that go on; probabilities add up to {share.sum():.0%}"
    marks = [text(0, 16, head, 15, weight="bold"), text(0, 36, note, 12.5, fill=MUTED)]
    left, bottom, high = 52.0, CODES[1] - 40, CODES[1] - 92
    top = max(float(share.max()), 1e-9)
    for part in (0.0, 0.5, 1.0):
        y = bottom - part * high
        marks.append(line([(left, y), (CODES[0], y)], FAINT if part else MUTED, 1))
        marks.append(
            text(
                left - 8,
                y + 4,
                f"{top * part:.0%}" if top >= 0.1 else f"{top * part:.1%}",
                12,
                anchor="end",
                fill=MUTED,
            )
        )
    wide = (CODES[0] - left) / len(share)
    colour = ROLES[role_of(name)]
    for code, (value, leads) in enumerate(zip(share.tolist(), level.allowed[row].tolist(), strict=True)):
        x, size = left + code * wide + wide * 0.12, max(value / top * high, 1.5 if leads else 0)
        tip = f"{name} {code}: {value:.2%}" + ("" if leads else ", leads to no item")
        if leads or size > 1:
            fill = colour if leads else BROKEN
            strength = 1.0 if code in went_on else 0.35
            marks.append(rect(x, bottom - size, wide * 0.76, size, fill, tip=tip, rx=1, opacity=strength))
        else:
            marks.append(rect(x, bottom + 2, wide * 0.76, 3, FAINT, tip=tip, rx=0))
        if code % max(len(share) // 16, 1) == 0:
            marks.append(text(x + wide * 0.38, bottom + 19, str(code), 11, anchor="middle", fill=MUTED))
    marks.append(text(CODES[0], bottom + 36, f"code of {name}", 12, anchor="end", fill=MUTED))
    return marks


def answers_table(trace: Trace, titles: Sequence[str]) -> pd.DataFrame:
    """The items at the end: place, title, probability."""
    last = trace.levels[-1]
    return pd.DataFrame(
        {
            "": np.arange(1, len(trace.items) + 1),
            "item": [titles[item] if item >= 0 else NOWHERE for item in trace.items],
            "probability": [percent(float(score)) for score in last.scores],
        }
    )


def broken_sentence(trace: Trace, restricted: bool, softmax: str) -> str:
    """What a finished search came to, in words."""
    num, lost = len(trace.items), int((trace.items < 0).sum())
    if restricted:
        return f"{num} beams, {num} items: with the trie, every identifier that is written names an item."
    if not lost:
        return f"Without the trie: this time all {num} identifiers name an item. Take more beams, or another question."
    words = f"Without the trie: {lost} of {num} identifiers name no item. The shop would have nothing to show there."
    if softmax == "trie":
        words += " (This model learned with the trie at its side, so it never had to learn which identifiers exist.)"
    return words
