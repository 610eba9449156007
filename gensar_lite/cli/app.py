"""The verb that serves the explorers as a page."""

from __future__ import annotations

import signal
from argparse import Namespace

from gensar_lite.cli.output import tell


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
