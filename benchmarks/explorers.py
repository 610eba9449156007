"""How fast the page answers on the embedded store: milliseconds in Chromium, from a question to its ten best items.

    python benchmarks/explorers.py [PAGE]        default: the committed page, docs/_static/bazaar.html

Speed does not depend on how long the model was trained. "processor" is the mean time of the page's thread on a core, which
other programs do not lengthen; the other columns are what somebody waits.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import CDPSession, sync_playwright

PAGE = Path(__file__).parents[1] / "docs" / "_static" / "bazaar.html"
NUM_TIMES = 200
ASKED = {
    "recommend, a user": "gensar.recommend({ user: users[n % users.length] })",
    "search, a user": "gensar.search(queries[n % queries.length], { user: users[n % users.length] })",
    "search, nobody": "gensar.search(queries[n % queries.length])",
}
MEASURE = """(times) => {
  const { users, queries } = gensar.store.about;
  const ask = (n) => ASKED;
  const spent = Array.from({ length: times }, (_, n) => {
    const started = performance.now();
    ask(n);
    return performance.now() - started;
  });
  spent.sort((a, b) => a - b);
  return [spent[times >> 1], spent[Math.floor(0.95 * times)], spent.at(-1)];
}"""


def processor(session: CDPSession) -> float:
    """Milliseconds that the page's thread has been on a core."""
    told = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    return 1000 * told["TaskDuration"]


def main() -> int:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.goto(path.resolve().as_uri())
        page.wait_for_function("() => window.gensar")
        num_items = page.evaluate("gensar.items.id.length")
        print(f"{num_items:,} items, {path.stat().st_size / 1e6:.1f} MB, {NUM_TIMES} times each: milliseconds")
        print(f"{'':24}{'processor':>10}{'median':>8}{'95 %':>8}{'most':>8}")
        for what, asked in ASKED.items():
            script = MEASURE.replace("ASKED", asked)
            page.evaluate(script, 20)  # until the browser has compiled it
            before = processor(session)
            waited = page.evaluate(script, NUM_TIMES)
            mean = (processor(session) - before) / NUM_TIMES
            print(f"{what:24}{mean:10.1f}" + "".join(f"{value:8.1f}" for value in waited))
        browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
