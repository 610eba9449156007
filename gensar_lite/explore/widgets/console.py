"""The store console: search and recommendation side by side for one person, and what moves them.

Explained in notebooks 00 and 09.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import ipywidgets as widgets
import pandas as pd

from gensar_lite.data.splits import TASKS
from gensar_lite.explore.answers import Question, Shop, check_query, check_user, clicks_of, movement
from gensar_lite.explore.style import shorten
from gensar_lite.explore.widgets.panels import Explorer, chips, controls, escape, labelled, user_box
from gensar_lite.model import GenSAR
from gensar_lite.network.vocabulary import TASK_VIEW

SHOWN = 10
HISTORY = 10
MOVES = {"▲": "gl-up", "▼": "gl-down", "n": "gl-new"}
HEADS = {"search": "Search results", "recommendation": "Recommended"}


class AnswerList(widgets.VBox):
    """Ten rows of answers, each with a button that clicks its item."""

    def __init__(self, head: str, clicked: Callable[[str], None]) -> None:
        self.head = widgets.HTML(f'<div class="gl-head">{head}</div>')
        self.items: list[str] = []
        self.moves: list[str] = []
        self.titles: list[str] = []
        self._texts, rows = [], []
        for place in range(SHOWN):
            words = widgets.HTML(layout=widgets.Layout(flex="1 1 auto", width="auto"))
            button = widgets.Button(
                description="click",
                tooltip="click this item: it joins the history",
                layout=widgets.Layout(width="64px", flex="0 0 auto"),
            )
            button.on_click(lambda _, place=place: clicked(self.items[place]) if place < len(self.items) else None)
            row = widgets.HBox([words, button])
            row.add_class("gl-row")
            self._texts.append((row, words))
            rows.append(row)
        super().__init__([self.head, *rows], layout=widgets.Layout(width="37%", padding="0 8px"))

    def show(self, answers: pd.DataFrame, moves: Sequence[str]) -> None:
        """Show answers (item_id, title), and how each moved."""
        self.items, self.moves, self.titles = answers["item_id"].tolist(), list(moves), answers["title"].tolist()

    def write(self, codes: Sequence[str]) -> None:
        """Write the rows, with codes as HTML below each title ("" for none)."""
        for place, (row, words) in enumerate(self._texts):
            row.layout.visibility = "visible" if place < len(self.items) else "hidden"
            if place < len(self.items):
                move = self.moves[place]
                sign = f'<span class="{MOVES.get(move[:1], "")}">{move}</span>' if move else ""
                below = f"<div>{codes[place]}</div>" if codes[place] else ""
                words.value = f"<b>{place + 1}</b> {escape(self.titles[place])} {sign}{below}"


class StoreConsole(Explorer):
    """One person, two lists. A `shop` with a line (see `WeightLine`) gives the mix slider its models.

    `ask` answers what stands in the fields; `click` lets the person click an item, `forget` takes one click back.
    """

    def __init__(self, model: GenSAR, user: str | None = None, query: str = "brush", shop: Shop | None = None) -> None:
        super().__init__(
            "Store console",
            "Search and recommendation for one person. Click items and watch both lists move; ▲▼ say how far, “new” what was not there.",
        )
        self.model, self.shop = model, shop or Shop(model)
        line = self.shop.line
        user = model.data.log.user_ids[0] if user is None else user
        self.history: list[str] | None = None  # item ids; None: as in the log
        self.query = widgets.Text(
            query, placeholder="a query, then Enter", continuous_update=False, **labelled("query", "380px")
        )
        self.user = user_box(model.data.log.user_ids, user, "200px")
        self.codes = widgets.Checkbox(False, indent=False, **labelled("show identifiers", "170px"))
        self.moved = widgets.Checkbox(False, indent=False, disabled=line is None, **labelled("move the mix", "140px"))
        slider = {"continuous_update": False, "readout_format": ".2f"}
        self.mix = widgets.FloatSlider(
            0.5, min=0, max=1, step=0.05, disabled=True, **slider, **labelled("search ↔ recommendation", "480px")
        )
        self.weights = {
            "search": widgets.FloatSlider(
                0, min=0, max=1, step=0.05, **slider, **labelled("fuse search with BM25", "440px")
            ),
            "recommendation": widgets.FloatSlider(
                0, min=0, max=1, step=0.05, **slider, **labelled("fuse recommendation with item-knn", "520px")
            ),
        }
        self.lists = {task: AnswerList(HEADS[task], self.click) for task in ("search", "recommendation")}
        self.past = widgets.VBox(layout=widgets.Layout(width="26%", padding="0 8px 0 0"))
        self.milliseconds = 0.0
        self._removers: list[widgets.Button] = []
        hint = (
            ""
            if line is not None
            else '<span class="gl-note">the mix slider needs two short fine-tunes; <code>gensar-lite app</code> makes them</span>'
        )
        self.fill(
            controls(self.user, self.query, self.codes),
            controls(self.moved, self.mix, widgets.HTML(hint)),
            controls(*self.weights.values()),
            widgets.HBox([self.past, *self.lists.values()]),
        )
        self.user.observe(lambda _: self._new_user(), "value")
        self.query.observe(lambda _: self._new_query(), "value")
        self.codes.observe(lambda _: self._write_all(), "value")
        for field in (self.mix, *self.weights.values()):
            field.observe(lambda _: self.handle(self.ask), "value")
        self.moved.observe(lambda _: self.handle(self.ask), "value")
        self.handle(self.ask)

    def click(self, item: str) -> None:
        """The person clicks an item: it becomes the latest of the history."""
        self.history = [*self._clicked(), item]
        self.handle(self.ask)

    def forget(self, place: int) -> None:
        """Take one click out of the history."""
        clicked = self._clicked()
        self.history = [*clicked[:place], *clicked[place + 1 :]]
        self.handle(self.ask)

    def reset(self) -> None:
        """The history as it stands in the log."""
        self.history = None
        self.handle(self.ask)

    def ask(self) -> None:
        """Answer anew what stands in the fields; what is wrong with them is said in place."""
        self.mix.disabled = not self.moved.value
        user = self.user.value.strip() or None
        if user is not None:
            check_user(self.model, user)
        self._show_history()
        history = None if self.history is None else tuple(self.history)
        mix = self.mix.value if self.moved.value else None
        started = time.perf_counter()
        # recommendation first: it does not depend on what is typed
        self._answer("recommendation", Question(None, user, history), mix)
        note = check_query(self.model, self.query.value.strip())
        self._answer("search", Question(self.query.value.strip(), user, history), mix)
        self.milliseconds = (time.perf_counter() - started) * 1000
        self.warn(note) if note else self.say(f"Both lists answered in {self.milliseconds:.0f} ms{self._said(mix)}.")

    def _answer(self, task: str, question: Question, mix: float | None) -> None:
        answers = self.shop.answer(question, min(SHOWN, self.model.data.num_items), mix, self.weights[task].value)
        shown = self.lists[task]
        shown.show(answers, movement(shown.items, answers["item_id"].tolist()))
        self._write(task)

    def _write_all(self) -> None:
        for task in self.lists:
            self._write(task)

    def _write(self, task: str) -> None:
        """Write a list with its codes, or without them."""
        table, view, number = self.model.table, TASK_VIEW[task], self.model.data.item_number
        rows = [number[item] for item in self.lists[task].items]
        self.lists[task].write([chips(table, view, table.codes[view][row]) if self.codes.value else "" for row in rows])

    def _said(self, mix: float | None) -> str:
        parts = [] if mix is None else [f"weights {mix:.0%} of the way from search to recommendation"]
        parts += [f"{task} fused at {self.weights[task].value:.2f}" for task in TASKS if self.weights[task].value]
        return f" ({'; '.join(parts)})" if parts else ""

    def _new_query(self) -> None:
        self.lists["search"].items = []  # another query's list is no place to move from
        self.handle(self.ask)

    def _new_user(self) -> None:
        self.history = None
        for shown in self.lists.values():
            shown.items = []  # another person's list is no place to move from
        self.handle(self.ask)

    def _clicked(self) -> list[str]:
        if self.history is not None:
            return self.history
        user = self.user.value.strip()
        return self.shop.ids[clicks_of(self.model, user)].tolist() if user in self.model.data.user_number else []

    def _show_history(self) -> None:
        clicked = self._clicked()
        head = "History: as in the log" if self.history is None else "History: changed here"
        note = "latest first; × forgets a click" + (
            "; searches of the log count too" if self.history is None else "; clicks only"
        )
        rows: list[widgets.Widget] = [
            widgets.HTML(f'<div class="gl-head">{head}</div><div class="gl-note">{note}</div>')
        ]
        titles, number = self.model.data.items["title"], self.model.data.item_number
        for place in range(len(clicked) - 1, max(len(clicked) - HISTORY, 0) - 1, -1):
            button = widgets.Button(
                description="×", tooltip="forget this click", layout=widgets.Layout(width="36px", flex="0 0 auto")
            )
            button.on_click(lambda _, place=place: self.forget(place))
            words = widgets.HTML(
                escape(shorten(titles.iloc[number[clicked[place]]], 60)),
                layout=widgets.Layout(flex="1 1 auto", width="auto"),
            )
            row = widgets.HBox([button, words])
            row.add_class("gl-row")
            rows.append(row)
        if not clicked:
            rows.append(widgets.HTML('<div class="gl-note">empty: a person of whom nothing is known</div>'))
        elif len(clicked) > HISTORY:
            rows.append(widgets.HTML(f'<div class="gl-note">and {len(clicked) - HISTORY} earlier clicks</div>'))
        if self.history is not None:
            button = widgets.Button(description="back to the log's history", layout=widgets.Layout(width="auto"))
            button.on_click(lambda _: self.reset())
            rows.append(button)
        for old in self.past.children:
            old.close()
        self.past.children = rows
