"""The page of a report: a Jinja template with its style sheet inline, in the live page's colours, without script or outside request."""

from __future__ import annotations

import re

from gensar_lite.explore.bundle import PAGE as FOLDER


def _colours() -> str:
    """The colours of the live page, light and dark as the system asks."""
    light, dark = re.findall(
        r":root(?:\.dark)? \{(.*?)\}", (FOLDER / "page.css").read_text(encoding="utf-8"), re.DOTALL
    )[:2]
    return f":root {{{light}}}\n@media (prefers-color-scheme: dark) {{ :root {{{dark}}} }}"


STYLE = (
    _colours()
    + """
:root { --warn-paper: color-mix(in srgb, var(--warn) 10%, var(--card)); --bar: var(--semantic); }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
main, header, footer { max-width: 66rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; } footer { padding: 1.5rem 1.25rem 3rem; color: var(--muted); font-size: .875rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .35rem; text-wrap: balance; }
h2 { font-size: 1.35rem; margin: 2.75rem 0 .5rem; padding-top: 1.1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.06rem; margin: 1.75rem 0 .4rem; } h4 { margin: 0 0 .35rem; font-size: 1rem; }
p { max-width: 46rem; margin: .4rem 0 .8rem; } .muted, caption, figcaption { color: var(--muted); }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; padding: 0; margin: 1rem 0 0; } a { color: var(--strong); }
.facts { display: flex; flex-wrap: wrap; gap: .75rem; padding: 0; margin: 1.25rem 0 0; list-style: none; }
.facts li { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .7rem 1rem; flex: 1 1 15rem; }
.facts b { display: block; font-size: 1.7rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .6rem; background: var(--card); margin: .6rem 0 1.1rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .65rem .8rem .35rem; }
th, td { padding: .34rem .8rem; text-align: right; border-top: 1px solid var(--line); white-space: nowrap; }
thead th { color: var(--muted); font-weight: 600; vertical-align: bottom; } thead th.group { text-align: center; border-left: 1px solid var(--line); }
th.group small { display: block; max-width: 13em; margin: 0 auto; font-weight: 400; white-space: normal; }
tbody th, th.left, td.left { text-align: left; } tbody th { font-weight: 500; } td.first, th.first { border-left: 1px solid var(--line); }
tr.own th, tr.own td { background: var(--own); } td strong { color: var(--strong); font-weight: 700; }
details { margin: .2rem 0 1.2rem; } summary { cursor: pointer; color: var(--strong); padding: .2rem 0; }
.examples { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1rem; }
article { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.1rem; }
article ol { margin: .5rem 0 0; padding-left: 1.5rem; } article li { margin: .25rem 0; overflow-wrap: anywhere; }
article ol ol, article p { margin: .25rem 0; } .hit { font-weight: 650; } .mark { color: var(--strong); }
code { font: .8em ui-monospace, "DejaVu Sans Mono", monospace; color: var(--muted); overflow-wrap: anywhere; }
figure { margin: 1rem 0 1.5rem; } figure img { max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line); border-radius: .6rem; padding: .6rem; }
figcaption { font-size: .9rem; max-width: 46rem; }
.warning { background: var(--warn-paper); border-left: 4px solid var(--warn); padding: .55rem .9rem; border-radius: .3rem; }
.bar { display: block; height: .7rem; min-width: 1px; background: var(--bar); border-radius: .2rem; } td.wide { width: 45%; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; } dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
@media print { details { display: block; } .scroll { overflow: visible; } }
"""
)

HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="gensar_lite">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<link rel="icon" href="data:,">
<style>{{ style }}</style>
</head>
<body>
"""
"""How every report begins; the mark by which it is known is in it."""

PAGE = (
    HEAD
    + """
{%- macro number(value, digits=3) -%}{{ "–" if value is none else ("%." ~ digits ~ "f")|format(value) }}{%- endmacro -%}
<header>
<h1>{{ title }}</h1>
{% for line in summary %}<p>{{ line }}</p>
{% endfor -%}
{% if facts %}<ul class="facts">
{% for fact in facts %}<li><span class="muted">{{ fact.label }}</span><b>{{ number(fact.value) }}</b>{{ fact.text }}</li>
{% endfor %}</ul>
{% endif -%}
<nav aria-label="Sections"><ul>
{% for anchor, text in sections %}<li><a href="#{{ anchor }}">{{ text }}</a></li>
{% endfor %}</ul></nav>
</header>
<main>
{% for group in groups -%}
<section id="results{{ '' if loop.first else loop.index }}" aria-label="Results">
<h2>Results{% if groups|length > 1 %}: {{ group.name }}{% endif %}</h2>
<p>The best value of each column is bold. Every number is the mean over the held-out cases of its column's protocol; ties count with their expected value under a random order.</p>
{% for task in group.tasks -%}
<h3>{{ task.name|capitalize }}</h3>
<div class="scroll" role="region" aria-label="{{ task.name|capitalize }} results" tabindex="0"><table>
<caption>{{ task.name|capitalize }}: {{ task.caption }}</caption>
<thead><tr><th rowspan="2" scope="col" class="left">ranker</th>{% for p in task.protocols %}<th class="group" scope="colgroup" colspan="{{ task.main|length }}">{{ p.name }}<small>{{ p.text }}</small></th>{% endfor %}</tr>
<tr>{% for p in task.protocols %}{% for m in task.main %}<th scope="col"{% if loop.first %} class="first"{% endif %}>{{ m }}</th>{% endfor %}{% endfor %}</tr></thead>
<tbody>{% for row in task.rows %}
<tr{% if row.own %} class="own"{% endif %}><th scope="row">{{ row.name }}</th>{% for p in task.protocols %}{% for m in task.main %}{% set cell = row.cells[p.name][m] %}<td{% if loop.first %} class="first"{% endif %}>{% if cell.best %}<strong>{{ number(cell.value) }}</strong>{% else %}{{ number(cell.value) }}{% endif %}</td>{% endfor %}{% endfor %}</tr>{% endfor %}
</tbody></table></div>
<details><summary>All metrics of {{ task.name }}</summary>
{% for p in task.protocols -%}
<div class="scroll" role="region" aria-label="{{ task.name|capitalize }}, {{ p.name }}" tabindex="0"><table>
<caption>{{ task.name|capitalize }}, protocol {{ p.name }}: {{ p.text }}</caption>
<thead><tr><th scope="col" class="left">ranker</th>{% for m in task.metrics %}<th scope="col">{{ m }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in task.rows %}
<tr{% if row.own %} class="own"{% endif %}><th scope="row">{{ row.name }}</th>{% for m in task.metrics %}{% set cell = row.cells[p.name][m] %}<td>{% if cell.best %}<strong>{{ number(cell.value) }}</strong>{% else %}{{ number(cell.value) }}{% endif %}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>
{% endfor -%}
</details>
{% endfor -%}
{% if group.lists -%}
<h3>What the lists look like</h3>
<div class="scroll" role="region" aria-label="Quality of the lists" tabindex="0"><table>
<caption>Top-10 lists of the held-out cases. Coverage: share of the catalogue in somebody's list. Popularity bias: mean popularity percentile, 0.5 is neutral. Novelty: mean self-information in bits. Repeats: share of the listed items that the user had clicked before. Named: share of the first five that are the product named, for queries of a colour and a noun by somebody with a history, where the truth is known.</caption>
<thead><tr><th scope="col" class="left">ranker</th><th scope="col" class="left">task</th><th scope="col">coverage</th><th scope="col">popularity bias</th><th scope="col">novelty</th><th scope="col">repeats</th><th scope="col">named</th></tr></thead>
<tbody>{% for row in group.lists %}<tr{% if row.own %} class="own"{% endif %}><th scope="row">{{ row.name }}</th><td class="left">{{ row.task }}</td><td>{{ number(row.coverage) }}</td><td>{{ number(row.popularity_bias) }}</td><td>{{ number(row.novelty, 2) }}</td><td>{{ number(row.repeats) if "repeats" in row else "" }}</td><td>{{ number(row["noun_precision@5"]) if "noun_precision@5" in row else "" }}</td></tr>
{% endfor %}</tbody></table></div>
{% endif -%}
</section>
{% endfor -%}
{% for run in runs -%}
{% set suffix = "" if runs|length == 1 else "-" ~ loop.index -%}
{% set of_run = "" if runs|length == 1 else " of " ~ run.name -%}
{% if run.examples -%}
<section id="examples{{ suffix }}" aria-label="Examples{{ of_run }}">
<h2>Examples{{ of_run }}</h2>
<div class="examples">
{% for example in run.examples -%}
<article>
<h4>{{ example.heading }}</h4>
{% if example.history %}<p class="muted">After: {{ example.history|join(" → ") }}</p>
{% endif -%}
<ol>{% for answer in example.answers %}
<li{% if answer.hit %} class="hit"{% endif %}>{{ answer.title }}{% if answer.hit %} <span class="mark">✓ the item clicked next</span>{% endif %}{% if answer.identifier %}<br><code>{{ answer.identifier }}</code>{% endif %}</li>{% endfor %}
</ol>
{% if example.note %}<p class="muted">{{ example.note }}</p>
{% endif -%}
</article>
{% endfor -%}
</div>
</section>
{% endif -%}
{% if run.figures -%}
<section id="figures{{ suffix }}" aria-label="Figures{{ of_run }}">
<h2>Figures{{ of_run }}</h2>
{% for figure in run.figures -%}
<figure><img src="{{ figure.source }}" alt="{{ figure.alt }}" width="{{ figure.width }}" height="{{ figure.height }}"><figcaption>{{ figure.caption }}</figcaption></figure>
{% endfor -%}
</section>
{% endif -%}
{% if run.health -%}
<section id="identifiers{{ suffix }}" aria-label="Identifiers{{ of_run }}">
<h2>Identifiers{{ of_run }}</h2>
{% for sentence in run.health.warnings %}<p class="warning"><strong>Warning:</strong> {{ sentence }}</p>
{% endfor -%}
{% if run.health.codebooks -%}
<div class="scroll" role="region" aria-label="Codebooks" tabindex="0"><table>
<caption>Codebooks, before duplicates were repaired. Perplexity: how many codes used alike would say as much.</caption>
<thead><tr><th scope="col" class="left">codebook</th><th scope="col">codes</th><th scope="col">in use</th><th scope="col">perplexity</th></tr></thead>
<tbody>{% for book in run.health.codebooks %}<tr><th scope="row">{{ book.name }}</th><td>{{ book.size }}</td><td>{{ "%.1f %%"|format(100 * book.use) }}</td><td>{{ number(book.perplexity, 1) }}</td></tr>
{% endfor %}</tbody></table></div>
{% endif -%}
{% if run.health.views -%}
<div class="scroll" role="region" aria-label="Views" tabindex="0"><table>
<caption>Uniqueness: items that shared an identifier with an earlier item, before and after repair.</caption>
<thead><tr><th scope="col" class="left">view</th><th scope="col">shared before</th><th scope="col">shared after</th><th scope="col">items moved</th><th scope="col">largest prefix group</th></tr></thead>
<tbody>{% for view in run.health.views %}<tr><th scope="row">{{ view.name }}</th><td>{{ "%.1f %%"|format(100 * view.collisions_before) }}</td><td>{{ "%.1f %%"|format(100 * view.collisions_after) }}</td><td>{{ view.items_moved }}</td><td>{{ view.largest_prefix_group }}</td></tr>
{% endfor %}</tbody></table></div>
{% endif -%}
{% for signal, lost in run.health.reconstruction %}<p>The codes lose {{ "%.1f %%"|format(100 * lost) }} of the variance of the {{ signal }} signal.</p>
{% endfor -%}
</section>
{% endif -%}
{% if run.timings -%}
<section id="time{{ suffix }}" aria-label="Time{{ of_run }}">
<h2>Time{{ of_run }}</h2>
<div class="scroll" role="region" aria-label="Time of each stage" tabindex="0"><table>
<caption>Wall-clock time of each stage; all together {{ run.total_time }}.</caption>
<thead><tr><th scope="col" class="left">stage</th><th scope="col">time</th><th scope="col" class="left">share</th></tr></thead>
<tbody>{% for stage in run.timings %}<tr><th scope="row">{{ stage.name }}</th><td>{{ stage.text }}</td><td class="wide"><span class="bar" style="width: {{ stage.percent }}%"></span></td></tr>
{% endfor %}</tbody></table></div>
</section>
{% endif -%}
{% if run.provenance -%}
<section id="provenance{{ suffix }}" aria-label="Provenance{{ of_run }}">
<h2>Where this comes from{{ of_run }}</h2>
<dl>{% for key, value in run.provenance %}<dt>{{ key }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>
</section>
{% endif -%}
{% endfor -%}
</main>
<footer>
<p>HR@k: share of the cases whose true item is among the first k. NDCG@k: the same, weighted by 1 / log2(rank + 1). MRR: mean of 1 / rank. Numbers of different protocols cannot be compared with each other.</p>
</footer>
</body>
</html>
"""
)
