"""The trade-off explorer: what a sweep found, by strategy, goal and seed; a slider along a cheap curve with its answers.

Explained in notebooks 08 and 09.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd

from gensar_lite.data.splits import TASKS
from gensar_lite.data.storage import DataError
from gensar_lite.evaluation.protocols import PRIMARY
from gensar_lite.explore.answers import Question, Shop, movement
from gensar_lite.explore.curves import PROTOCOL_TEXTS
from gensar_lite.explore.kit import PLACES
from gensar_lite.explore.widgets.panels import Explorer, controls, escape, labelled, refill, table_html
from gensar_lite.explore.widgets.scene import Scene
from gensar_lite.explore.widgets.tradeoff_scene import (
    KINDS,
    PLANE,
    Sweep,
    choose_points,
    curve_names,
    export_links,
    plane_marks,
    point_text,
)
from gensar_lite.tradeoff.reading import Goals

NUM_EXAMPLES = 5
SHOWN = 5


class Ticks(widgets.HBox):
    """Boxes to tick, in a row."""

    def __init__(self, words: str, changed: Callable[[], None]) -> None:
        self._words, self._changed = words, changed
        self._boxes: dict[Any, widgets.Checkbox] = {}
        super().__init__(layout=widgets.Layout(flex_flow="row wrap"))

    def offer(self, names: Sequence, titles: Mapping | None = None) -> None:
        """Offer other names, all of them ticked."""
        label = {name: str((titles or {}).get(name, name)) for name in names}
        self._boxes = {
            name: widgets.Checkbox(
                True, indent=False, description=label[name], layout=widgets.Layout(width="auto", margin="0 14px 0 0")
            )
            for name in names
        }
        for box in self._boxes.values():
            box.observe(lambda _: self._changed(), "value")
        self.children = (
            widgets.HTML(f"<b>{escape(self._words)}</b>", layout=widgets.Layout(width="auto", margin="2px 10px 2px 0")),
            *self._boxes.values(),
        )

    @property
    def value(self) -> list:
        return [name for name, box in self._boxes.items() if box.value]

    def tick(self, name, on: bool = True) -> None:
        """Tick a box or clear it."""
        self._boxes[name].value = on


class TradeoffExplorer(Explorer):
    """Sweeps by name (`sources`, name -> folder). `shop` with a line, and `line_source`, the source that measured it,
    give the slider along the cheap curve its answers."""

    def __init__(
        self, sources: Mapping[str, str | Path], shop: Shop | None = None, line_source: str | None = None
    ) -> None:
        super().__init__(
            "Trade-off explorer",
            "Each point is one model, measured on both tasks: further right recommends better, higher searches better. Hover or click a point.",
        )
        if not sources:
            raise DataError(
                "there is no sweep to show; make one with `gensar-lite tradeoff --data bazaar --out sweeps/bazaar`"
            )
        self.folders, self.shop, self.line_source = dict(sources), shop, line_source
        self._sweeps: dict[str, Sweep] = {}
        self._busy = True
        self.source = widgets.Dropdown(options=list(self.folders), **labelled("results", "420px"))
        self.data = widgets.Dropdown(**labelled("data set", "260px"))
        self.metric = widgets.Dropdown(**labelled("metric", "190px"))
        self.protocols = {task: widgets.Dropdown(**labelled(task, "420px")) for task in TASKS}
        self.strategies, self.curves, self.seeds = (
            Ticks(words, self._changed) for words in ("identifiers", "curves", "seeds")
        )
        self.intervals = widgets.Checkbox(
            True, indent=False, description="95 % intervals", layout=widgets.Layout(width="170px")
        )
        self.place = widgets.SelectionSlider(
            options=PLACES, value=0.5, continuous_update=False, **labelled("search ↔ recommendation", "440px")
        )
        self.example = widgets.Dropdown(**labelled("example", "440px"))
        self.export = widgets.Button(description="export PNG, SVG, CSV", layout=widgets.Layout(width="220px"))
        self.links, self.point, self.answers = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.plane = Scene(*PLANE)
        self.shown = pd.DataFrame()
        side = widgets.VBox(
            [
                widgets.HTML('<div class="gl-head">Along the cheap curve</div>'),
                self.place,
                self.example,
                self.answers,
            ],
            layout=widgets.Layout(width="38%", padding="0 0 0 14px"),
        )
        self.fill(
            controls(self.source, self.data, self.metric),
            controls(*self.protocols.values(), self.intervals),
            controls(self.strategies, self.curves, self.seeds),
            widgets.HBox(
                [
                    widgets.VBox(
                        [self.plane, widgets.HBox([self.export, self.links]), self.point],
                        layout=widgets.Layout(width="62%"),
                    ),
                    side,
                ]
            ),
        )
        self.source.observe(lambda _: self.handle(self._open), "value")
        self.data.observe(lambda _: self.handle(self._offer), "value")
        for field in (self.metric, self.intervals, self.place, *self.protocols.values()):
            field.observe(lambda _: self._changed(), "value")
        self.example.observe(lambda _: self.handle(self._show_answers), "value")
        self.export.on_click(lambda _: self.handle(self._export))
        self.plane.on_pick(lambda key: self.handle(lambda: self._tell(int(key.removeprefix("point:")))))
        self._offer_examples()
        self._busy = False
        self.handle(self._open)

    @property
    def sweep(self) -> Sweep:
        """The sweep that is shown, read when it is first asked for."""
        name = self.source.value
        if name not in self._sweeps:
            self._sweeps[name] = Sweep(self.folders[name])
        return self._sweeps[name]

    @property
    def goals(self) -> Goals:
        """The protocol of each task and the metric."""
        return Goals(self.protocols["recommendation"].value, self.protocols["search"].value, self.metric.value)

    @property
    def on_line(self) -> bool:
        """Whether the source shown is the one whose cheap curve has its models here."""
        return self.shop is not None and self.shop.line is not None and self.source.value == self.line_source

    def _changed(self) -> None:
        self.handle(self.show)

    def _open(self) -> None:
        refill(self.data, self.sweep.labels)
        self._offer()

    def _offer(self) -> None:
        options = self.sweep.options(self.data.value)
        refill(self.metric, sorted(options["metrics"], key=lambda name: name != PRIMARY["search"][1]))
        for task, field in self.protocols.items():
            refill(field, [(f"{task} {PROTOCOL_TEXTS.get(name, name)}", name) for name in options[task]])
            field.description = ""
        self.strategies.offer(options["strategies"])
        self.curves.offer(options["curves"], KINDS)
        self.seeds.offer(options["seeds"])
        self.point.value = ""
        self.show()

    def show(self) -> None:
        """Draw the chosen points anew."""
        goals, label = self.goals, self.data.value
        points = self.sweep.points(label, goals, self.seeds.value) if self.seeds.value else pd.DataFrame()
        if len(points):
            points = choose_points(points, self.strategies.value, self.curves.value, self.intervals.value)
        self.shown, self.links.value = points, ""
        place = None
        if self.on_line and len(points):
            line = [
                n
                for n, row in zip(curve_names(points), points.to_dict("records"), strict=True)
                if row["curve"] == "interpolation"
            ]
            place = (line[0], float(self.place.value)) if line else None
        specialists = self.sweep.specialists(label, goals)
        alt = "Search against recommendation. " + " ".join(
            point_text(row, goals).replace("\n", "; ") + "." for row in points.to_dict("records")[:20]
        )
        self.plane.draw(plane_marks(points, specialists, goals, place), alt)
        if points.empty:
            self.warn("Nothing is chosen: tick at least one kind of identifiers, one curve and one seed.")
        self.place.disabled = self.example.disabled = not self.on_line
        self._show_answers()

    def _tell(self, row: int) -> None:
        """What stands behind a point that was clicked."""
        point = self.shown.iloc[row]
        runs = self.sweep.runs(point)
        settings = json.loads(runs["parameters"].iloc[0])
        training = settings.get("training", {})
        table = pd.DataFrame(
            {
                "seed": runs["seed"],
                "run": runs["run"].str[:12],
                "CPU minutes of training": [_minutes(v) for v in runs["cpu_seconds"]],
            }
        )
        words = escape(point_text(point.to_dict(), self.goals)).replace("\n", "<br>")
        steps = f"{settings.get('preset', '')}, {training.get('steps', '?')} steps, version {escape(point['version'])}"
        self.point.value = (
            f'<div class="gl-head">The point clicked</div>{words}<div class="gl-note">{steps}</div>{table_html(table)}'
        )

    def _export(self) -> None:
        if self.shown.empty:
            raise DataError("there is nothing to export: tick at least one kind of identifiers, one curve and one seed")
        links = export_links(self.shown, self.sweep.specialists(self.data.value, self.goals), self.goals)
        self.links.value = "".join(
            f'<a class="gl-download" download="{name}" href="{link}">{name}</a>' for name, link in links.items()
        )

    def _offer_examples(self) -> None:
        if self.shop is None or self.shop.line is None:
            return
        cases = self.shop.model.data.cases("search", "test")
        rows = np.linspace(0, len(cases) - 1, min(NUM_EXAMPLES, len(cases))).astype(int)
        users = self.shop.model.data.log.user_ids
        asked = [
            (query, users[user]) for query, user in zip(cases.take(rows).query or [], cases.user[rows], strict=True)
        ]
        refill(self.example, [(f"“{query}” by {user}", (query, user)) for query, user in asked])

    def _show_answers(self) -> None:
        """Both tasks before (the model as trained) and after (at the slider's place)."""
        if not self.on_line or self.example.value is None:
            reason = (
                "no fine-tunes are here"
                if self.shop is None or self.shop.line is None
                else f"choose the results “{self.line_source}”"
            )
            self.answers.value = (
                f'<div class="gl-note">The slider moves the weights of a model at hand: {escape(reason)}.</div>'
            )
            return
        assert self.shop is not None
        query, user = self.example.value
        html = ""
        for task, question in (("search", Question(query, user)), ("recommendation", Question(None, user))):
            before, after = (self.shop.answer(question, SHOWN, mix) for mix in (None, float(self.place.value)))
            moves = movement(before["item_id"].tolist(), after["item_id"].tolist())
            table = pd.DataFrame(
                {f"{task}, as trained": before["title"], f"at {self.place.value:g}": after["title"], "": moves}
            )
            html += table_html(table)
        self.answers.value = html


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}" if np.isfinite(seconds) else "not measured"
