"""Trees of identifiers that fold and unfold: what begins alike, and what a beam search keeps.

Explained in notebooks 04 and 06. A notebook and the report show a tree as a nested list, a terminal as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

from gensar_lite.explore.beams import trace_beams
from gensar_lite.explore.codes import Identifiers
from gensar_lite.explore.style import ROLES, role_of, shorten, text_colour

LOOKS = "".join(
    f".code-tree code.{role} {{ background: {colour}; color: {text_colour(colour)}; }}"
    for role, colour in ROLES.items()
)
STYLE = f"""<style>.code-tree {{ line-height: 1.7; }} .code-tree ul {{ list-style: none; margin: 0; padding-left: 1.6em; }}
.code-tree summary {{ cursor: pointer; }} .code-tree code {{ padding: .05em .4em; border-radius: .25em; }} .code-tree .titles, .code-tree .lost {{ opacity: .7; }}
{LOOKS}</style>"""


@dataclass
class Branch:
    """A code (none: what stands for several), words about it, titles of items, and what continues it; `lost` is not gone on with."""

    code: str
    about: str
    titles: str = ""
    lost: bool = False
    branches: list[Branch] = field(default_factory=list)

    def lines(self, depth: int = 0) -> list[str]:
        own = "  ".join(filter(None, (self.code, self.about, self.titles)))
        return ["   " * depth + own, *(line for branch in self.branches for line in branch.lines(depth + 1))]

    def html(self) -> str:
        chip = f'<code class="{role_of(self.code[1:])}">{escape(self.code)}</code> ' if self.code else ""
        titles = f' <span class="titles" dir="auto">{escape(self.titles)}</span>' if self.titles else ""
        row = f"{chip}{escape(self.about)}{titles}"
        if self.branches:
            inside = "".join(branch.html() for branch in self.branches)
            row = f"<details open><summary>{row}</summary><ul>{inside}</ul></details>"
        return f'<li class="lost">{row}</li>' if self.lost else f"<li>{row}</li>"


@dataclass
class Tree:
    """Branches under a heading."""

    head: str
    branches: list[Branch]

    def __repr__(self) -> str:
        return "\n".join([self.head, *(line for branch in self.branches for line in branch.lines(1))])

    def _repr_html_(self) -> str:
        inside = "".join(branch.html() for branch in self.branches)
        return f'{STYLE}<div class="code-tree"><p>{escape(self.head)}</p><ul>{inside}</ul></div>'


def code_tree(
    table: Identifiers,
    titles: Sequence[str],
    view: str = "semantic",
    prefix: Sequence[int] = (),
    num_branches: Sequence[int] = (4, 2, 2),
) -> Tree:
    """The commonest identifier prefixes of a view, with titles (N,) of some of the items below each.

    Level by level the `num_branches` commonest codes are shown, and one row for the others. `prefix` starts below one branch.
    """
    codes = np.asarray(table.codes[view])
    inside = np.flatnonzero((codes[:, : len(prefix)] == np.asarray(prefix, codes.dtype).reshape(1, -1)).all(axis=1))
    if not len(inside):
        raise ValueError(f"no {view} identifier starts with {tuple(prefix)}")
    names = [table.codebook_names[book] for book in np.asarray(table.codebooks_of[view])]

    def below(members: np.ndarray, level: int) -> list[Branch]:
        depth = level - len(prefix)
        if depth == len(num_branches) or level == codes.shape[1]:
            return []
        values, counts = np.unique(codes[members, level], return_counts=True)
        order = np.lexsort((values, -counts))
        kept = order[: num_branches[depth]] if len(order) > num_branches[depth] + 1 else order
        found = []
        for o in kept:
            own = members[codes[members, level] == values[o]]
            branches = below(own, level + 1)
            shown = "" if branches else " · ".join(shorten(titles[item], 60) for item in own[:2])
            found.append(Branch(f"<{names[level]}_{values[o]}>", _count(counts[o]), shown, branches=branches))
        if rest := len(order) - len(kept):
            found.append(Branch("", f"and {rest} codes with {_count(counts[order[len(kept) :]].sum())}"))
        return found

    start = "".join(f"<{name}_{code}>" for name, code in zip(names, prefix, strict=False))
    head = f"{view} identifiers{f' below {start}' if start else ''}: {_count(len(inside))}"
    return Tree(head, below(inside, len(prefix)))


def beam_tree(
    codes: np.ndarray,
    logprobs: np.ndarray,
    titles: Sequence[str],
    names: Sequence[str],
    num_beams: int = 4,
    num_lost: int = 1,
) -> Tree:
    """What a beam search keeps on each level, with its place among all of that level, and the best `num_lost` that it drops.

    `codes` (N, L), `logprobs` (N,) and `titles` (N,) of all items, `names` (L,) of the codebooks ("m1").
    """
    above = [root := Branch("", "")]
    number = {tuple(row): item for item, row in enumerate(np.asarray(codes).tolist())}
    for level, name in zip(trace_beams(codes, logprobs, num_beams), names, strict=True):
        kept: list[Branch] = []
        for place, (code, parent) in enumerate(zip(level.prefixes, level.parent, strict=True)):
            if (lost := not level.kept[place]) and place >= len(kept) + num_lost:
                break
            about = f"{np.exp(level.logprobs[place]):.1%}, {'dropped as' if lost else 'place'} {place + 1}"
            title = titles[number[tuple(code.tolist())]] if tuple(code.tolist()) in number else ""
            above[parent].branches.append(branch := Branch(f"<{name}_{code[-1]}>", about, title, lost))
            kept += [] if lost else [branch]
        above = kept
    return Tree(
        f"a beam search with {num_beams} beams: the probability of each prefix, and its place on its level",
        root.branches,
    )


def _count(num: int) -> str:
    return f"{num:,} item{'' if num == 1 else 's'}"
