"""The verbs that show a model: a page of explorers served on this machine, the live model in one file."""

from __future__ import annotations

import signal
from argparse import Namespace

from gensar_lite.cli.output import tell


def export(chosen: Namespace) -> None:
    """Write the live model of a run as one file."""
    from gensar_lite.explore.export import page_users, write_page
    from gensar_lite.model import GenSAR

    model = GenSAR.load(chosen.run)
    users = None if chosen.users is None else [user.strip() for user in chosen.users.split(",") if user.strip()]
    path = write_page(model, chosen.out, users)
    held = len(page_users(model, users))
    tell(f"{path.stat().st_size / 1e6:.1f} MB, with the histories of {held:,} users; open it in a browser.")
    print(path)


def app(chosen: Namespace) -> None:
    """Make what is missing, serve the page until it is interrupted."""
    from gensar_lite.explore.serve import check_packages, check_port, serving, wait_until_up

    check_packages()
    if not chosen.prepare_only:
        check_port(chosen.ip, chosen.port)
    from gensar_lite.explore.kit import prepare_kit

    run = prepare_kit(chosen.run, chosen.kit, chosen.steps, tell, chosen.map)
    if chosen.prepare_only:
        return
    call = (
        f"from gensar_lite.explore.widgets import open_page\nopen_page({str(run)!r}, {chosen.kit!r}, {chosen.sweeps!r})"
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server ends with us, however we are ended
    with serving(call, chosen.port, chosen.ip, not chosen.no_browser) as server:
        try:
            wait_until_up(server, chosen.ip, chosen.port)
            tell(f"The explorers: http://{chosen.ip}:{chosen.port}/ (Ctrl-C ends)")
            server.wait()
        except KeyboardInterrupt:
            tell("Ended.")
