"""How fast the page answers on the embedded store: milliseconds in Chromium, from a question to its ten best items.

    python benchmarks/explorers.py [RUN]        default: runs/demo, else a model trained for a moment

Speed does not depend on how long the model was trained.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from gensar_lite.explore.export import write_page
from gensar_lite.explore.kit import find_run, quick_model
from gensar_lite.model import GenSAR

NUM_TIMES = 200
MEASURE = """(times) => {
  const users = gensar.store.about.users;
  const queries = gensar.store.about.queries;
  const asked = {
    "recommend, a user": (n) => gensar.recommend({ user: users[n % users.length] }),
    "search, a user": (n) => gensar.search(queries[n % queries.length], { user: users[n % users.length] }),
    "search, nobody": (n) => gensar.search(queries[n % queries.length]),
  };
  return Object.entries(asked).map(([what, ask]) => {
    for (let n = 0; n < 20; n++) ask(n);
    const spent = Array.from({ length: times }, (_, n) => {
      const started = performance.now();
      ask(n);
      return performance.now() - started;
    });
    spent.sort((a, b) => a - b);
    return [what, spent[times >> 1], spent[Math.floor(0.95 * times)], spent.at(-1)];
  });
}"""


def main() -> int:
    run = find_run(sys.argv[1] if len(sys.argv) > 1 else None, Path("runs/app"))
    model = GenSAR.load(run) if run else quick_model(20, progress=False)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        path = write_page(model, Path(folder) / "page.html", method="pca")
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(path.as_uri())
        page.wait_for_function("() => window.gensar")
        print(
            f"{model.data.num_items:,} items, {path.stat().st_size / 1e6:.1f} MB, {NUM_TIMES} times each: milliseconds"
        )
        print(f"{'':40}{'median':>8}{'95 %':>8}{'most':>8}")
        for what, *values in page.evaluate(MEASURE, NUM_TIMES):
            print(f"{what:40}" + "".join(f"{value:8.1f}" for value in values))
        browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
