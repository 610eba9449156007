"""The report: whole in one file, every text escaped, the best of each column bold, the same bytes each time."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import pytest
from matplotlib import font_manager

from gensar_lite.evaluation.metrics import METRICS
from gensar_lite.evaluation.protocols import EVALUATION_PROTOCOLS
from gensar_lite.explore.report import Example, RunReport, duration, write_report
from gensar_lite.explore.style import font_names, glyphs_missed, style
from gensar_lite.explore.trees import Branch, Tree

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Checks nesting, and keeps what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.tables: list[dict] = []
        self.feed(text)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append({"caption": "", "rows": []})
        if tag == "tr":
            self.tables[-1]["rows"].append([])
        if tag in ("td", "th"):
            self.tables[-1]["rows"][-1].append({"text": "", "bold": False})
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "caption" in self.open:
            self.tables[-1]["caption"] += data
        elif self.open and {"td", "th"} & set(self.open):
            cell = self.tables[-1]["rows"][-1][-1]
            cell["text"] += data
            cell["bold"] |= "strong" in self.open

    def table(self, caption: str) -> list[list[dict]]:
        return next(t["rows"] for t in self.tables if caption in t["caption"])


def values(size: float) -> dict[str, float]:
    return {name: size * (0.5 + 0.1 * i) for i, name in enumerate(METRICS)}


def metrics(own: float = 0.3, fingerprint: str = "one") -> dict:
    return {
        "recommendation": {p: values(own) for p in EVALUATION_PROTOCOLS["recommendation"]},
        "search": {p: values(2 * own) for p in EVALUATION_PROTOCOLS["search"]},
        "baselines": {
            "sasrec": {"recommendation": {p: values(0.4) for p in EVALUATION_PROTOCOLS["recommendation"]}},
            "bm25": {"search": {p: values(0.5) for p in EVALUATION_PROTOCOLS["search"]}},
        },
        "provenance": {"fingerprint": fingerprint, "preset": "tiny", "config": {"seed": 7}},
    }


HEALTH = {
    "num_items": 9,
    "codebooks": {"m1": {"size": 64, "use": 0.25, "perplexity": 9.5}},
    "views": {
        "semantic": {
            "collisions_before": 0.034,
            "collisions_after": 0.0,
            "items_moved": 31,
            "largest_prefix_group": 4,
            "purity": [0.5],
        }
    },
    "reconstruction": {"semantic": 0.21},
    "warnings": ["Codebook m1 collapsed: 25% of its 64 codes are in use"],
}
NASTY = "<script>alert('x')</script> & \"quoted\""


def run(name: str = "GenSAR", **changes) -> RunReport:
    answers = [
        {"title": NASTY, "item_id": "i1", "score": -1.0, "identifier": "<m1_3><s1_4>"},
        {"title": "a lamp", "item_id": "i2", "score": -2.0, "identifier": "<m1_3><s1_5>"},
    ]
    examples = [
        Example("search", NASTY, answers, history=["a chair"], target="i2"),
        Example("recommendation", "u1", [{"title": "a desk"}]),
    ]
    content = {
        "metrics": metrics(),
        "health": HEALTH,
        "timings": {"signals": 3.0, "training": 95.0},
        "examples": examples,
        "history": [{"step": 10, "loss": 2.0, "primary": 0.1}, {"step": 20, "loss": 1.0, "primary": 0.2}],
        "tree": Tree("a tree", [Branch("<m1_3>", "2 items", NASTY)]),
    }
    return RunReport(name, **(content | changes))


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def page(tmp_path) -> Page:
    return Page(write_report(tmp_path / "report.html", run(), title=NASTY).read_text(encoding="utf-8"))


def test_no_script_and_no_outside_request(page):
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "iframe", "object", "embed", "form"}
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "style"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#", "width:")), (tag, name, value)
        assert not [a for a in attributes if a.startswith("on")], tag


def test_texts_are_escaped(tmp_path):
    text = write_report(tmp_path / "report.html", run(), title=NASTY).read_text(encoding="utf-8")
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert") >= 4  # title twice, query, answer, tree
    assert "&lt;m1_3&gt;&lt;s1_4&gt;" in text
    assert not re.search(r"(?<!&#39;)https?://", text)


def test_semantics(page):
    tags = page.tags
    assert dict(tags[0][1]) == {"lang": "en"}
    assert [t for t, _ in tags].count("h1") == 1
    assert {"main", "header", "footer", "nav", "section", "figure", "figcaption", "caption", "article"} <= {
        t for t, _ in tags
    }
    assert all(a.get("alt") for t, a in tags if t == "img")
    assert all(a.get("scope") for t, a in tags if t == "th")
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for t, a in tags if t == "a"} <= set(ids)


def test_tables_name_the_protocol_and_mark_the_best(page):
    rows = page.table("Recommendation: ranked by NDCG@10 of uniform99")
    assert [c["text"] for c in rows[0][1:]] == [
        "uniform99against 99 items drawn uniformly",
        "popular99against 99 items drawn by popularity",
        "fullin the whole catalogue",
    ]
    assert [r[0]["text"] for r in rows[2:]] == ["sasrec", "GenSAR"]
    assert all(c["bold"] for c in rows[2][1:])
    assert not any(c["bold"] for c in rows[3][1:])
    assert rows[3][2]["text"] == f"{values(0.3)['NDCG@10']:.3f}"
    search = page.table("Search: ranked by NDCG@10 of bm25_99")
    assert [r[0]["text"] for r in search[2:]] == ["GenSAR", "bm25"]
    full = page.table("Search, protocol adhoc_full")
    assert [c["text"] for c in full[0][1:]] == list(METRICS)


def test_equal_values_are_all_the_best(tmp_path):
    page = Page(write_report(tmp_path / "r.html", run(metrics=metrics(own=0.4)), title="t").read_text())
    assert all(c["bold"] for row in page.table("Recommendation: ranked")[2:] for c in row[1:])


def test_health_times_and_examples_are_told(tmp_path):
    text = write_report(tmp_path / "r.html", run(), title="t").read_text()
    for words in (
        "25.0 %",
        "9.5",
        "3.4 %",
        "Codebook m1 collapsed",
        "1 min 35 s",
        "1 min 38 s",
        "the item clicked next",
        "a chair",
        "config: seed",
        "over 20 training steps; at the end loss 1.000",
    ):
        assert words in text, words
    assert text.count("the item clicked next") == 1
    assert "best baseline sasrec 0.360 (\N{MINUS SIGN}0.090)" in text


def test_a_run_with_metrics_alone(tmp_path):
    page = Page(write_report(tmp_path / "r.html", RunReport("bare", metrics()), title="t").read_text())
    assert {a.get("id") for t, a in page.tags if t == "section"} == {"results", "provenance"}


def test_runs_on_one_data_set_share_a_table(tmp_path):
    text = write_report(tmp_path / "r.html", [run("first"), run("second", metrics=metrics(0.6))], title="t").read_text()
    rows = Page(text).table("Recommendation: ranked")
    assert [r[0]["text"] for r in rows[2:]] == ["second", "sasrec", "first"]


def test_runs_on_different_data_sets_do_not(tmp_path):
    page = Page(
        write_report(
            tmp_path / "r.html", [run("first"), run("second", metrics=metrics(0.6, "two"))], title="t"
        ).read_text()
    )
    tables = [t for t in page.tables if "Recommendation: ranked" in t["caption"]]
    assert [[r[0]["text"] for r in t["rows"][2:]] for t in tables] == [["sasrec", "first"], ["second", "sasrec"]]


def test_baselines_of_other_seeds_stand_beside_each_other(tmp_path):
    other = metrics(0.6)
    other["baselines"]["sasrec"]["recommendation"]["full"]["MRR"] += 0.01
    page = Page(write_report(tmp_path / "r.html", [run("first"), run("second", metrics=other)], title="t").read_text())
    assert {"sasrec", "sasrec (second)"} <= {r[0]["text"] for r in page.table("Recommendation: ranked")}


def test_the_same_report_has_the_same_bytes(tmp_path):
    first, second = (write_report(tmp_path / f"{i}.html", run(), title="t").read_bytes() for i in range(2))
    assert first == second


def test_unusable_runs_are_refused_and_nothing_is_left(tmp_path):
    with pytest.raises(ValueError, match="different names"):
        write_report(tmp_path / "r.html", [run(), run()], title="t")
    with pytest.raises(ValueError, match="at least one run"):
        write_report(tmp_path / "r.html", [], title="t")
    assert list(tmp_path.iterdir()) == []


def test_duration_in_words():
    assert [duration(s) for s in (0.44, 51.2, 59.7, 200, 3599.9, 7500)] == [
        "0.4 s",
        "51 s",
        "1 min 00 s",
        "3 min 20 s",
        "1 h 00 min",
        "2 h 05 min",
    ]


def test_the_ceiling_is_never_the_best(tmp_path):
    content = metrics()
    content["baselines"]["oracle"] = {"search": {p: values(0.9) for p in EVALUATION_PROTOCOLS["search"]}}
    page = Page(write_report(tmp_path / "report.html", run(metrics=content), title="t").read_text(encoding="utf-8"))
    rows = {row[0]["text"]: row[1:] for row in page.table("Search: ranked")[2:]}
    assert not any(cell["bold"] for cell in rows["oracle"])
    assert all(cell["bold"] for cell in rows["GenSAR"])


def test_letters_without_a_font_are_told_once(recwarn):
    with style():
        figure, ax = plt.subplots()
        ax.set_title("睡袋 冬季")
    with glyphs_missed() as note:
        figure.savefig(io.BytesIO(), format="png")
    plt.close(figure)
    assert len(note) == (len(font_names(font.name for font in font_manager.fontManager.ttflist)) == 1)
    assert not [warning for warning in recwarn if "missing from font" in str(warning.message)]
    assert font_names(["Arial", "Noto Sans CJK SC", "SimHei"]) == ["DejaVu Sans", "Noto Sans CJK SC"]
