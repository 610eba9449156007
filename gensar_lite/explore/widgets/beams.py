"""The beam stepper: type a query or pick a user, walk the decoder level by level, with the trie and without it.

Explained in notebook 06.
"""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import numpy as np

from gensar_lite.data.dataset import Cases
from gensar_lite.data.storage import DataError
from gensar_lite.decoding.trace import Recorder, Trace, search_without_trie
from gensar_lite.explore.answers import check_query, check_user
from gensar_lite.explore.widgets.beam_scene import (
    CODES,
    TREE_WIDTH,
    beam_marks,
    broken_sentence,
    code_marks,
    tree_height,
)
from gensar_lite.explore.widgets.panels import Explorer, controls, labelled, user_box
from gensar_lite.explore.widgets.scene import Scene
from gensar_lite.model import GenSAR
from gensar_lite.network.vocabulary import TASK_VIEW


def trace_question(
    model: GenSAR, query: str | None, user: str | None, num_beams: int, restricted: bool = True
) -> Trace:
    """The search for one question: with a query for the semantic identifier, without one for the collaborative one."""
    task = "recommendation" if query is None else "search"
    view = TASK_VIEW[task]
    if restricted:
        recorder = Recorder(model.tries[view])
        options: dict[str, Any] = {"user": user, "k": num_beams, "num_beams": num_beams, "watch": recorder}
        answers = model.recommend(**options) if query is None else model.search(query, **options)
        trace = recorder.trace()
        assert answers["item_id"].tolist() == model.data.items["item_id"].to_numpy()[trace.items].tolist()
        return trace
    log, number = model.data.log, -1 if user is None else model.data.user_number.get(user, -1)
    start, stop = (log.user_ptr[[number]], log.user_ptr[[number + 1]]) if number >= 0 else (np.zeros(1, int),) * 2
    none = np.full(1, -1)
    case = Cases(task, none, np.array([number]), start, stop, none, None if query is None else [query], {})
    return search_without_trie(model.scorer(model.requests.cases(case), task), num_beams)


class BeamStepper(Explorer):
    """Beam search in slow motion. `ask` answers what stands in the fields; `step` shows so many levels."""

    def __init__(self, model: GenSAR, query: str = "warm sleeping bag for winter", user: str = "") -> None:
        super().__init__(
            "Beam stepper",
            "The decoder writes an identifier code by code and keeps the best few beginnings. Step through it; click a box to see what may follow.",
        )
        self.model, self.chosen = model, (0, 0)
        self.trace: Trace | None = None
        self.task = widgets.ToggleButtons(
            options=["search", "recommendation"], style={"button_width": "auto"}, layout=widgets.Layout(width="auto")
        )
        self.query = widgets.Text(
            query, placeholder="a query, then Enter", continuous_update=False, **labelled("query", "400px")
        )
        self.user = user_box(model.data.log.user_ids, user, "190px")
        self.num_beams = widgets.IntSlider(5, 1, 10, continuous_update=False, **labelled("beams", "230px"))
        self.restricted = widgets.ToggleButton(
            True, description="trie: on", icon="", layout=widgets.Layout(width="110px")
        )
        levels = model.table.num_levels
        self.step = widgets.IntSlider(levels, 0, levels, **labelled("levels written", "330px"))
        self.backward = widgets.Button(description="◀ one level back", layout=widgets.Layout(width="170px"))
        self.forward = widgets.Button(description="write one code ▶", layout=widgets.Layout(width="170px"))
        self.tree, self.codes = Scene(TREE_WIDTH, 300), Scene(*CODES)
        self.fill(
            controls(self.task, self.query, self.user, self.num_beams, self.restricted),
            controls(self.backward, self.forward, self.step),
            self.tree,
            self.codes,
        )
        for field in (self.task, self.query, self.user, self.num_beams):
            field.observe(lambda _: self.handle(self.ask), "value")
        self.restricted.observe(lambda _: self._switch(), "value")
        self.step.observe(lambda change: self._stepped(change["new"]), "value")
        self.forward.on_click(lambda _: self._move(1))
        self.backward.on_click(lambda _: self._move(-1))
        self.tree.on_pick(self._choose)
        self.handle(self.ask)

    @property
    def view(self) -> str:
        """The identifier that is written."""
        return TASK_VIEW[self.task.value]

    def ask(self) -> None:
        """Search anew for what stands in the fields; what is wrong with them is said in place."""
        searching = self.task.value == "search"
        self.query.disabled = not searching
        user = self.user.value.strip() or None
        if user is not None:
            check_user(self.model, user)
        elif not searching:
            raise DataError("pick a user: a recommendation needs to know who asks")
        query = self.query.value.strip() if searching else None
        note = check_query(self.model, query) if query is not None else ""
        self.trace = trace_question(self.model, query, user, self.num_beams.value, self.restricted.value)
        self.chosen = (min(self.chosen[0], self.step.value, self.model.table.num_levels - 1), 0)
        self._draw()
        if note:
            self.warn(note)

    def _switch(self) -> None:
        self.restricted.description = "trie: on" if self.restricted.value else "trie: off"
        self.handle(self.ask)

    def _move(self, by: int) -> None:
        self.step.value = min(max(self.step.value + by, 0), self.step.max)

    def _stepped(self, step: int) -> None:
        self.chosen = (min(step, self.model.table.num_levels - 1), 0)
        self.handle(self._draw)

    def _choose(self, key: str) -> None:
        depth, row = map(int, key.removeprefix("beam:").split(":"))
        if depth == self.model.table.num_levels:  # a whole identifier: what it was chosen among
            assert self.trace is not None
            depth, row = depth - 1, int(self.trace.levels[-1].parent[row])
        self.chosen = (depth, row)
        self.handle(self._draw)

    def _draw(self) -> None:
        trace, model = self.trace, self.model
        if trace is None:
            return
        titles = model.data.items["title"].tolist()
        self.tree.size = [TREE_WIDTH, tree_height(trace)]
        words = broken_sentence(trace, self.restricted.value, model.config.training.softmax)
        self.tree.draw(
            beam_marks(trace, model.table, self.view, self.step.value, titles, self.chosen),
            f"Beam search as a tree. {words}",
        )
        depth, row = self.chosen
        alt = f"Probabilities of the codes of level {depth + 1} after one beam."
        self.codes.draw(
            code_marks(trace, model.table, self.view, (depth, min(row, len(trace.levels[depth].prefixes) - 1))), alt
        )
        if self.step.value == model.table.num_levels:
            (self.say if self.restricted.value else self.warn)(words)
