"""The codebook explorer: pick a code in the tree, see its items, the maps lighting up, and an item's way down.

Explained in notebook 04.
"""

from __future__ import annotations

from collections.abc import Mapping

import ipywidgets as widgets
import numpy as np
import pandas as pd

from gensar_lite.explore.maps import map_vectors
from gensar_lite.explore.widgets.codebook_scene import (
    MAP,
    TREE,
    CodeBrowser,
    count_items,
    key_of,
    map_marks,
    neighbours,
    prefix_of,
    shared_levels,
    tree_marks,
)
from gensar_lite.explore.widgets.panels import (
    Explorer,
    chips,
    controls,
    escape,
    labelled,
    legend_html,
    refill,
    table_html,
)
from gensar_lite.explore.widgets.scene import Scene
from gensar_lite.identifiers.table import VIEWS
from gensar_lite.model import GenSAR

SHOWN = 8
PICK = "pick a code …"


def signal_maps(model: GenSAR, method: str = "pca", seed: int = 0) -> dict[str, np.ndarray]:
    """Places (N, 2) of all items by each of the two signals."""
    return {view: map_vectors(getattr(model.signals, view), method, seed) for view in VIEWS}


class CodebookExplorer(Explorer):
    """The identifiers of a model as a tree that can be clicked, beside the maps of both signals.

    `maps` are places as `signal_maps` gives them (default: PCA, at once). `choose` opens a prefix, `follow` an item.
    """

    def __init__(self, model: GenSAR, maps: Mapping[str, np.ndarray] | None = None) -> None:
        super().__init__(
            "Codebook explorer",
            "A box is a code and how many items have it. Click one: its items light up on the map. Or follow an item down, code by code.",
        )
        self.model, self.maps = model, dict(maps or signal_maps(model))
        self.browser = CodeBrowser(model.table, model.data.items)
        self.prefix: tuple[int, ...] = ()
        self.item: int | None = None
        self.view = widgets.ToggleButtons(
            options=[("semantic (search)", "semantic"), ("collaborative (recommendation)", "collaborative")],
            style={"button_width": "auto"},
            layout=widgets.Layout(width="auto"),
        )
        self.signal = widgets.ToggleButtons(
            options=list(VIEWS), style={"button_width": "auto"}, layout=widgets.Layout(width="auto")
        )
        self.find = widgets.Text(
            placeholder="words of a title, then Enter", continuous_update=False, **labelled("follow an item", "330px")
        )
        self.level = widgets.IntSlider(0, 0, model.table.num_levels, **labelled("down to level", "300px"))
        self.code = widgets.Dropdown(**labelled("next code", "330px"))
        self.back = widgets.Button(description="start again", layout=widgets.Layout(width="130px"))
        self.tree, self.map = Scene(*TREE), Scene(*MAP)
        self.items_table, self.item_table = widgets.HTML(), widgets.HTML()
        legend = widgets.HTML(
            f'<div class="gl-note">colour: commonest category {legend_html(self.browser.colours)}</div>'
        )
        half = widgets.Layout(width="57%", padding="0 12px 0 0"), widgets.Layout(width="43%")
        self.fill(
            controls(widgets.HTML("identifier&ensp;"), self.view, widgets.HTML("&emsp;map of&ensp;"), self.signal),
            controls(self.find, self.level, self.code, self.back),
            legend,
            widgets.HBox([widgets.VBox([self.tree], layout=half[0]), widgets.VBox([self.map], layout=half[1])]),
            widgets.HBox(
                [widgets.VBox([self.items_table], layout=half[0]), widgets.VBox([self.item_table], layout=half[1])]
            ),
        )
        self.view.observe(lambda _: self.handle(self._changed_view), "value")
        self.signal.observe(lambda _: self.handle(self._draw_map), "value")
        self.find.observe(lambda change: self.handle(lambda: self._find(change["new"])), "value")
        self.level.observe(lambda change: self.handle(lambda: self._go_down(change["new"])), "value")
        self.code.observe(lambda change: self.handle(lambda: self._pick_code(change["new"])), "value")
        self.back.on_click(lambda _: self.handle(self._start_again))
        self.tree.on_pick(lambda key: self.handle(lambda: self.choose(prefix_of(key))))
        self.map.on_pick(lambda key: self.handle(lambda: self.follow(int(key.removeprefix("item:")))))
        self._draw_map()
        self._show()

    def choose(self, prefix: tuple[int, ...]) -> None:
        """Open a code: its branch in the tree, its items below and on the map. A whole identifier opens its item."""
        self.prefix = tuple(prefix)
        members = self.browser.items_of(self.view.value, prefix)
        if len(members) == 1:
            self.item = int(members[0])
        elif self.item is not None and self.item not in members:
            self.item = None
        self._show()

    def follow(self, item: int) -> None:
        """Follow one item: its whole way through the tree, and its neighbours in both signals."""
        self.item = item
        self.prefix = tuple(self.model.table.codes[self.view.value][item].tolist())
        self._show()

    def _start_again(self) -> None:
        self.item, self.find.value = None, ""
        self.choose(())

    def _changed_view(self) -> None:
        if self.item is not None:
            self.follow(self.item)
        else:
            self.choose(())

    def _find(self, words: str) -> None:
        if not words.strip():
            return
        item = self.browser.find(words)
        if item is None:
            self.warn(f"No item has the words “{words.strip()}” in its title; try fewer or other words.")
        else:
            self.follow(item)

    def _go_down(self, level: int) -> None:
        if self.item is None:
            self.prefix = self.prefix[:level]
            if len(self.prefix) < level:
                self.warn("Choose an item or a code first; the slider then goes up and down its levels.")
        else:
            self.prefix = tuple(self.model.table.codes[self.view.value][self.item][:level].tolist())
        self._show()

    def _pick_code(self, key: str | None) -> None:
        if key:
            self.choose(prefix_of(key))

    def _draw_map(self) -> None:
        which = self.signal.value
        said = f"A map of {self.model.data.num_items:,} items by the {which} signal, coloured by category."
        self.map.draw(map_marks(self.browser, self.maps[which], f"Items by the {which} signal"), said, self._lit())

    def _lit(self) -> list[str]:
        return [f"item:{n}" for n in self.browser.items_of(self.view.value, self.prefix)] if self.prefix else []

    def _show(self) -> None:
        """Draw everything anew after a choice."""
        view, browser = self.view.value, self.browser
        branches = browser.branches(view, self.prefix)
        words = [
            (
                f"{browser.name(view, len(self.prefix))} {b.prefix[-1]} · {count_items(len(b.items))} · {b.category}",
                key_of(b.prefix),
            )
            for b in branches
        ]
        busy, self._busy = self._busy, True
        self.level.value = len(self.prefix)
        self.code.value = None  # the picker starts anew at every level
        refill(self.code, [(PICK, ""), *words])
        self._busy = busy
        members = browser.items_of(view, self.prefix)
        here = browser.describe(view, self.prefix) or "the whole store"
        lit = [key_of(self.prefix[: level + 1]) for level in range(len(self.prefix))]
        self.tree.draw(
            tree_marks(browser, view, self.prefix, self.item),
            f"The {view} identifiers as a tree; open: {here}, {count_items(len(members))}.",
            lit,
        )
        self.map.lit = self._lit()
        self.items_table.value = self._members_html(members, here)
        self.item_table.value = self._item_html()

    def _members_html(self, members: np.ndarray, here: str) -> str:
        view, data = self.view.value, self.model.data
        shown = members[np.argsort(-data.popularity[members], kind="stable")][:SHOWN]
        table = pd.DataFrame(
            {
                "item": [self.browser.titles[n] for n in shown],
                "category": [self.browser.categories[n] for n in shown],
                "identifier": [chips(self.model.table, view, self.model.table.codes[view][n]) for n in shown],
            }
        )
        more = f", the {SHOWN} most clicked ones" if len(members) > SHOWN else ""
        head = f'<div class="gl-head">{escape(here)}: {count_items(len(members))}{more}</div>'
        return head + table_html(table, raw=("identifier",))

    def _item_html(self) -> str:
        if self.item is None:
            return '<div class="gl-head">One item</div><div class="gl-note">Click a point of the map, or open a code down to a single item.</div>'
        view, item = self.view.value, self.item
        html = f'<div class="gl-head">{escape(self.browser.titles[item])}</div>' + table_html(
            self.browser.follow(view, item)
        )
        for which in VIEWS:
            near = neighbours(getattr(self.model.signals, which), item)
            common = shared_levels(self.model.table, view, item, near)
            table = pd.DataFrame(
                {f"nearest by the {which} signal": [self.browser.titles[n] for n in near], "codes in common": common}
            )
            html += f'<div style="height:8px"></div>{table_html(table)}'
        return html
