"""What all tests share: the real tables where they exist, and one thread per test process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every machine, and no limit of time: how fast a busy machine draws them says nothing about the code.
settings.register_profile("check", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("check")

# Before anything imports numpy or torch: several test processes share the cores, and sums keep their order.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real tables beside the clone; tests that need it are skipped without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the real tables of {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def ranx(monkeypatch: pytest.MonkeyPatch):
    """The ranx library without its compiler: compiling takes a minute, these tests rank a handful of cases."""
    numba = pytest.importorskip("numba")
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    return pytest.importorskip("ranx")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny store, called shop."""
    from builders import tiny_store

    folder = tmp_path_factory.mktemp("data") / "shop"
    tiny_store().save(folder)
    return folder


@pytest.fixture(scope="session")
def live_model():
    """A model of the tiny store that was trained for a moment."""
    from builders import quick_tiny_model

    return quick_tiny_model()


@pytest.fixture(scope="session")
def live_slider(live_model):
    """Two fine-tunes of it, and how well the line between them does."""
    from gensar_lite.explore.slider import ENDS, Slider, fine_tune, measure_line
    from gensar_lite.tradeoff.interpolation import WeightLine

    first, second = (fine_tune(live_model, mix, progress=False) for mix in ENDS.values())
    return Slider((first, second), measure_line(live_model, WeightLine(first, second)))


@pytest.fixture(scope="session")
def live_page(live_model, live_slider, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page, with the slider and the curves of a recorded sweep."""
    from gensar_lite.explore.export import write_page

    sweep = Path(__file__).parents[1] / "data" / "results" / "curves"
    path = tmp_path_factory.mktemp("page") / "page.html"
    return write_page(live_model, path, method="pca", slider=live_slider, sweeps=[sweep])


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Chromium, where there is one."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (the extra dev)")
    from browsing import CHROMIUM, FLAGS

    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()
