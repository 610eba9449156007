"""Pieces that all explorers share: the frame, the line that speaks, tables with codes as coloured chips."""

from __future__ import annotations

import html
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pandas as pd

from gensar_lite.data.storage import DataError
from gensar_lite.explore.style import ROLES, role_of, text_colour
from gensar_lite.identifiers.table import IdentifierTable

NUMBERS = "gl-num"


@cache
def stylesheet() -> str:
    """The style of all explorers."""
    return f"<style>{Path(__file__).with_name('panels.css').read_text(encoding='utf-8')}</style>"


class Explorer(widgets.VBox):
    """The frame of an explorer: `message` says in place what is wrong or what came out; `heading` what it is for."""

    def __init__(self, heading: str, about: str) -> None:
        self.message = widgets.HTML()
        self._busy = False
        top = widgets.HTML(
            f'{stylesheet()}<div class="gl-head">{escape(heading)}</div><div class="gl-note">{escape(about)}</div>'
        )
        super().__init__([top])
        self.add_class("gl-explorer")
        self._top = top

    def fill(self, *parts: widgets.Widget) -> None:
        """Put the parts below the heading, the message line first."""
        self.children = (self._top, self.message, *parts)

    def say(self, sentence: str) -> None:
        """Tell something in place; nothing for an empty sentence."""
        self.message.value = f'<div class="gl-say" role="status">{escape(sentence)}</div>' if sentence else ""

    def warn(self, sentence: str) -> None:
        """Tell what is wrong in place."""
        self.message.value = f'<div class="gl-warn" role="alert">{escape(sentence)}</div>'

    def handle(self, call: Callable[[], None]) -> None:
        """Do what a control asks for, unless the explorer itself moved that control; what goes wrong is said in place."""
        if self._busy:
            return
        self._busy = True
        self.say("")
        with self.guarded():
            call()
        self._busy = False

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Whatever goes wrong inside is said in place, warnings too: no traceback in a page."""
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always", UserWarning)
                yield
            for warning in told:
                if warning.category is UserWarning:
                    self.warn(first_upper(str(warning.message)))
        except (DataError, ValueError) as error:
            self.warn(first_upper(str(error)))
        except Exception as error:  # the page goes on, and the reader can report it
            self.warn(
                f"That did not work ({type(error).__name__}: {error}). Try something else, or load the page again."
            )


def first_upper(sentence: str) -> str:
    """A sentence that begins with a capital letter (where it begins with a word) and ends with a full stop."""
    word = sentence.split(" ", 1)[0]
    return (
        (sentence[:1].upper() if word.isalpha() else sentence[:1])
        + sentence[1:]
        + ("" if sentence.endswith((".", "!", "?")) else ".")
    )


def escape(value: Any) -> str:
    """Text as HTML shows it."""
    return html.escape(str(value))


def chips(table: IdentifierTable, view: str, codes: Sequence[int]) -> str:
    """The first codes of an identifier as HTML, coloured by what their codebook is for."""
    names = [table.codebook_names[book] for book in table.codebooks_of[view]]
    parts = []
    for name, code in zip(names, codes, strict=False):
        colour = ROLES[role_of(name)]
        parts.append(
            f'<span class="gl-code" style="background:{colour};color:{text_colour(colour)}">{name} {int(code)}</span>'
        )
    return f'<span class="gl-codes">{"".join(parts)}</span>'


def table_html(table: pd.DataFrame, raw: Sequence[str] = ()) -> str:
    """A table as HTML; numbers stand at the right; columns of `raw` hold HTML already."""
    numeric = {c for c in table.columns if pd.api.types.is_numeric_dtype(table[c])}
    head = "".join(f"<th{_kind(c, numeric)}>{escape(c)}</th>" for c in table.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td{_kind(c, numeric)}>{_cell(row[c], c in raw)}</td>" for c in table.columns) + "</tr>"
        for row in table.to_dict("records")
    )
    return f'<table class="gl-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _kind(column: Any, numeric: set[Any]) -> str:
    return f' class="{NUMBERS}"' if column in numeric else ""


def _cell(value: Any, raw: bool) -> str:
    return str(value) if raw else escape(f"{value:.3g}" if isinstance(value, float) else value)


def legend_html(colours: Mapping[str, str]) -> str:
    """Names with their colours in one line."""
    return "".join(
        f'<span class="gl-swatch" style="background:{colour}"></span>{escape(name)}' for name, colour in colours.items()
    )


def labelled(words: str, width: str = "100%") -> dict[str, Any]:
    """Options of an input whose description is written out in full."""
    return {"description": words, "style": {"description_width": "initial"}, "layout": widgets.Layout(width=width)}


def user_box(users: Sequence[str], value: str, width: str) -> widgets.Combobox:
    """Asks for a user: typed, or picked from the first ones."""
    return widgets.Combobox(
        value=value, options=users[:400], continuous_update=False, placeholder="nobody", **labelled("user", width)
    )


def controls(*fields: widgets.Widget) -> widgets.HBox:
    """Fields in a row that goes on below where the page is narrow."""
    return widgets.HBox(fields, layout=widgets.Layout(flex_flow="row wrap", align_items="center"))


def refill(field: widgets.Dropdown, options: Sequence[Any]) -> None:
    """Offer other options: the value stays where it is among them, otherwise it is the first (None for no option)."""
    values = [option[1] if isinstance(option, tuple) else option for option in options]
    kept = field.value
    field.options = options
    field.value = kept if kept in values else values[0] if values else None
