"""One page about sweeps for somebody who must decide: sentences first, then the curves, then the tables, folded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from gensar_lite.data.storage import new_export
from gensar_lite.explore.curves import PROTOCOL_TEXTS
from gensar_lite.explore.report import picture_view
from gensar_lite.explore.report_page import HEAD, STYLE
from gensar_lite.explore.tradeoff_pictures import describe_tradeoff, gains_pictures
from gensar_lite.tradeoff.curve import Goals
from gensar_lite.tradeoff.decision import Gains, decide
from gensar_lite.tradeoff.results import CURVE
from gensar_lite.tradeoff.summary import TABLES, Reading, missing_text

SHOWN = (
    "volumes",
    "points",
    "specialists",
    "distances",
    "mixes",
    "strategies",
    "variants",
    "volume_differences",
    "cheap",
    "signals",
)
HIDDEN = {"fingerprint", "version", "per_cpu_minute", "minutes"}
PAGE = (
    HEAD
    + """<header><h1>{{ title }}</h1></header>
<main>
{% for sweep in sweeps -%}
{% if sweep.missing %}<p><strong>{{ sweep.name }}: {{ sweep.missing }}</strong></p>
{% endif -%}
{% for label, told in sweep.decision.items() -%}
<section aria-label="{{ label }}">
<h2>{{ label }}{% if sweeps|length > 1 %} ({{ sweep.name }}){% endif %}</h2>
{% for question, sentences in told.items() %}<h3>{{ question }}</h3>
<ul>{% for sentence in sentences %}
<li>{{ sentence }}</li>{% endfor %}
</ul>
{% endfor -%}
</section>
{% endfor -%}
<section aria-label="Figures of {{ sweep.name }}">
<h2>Curves{% if sweeps|length > 1 %} of {{ sweep.name }}{% endif %}</h2>
{% for figure in sweep.figures -%}
<figure><img src="{{ figure.source }}" alt="{{ figure.alt }}" width="{{ figure.width }}" height="{{ figure.height }}"><figcaption>{{ figure.caption }}</figcaption></figure>
{% endfor -%}
</section>
<section aria-label="Tables of {{ sweep.name }}">
<h2>Tables{% if sweeps|length > 1 %} of {{ sweep.name }}{% endif %}</h2>
{% for table in sweep.tables -%}
<details><summary>{{ table.about }}</summary>
<div class="scroll" role="region" aria-label="{{ table.about }}" tabindex="0"><table>
<thead><tr>{% for column in table.columns %}<th scope="col">{{ column }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in table.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
</details>
{% endfor -%}
</section>
{% endfor -%}
</main>
<footer>
<p>Validation cases choose, test cases report. Sure: p &lt; .05 after Holm's correction, of at least two trainings; intervals are 95 % over users. {{ goals }}</p>
</footer>
</body>
</html>
"""
)


def write_decision(
    path: str | Path, sweeps: Mapping[str, tuple[Reading, Mapping[str, Gains]]], goals: Goals, title: str
) -> Path:
    """Write one self-contained HTML file about sweeps, by name, and return its path.

    Raises RefusedError where `path` is a file that is no report.
    """
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(PAGE)
    views = []
    for name, (reading, gains) in sweeps.items():
        pictures = [*describe_tradeoff(reading, goals).values(), *gains_pictures(gains, goals).values()]
        figures = [picture_view(picture) for picture in pictures]
        for picture in pictures:
            plt.close(picture.figure)
        tables = [
            _table_view(getattr(reading, table), TABLES[table]) for table in SHOWN if len(getattr(reading, table))
        ]
        missing = missing_text(reading.missing) if reading.missing else ""
        decision = decide(reading, goals, gains)
        views.append({"name": name, "missing": missing, "decision": decision, "figures": figures, "tables": tables})
    protocols = "; ".join(
        f"{name} is {PROTOCOL_TEXTS.get(name, name)}" for name in (goals.recommendation, goals.search)
    )
    told = f"Numbers are {goals.metric} ({protocols}). A mix is the share of recommendation in training."
    text = page.render(title=title, style=Markup(STYLE), sweeps=views, goals=told)
    with new_export(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def _table_view(table: pd.DataFrame, about: str) -> dict[str, Any]:
    """A table as texts, without what is the same in all of its rows and no number."""
    same = [c for c in CURVE if c in table and c != "data" and table[c].nunique() == 1]
    shown = table.drop(columns=[c for c in {*HIDDEN, *same} if c in table])
    rows = [[_cell(value) for value in row] for row in shown.itertuples(index=False)]
    return {"about": about, "columns": [str(c).replace("_", " ") for c in shown.columns], "rows": rows}


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "–" if value != value else f"{value:.4g}"
    return {True: "yes", False: ""}.get(value, str(value)) if isinstance(value, bool) else str(value)
