"""All explorers on one page, with a guided tour: what `gensar-lite app` serves, and what a notebook may show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets

import gensar_lite
from gensar_lite.data.storage import DataError
from gensar_lite.explore.answers import Shop
from gensar_lite.explore.kit import KIT, Kit, find_kit
from gensar_lite.explore.widgets.beams import BeamStepper
from gensar_lite.explore.widgets.codebook import CodebookExplorer
from gensar_lite.explore.widgets.console import StoreConsole
from gensar_lite.explore.widgets.panels import escape, first_upper, stylesheet
from gensar_lite.explore.widgets.tradeoff import TradeoffExplorer
from gensar_lite.tradeoff.results import RESULTS

OWN_CURVE = "the cheap curve of this model"
RECORDED = Path(gensar_lite.__file__).parents[1] / "data" / "results"
NAMES = ("Store console", "Codebooks", "Beam search", "Trade-off")


def find_sweeps(kit: Kit, folder: str | Path = "sweeps") -> dict[str, Path]:
    """The sweeps there are, by name: the kit's own line, those of a folder, and the recorded ones."""
    found = {OWN_CURVE: kit.curve} if kit.curve is not None else {}
    for place, words in ((Path(folder), "sweep"), (RECORDED, "recorded")):
        for results in sorted(place.glob(f"*/{RESULTS}")):
            found[f"{words}: {results.parent.name}"] = results.parent
    return found


@dataclass(frozen=True)
class Stop:
    """One stop of the tour: where it leads, what to do there, and what to see."""

    page: str
    head: str
    words: str


TOUR = (
    Stop(
        "Store console",
        "One model, two lists",
        "The same weights answer a query (in the middle) and recommend (on the right). Type “gift”, press Enter, then choose another user: the same word, other answers.",
    ),
    Stop(
        "Store console",
        "A click moves both",
        "Click an item on the right. It joins the history, and arrows show how both lists moved. Then tick “show identifiers”: neighbours in a list often begin with the same codes.",
    ),
    Stop(
        "Codebooks",
        "What the model writes",
        "An item's name is four codes. Click a box in the first column: its items light up on the map. Nobody told the model about categories.",
    ),
    Stop(
        "Codebooks",
        "Follow one item down",
        "Type “sleeping bag” into “follow an item”. Move the slider down the levels: fewer and fewer items are left, until there is one. Switch the map to the collaborative signal.",
    ),
    Stop(
        "Beam search",
        "Code by code",
        "Press “one level back” until the tree is empty, then write one code at a time. The boxes are the beginnings that stay; the bars are what the model thinks of all codes.",
    ),
    Stop(
        "Beam search",
        "Take the trie away",
        "Press “trie: on”. Now every code may follow every other, and the model writes names that no item has.",
    ),
    Stop(
        "Trade-off",
        "What one task costs the other",
        "Right is better at recommendation, up is better at search. Move the slider along the cheap curve and watch the answers change.",
    ),
)


class ExplorersPage(widgets.VBox):
    """The explorers of a kit, one shown at a time; each is made when it is first opened."""

    def __init__(self, kit: Kit, sweeps: dict[str, Path] | None = None) -> None:
        self.kit = kit
        self.sweeps = find_sweeps(kit) if sweeps is None else sweeps
        self.shop = Shop(kit.model, kit.line)
        self._made: dict[str, widgets.Widget] = {}
        self._stop = -1
        data = kit.model.data
        about = f"{data.name}: {data.num_items:,} items, {data.log.num_users:,} users · model {'/'.join(kit.run.parts[-2:])} ({kit.model.config.preset}, {kit.model.config.training.steps} steps, seed {kit.model.config.seed})"
        title = widgets.HTML(
            f'{stylesheet()}<div style="font-size:24px;font-weight:bold">gensar_lite: search and recommend with one model</div><div class="gl-note">{escape(about)}</div>'
        )
        self.pages = widgets.ToggleButtons(options=NAMES)
        self.pages.style.button_width = "190px"
        self.pages.style.font_weight = "bold"
        self.tour = widgets.Button(
            description="guided tour", button_style="primary", layout=widgets.Layout(width="160px")
        )
        self.before, self.after, self.end = (
            widgets.Button(description=words, layout=widgets.Layout(width="110px"))
            for words in ("◀ before", "next ▶", "end tour")
        )
        self.card = widgets.HTML(layout=widgets.Layout(flex="1 1 auto", width="auto"))
        self.strip = widgets.HBox(
            [self.card, self.before, self.after, self.end], layout=widgets.Layout(display="none", align_items="center")
        )
        self.strip.add_class("gl-tour")
        self.place = widgets.VBox()
        super().__init__([title, widgets.HBox([self.pages, self.tour]), self.strip, self.place])
        self.add_class("gl-page")
        self.add_class("gl-explorer")
        self.pages.observe(lambda change: self.turn_to(change["new"]), "value")
        self.tour.on_click(lambda _: self.go(0))
        self.after.on_click(lambda _: self.go(self._stop + 1))
        self.before.on_click(lambda _: self.go(self._stop - 1))
        self.end.on_click(lambda _: self.go(-1))
        self.turn_to(NAMES[0])

    def turn_to(self, name: str) -> None:
        """Show one explorer; what stops it from being made is said in its place."""
        if name not in self._made:
            try:
                self._made[name] = self._make(name)
            except (DataError, ValueError, OSError) as error:
                self.place.children = [message(first_upper(str(error)))]
                return
        self.place.children = [self._made[name]]

    def _make(self, name: str) -> widgets.Widget:
        model = self.kit.model
        some = "u00116" if "u00116" in model.data.user_number else model.data.log.user_ids[0]
        makers: dict[str, Callable[[], widgets.Widget]] = {
            "Store console": lambda: StoreConsole(model, user=some, shop=self.shop),
            "Codebooks": lambda: CodebookExplorer(model, self.kit.maps),
            "Beam search": lambda: BeamStepper(model, user=some),
            "Trade-off": lambda: TradeoffExplorer(self.sweeps, self.shop, OWN_CURVE),
        }
        return makers[name]()

    def go(self, stop: int) -> None:
        """Go to a stop of the tour; outside its stops the tour ends."""
        self._stop = stop if 0 <= stop < len(TOUR) else -1
        self.strip.layout.display = "none" if self._stop < 0 else "flex"
        self.tour.disabled = self._stop >= 0
        if self._stop < 0:
            return
        here = TOUR[self._stop]
        self.before.disabled = self._stop == 0
        self.after.description = "finish" if self._stop == len(TOUR) - 1 else "next ▶"
        self.card.value = (
            f'<div class="gl-head">{self._stop + 1} of {len(TOUR)} · {escape(here.head)}</div>{escape(here.words)}'
        )
        self.pages.value = here.page


def message(sentence: str) -> widgets.HTML:
    """A sentence in place of an explorer."""
    return widgets.HTML(
        f'{stylesheet()}<div class="gl-explorer"><div class="gl-warn" role="alert">{escape(sentence)}</div></div>'
    )


def open_page(run: str | Path | None = None, kit: str | Path = KIT, sweeps: str | Path = "sweeps") -> widgets.Widget:
    """The page for a run and its kit; where something is missing, a sentence that says what to do."""
    try:
        found = find_kit(run, kit)
        return ExplorersPage(found, find_sweeps(found, sweeps))
    except (DataError, ValueError, OSError) as error:
        return message(first_upper(str(error)))
