"""Codebooks learn while one watches: levers of the RQ-VAE in a notebook, and the film that grows beside them.

Explained in notebook 03. Training needs Python, so this lives where a kernel runs; the page shows a recorded film. Needs the extra `app`.
"""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as widgets
import traitlets

from gensar_lite.data.storage import DataError
from gensar_lite.explore.arrays import Arrays
from gensar_lite.explore.bundle import PAGE, join_modules
from gensar_lite.explore.film import Recorder, film_of, pack_film
from gensar_lite.identifiers.rqvae import RQVAEConfig
from gensar_lite.signals import Signals

try:
    import anywidget
except ModuleNotFoundError as error:
    raise DataError('the levers need anywidget: pip install "gensar_lite[app]"') from error

EVERY = 8  # frames between two pictures


class Film(anywidget.AnyWidget):
    """The page's film in a notebook; `show` gives it what a recorder has so far."""

    _esm = join_modules("widget.js", exported=["render"])
    style = traitlets.Unicode((PAGE / "page.css").read_text(encoding="utf-8")).tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    arrays = traitlets.Bytes().tag(sync=True)

    def show(self, recorder: Recorder) -> None:
        """Draw the frames of a recorder."""
        arrays = Arrays()
        film = pack_film(recorder, arrays)
        with self.hold_sync():
            self.about = {"film": film, "arrays": arrays.contents}
            self.arrays = arrays.bytes()


class CodebookLevers(widgets.VBox):
    """Choose how codebooks learn, press *learn*, and watch. `signals` are those of a store (see `embed`)."""

    def __init__(self, signals: Signals) -> None:
        self.signals = signals
        wide: dict[str, Any] = {
            "style": {"description_width": "13em"},
            "layout": widgets.Layout(width="28em"),
            "continuous_update": False,
        }
        self.num_codes = widgets.IntSlider(32, 4, 128, description="codes of a codebook", **wide)
        self.warmup_steps = widgets.IntSlider(
            100, 0, 300, step=10, description="steps before the codes are set", **wide
        )
        self.max_steps = widgets.IntSlider(200, 20, 600, step=20, description="steps with codes", **wide)
        self.balance = widgets.Checkbox(True, description="Sinkhorn at the last codes", indent=False)
        self.share = widgets.FloatSlider(0.5, min=0.1, max=0.9, step=0.1, description="weight of the clicks", **wide)
        self.button = widgets.Button(description="learn", button_style="primary")
        self.message, self.film = widgets.HTML(), Film()
        super().__init__(
            [
                widgets.HBox([self.num_codes, self.warmup_steps], layout=widgets.Layout(flex_flow="row wrap")),
                widgets.HBox([self.max_steps, self.share], layout=widgets.Layout(flex_flow="row wrap")),
                widgets.HBox([self.balance, self.button]),
                self.message,
                self.film,
            ]
        )
        self.button.on_click(lambda _: self.learn())

    def learn(self) -> Recorder:
        """Train with the levers as they stand; the film grows meanwhile."""
        self.button.disabled = True
        self.message.value = '<span role="status">learning …</span>'
        try:
            recorder = self._train()
            self.film.show(recorder)
            self.message.value = f'<span role="status">{len(recorder.frames)} moments recorded; play them below.</span>'
        except (DataError, ValueError) as error:
            self.message.value = f'<span role="alert">{html.escape(str(error))}</span>'
            raise
        finally:
            self.button.disabled = False
        return recorder

    def _train(self) -> Recorder:
        steps = {"warmup_steps": self.warmup_steps.value, "max_steps": self.max_steps.value}
        config = RQVAEConfig(balance=self.balance.value, patience=1_000, **steps)

        def grown(recorder: Recorder) -> None:
            if len(recorder.frames) % EVERY == 0:
                self.film.show(recorder)

        return film_of(self.signals, self.num_codes.value, config, weight=self.share.value, grown=grown)
