"""The verbs that show a model: its page written to a file, or made and opened."""

from __future__ import annotations

import webbrowser
from argparse import Namespace
from pathlib import Path
from typing import Any

from gensar_lite.cli.output import tell


def export(chosen: Namespace) -> None:
    """Write the live model of a run as one file."""
    from gensar_lite.data.storage import check_export
    from gensar_lite.explore.export import page_users, write_page
    from gensar_lite.model import GenSAR

    check_export(chosen.out)
    model = GenSAR.load(chosen.run)
    path = write_page(model, chosen.out, _names(chosen.users), chosen.map, **_curves(chosen, chosen.run))
    held = len(page_users(model, _names(chosen.users)))
    tell(f"{path.stat().st_size / 1e6:.1f} MB, with the histories of {held:,} users; open it in a browser.")
    print(path)


def app(chosen: Namespace) -> None:
    """Make the page of a run, unless it is there, and open it."""
    from gensar_lite.explore.export import prepare_page
    from gensar_lite.explore.kit import prepare_run

    run = prepare_run(chosen.run, chosen.kit, chosen.steps, tell)
    path = prepare_page(run, Path(chosen.kit), _names(chosen.users), chosen.map, tell, **_curves(chosen, run))
    if not chosen.no_browser:
        webbrowser.open(path.resolve().as_uri())
    print(path)


def _curves(chosen: Namespace, run: str | Path) -> dict[str, Any]:
    """What a page shows of the trade-off: the slider, where it is asked for, and sweeps."""
    from gensar_lite.explore.slider import prepare_slider

    slider = prepare_slider(run, chosen.kit, tell) if chosen.slider else None
    return {"slider": slider, "sweeps": chosen.sweep}


def _names(users: str | None) -> list[str] | None:
    return None if users is None else [user.strip() for user in users.split(",") if user.strip()]
