"""What a sweep says to somebody who must decide: the right sentences for results whose answers are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
from test_tradeoff_reading import GOALS, sweep_of

from gensar_lite.explore.decision_page import write_decision
from gensar_lite.tradeoff.comparing import (
    compare_at_price,
    compare_strategies,
    compare_volumes,
    compare_with_specialists,
    specialists_table,
)
from gensar_lite.tradeoff.curve import read_curves
from gensar_lite.tradeoff.decision import Gains, decide, decision_text
from gensar_lite.tradeoff.reading import curves_table, points_table
from gensar_lite.tradeoff.results import LISTS
from gensar_lite.tradeoff.summary import Reading, summary_text

POINTS = {
    ("sweep", "gensar", 0.0): (0.1, 0.9),
    ("sweep", "gensar", 0.25): (0.4, 0.9),
    ("sweep", "gensar", 0.75): (0.6, 0.5),
    ("sweep", "gensar", 1.0): (0.9, 0.1),
    ("sweep", "semantic", 0.25): (0.1, 0.7),
    ("sweep", "semantic", 0.75): (0.2, 0.4),
    ("sweep", "twin", 0.25): (0.4, 0.9),
    ("sweep", "twin", 0.75): (0.6, 0.5),
    ("specialist", "bm25", np.nan): (-1, 0.6),
    ("specialist", "als", np.nan): (0.3, -1),
}


def reading_of(points: dict = POINTS, seeds: tuple[int, ...] = (0, 1), lists: pd.DataFrame | None = None) -> Reading:
    return read(*sweep_of(points, seeds), lists)


def read(results: pd.DataFrame, ranks: pd.DataFrame, lists: pd.DataFrame | None = None) -> Reading:
    curves, rankers = (read_curves(results, ranks, specialists=which) for which in (False, True))
    if lists is not None:
        results = pd.concat([results, lists], ignore_index=True)
    return Reading(
        results,
        curves,
        points_table(curves),
        curves_table(curves),
        specialists_table(results),
        compare_volumes(curves, "gensar"),
        compare_strategies(curves, "gensar"),
        compare_with_specialists(results, curves, rankers),
        pd.DataFrame(),
        cheap=compare_at_price(curves),
    )


def test_one_model_against_the_best_of_each_task():
    found = decide(reading_of(), GOALS)["shop"]
    assert found["In short"] == [
        "Validation takes gensar at mix 0.25, the generator alone: recommendation 0.400 (NDCG@10, uniform99), search 0.900 "
        "(bm25_99); test cases, mean of 2 trainings.",
        "One model for both tasks costs something: gensar recommendation-only is surely better in recommendation.",
    ]
    told = found["One model for both tasks?"]
    assert told[0].startswith("In recommendation it is 0.100 (33%) ahead of the best ranker of the task, als: +")
    assert told[2].startswith(
        "In recommendation it is 0.500 (56%) behind the best model of the task alone, gensar recommendation-only: -"
    )
    assert told[2].endswith(", sure.")
    assert "behind the best model of the task alone, gensar search-only: " in told[3]
    few = {key: value for key, value in POINTS.items() if key[2] not in (0.0, 1.0)}
    found = decide(reading_of(few), GOALS)["shop"]
    assert any(s.startswith("In search it is 0.300 (50%) ahead of ") for s in found["One model for both tasks?"])
    assert found["In short"][1].startswith("One model serves both tasks: surely ahead of the best ranker in")
    assert found["In short"][1].endswith(", surely behind no ranker.")
    assert not any("alone, gensar" in s for s in found["One model for both tasks?"])
    neither = {key: value for key, value in few.items() if key[0] == "sweep"}
    assert "One model for both tasks?" not in decide(reading_of(neither), GOALS)["shop"]


def test_cheap_curves_are_told_by_what_their_minutes_would_pay_for():
    cheap = {("conditioned", "gensar", 0.5): (0.9, 0.9), ("interpolation", "gensar", 0.5): (0.1, 0.1)}
    better, worse = decide(reading_of(POINTS | cheap), GOALS)["shop"]["Is there a cheaper way?"]
    assert better.startswith(
        "Covers surely more than the mixes of the sweep that its minutes pay for: conditioned (+0."
    )
    assert worse.startswith("Covers surely less than those mixes: interpolation (-0.")
    assert "Is there a cheaper way?" not in decide(reading_of(), GOALS)["shop"]


def test_a_model_of_one_task_with_as_much_practice_is_an_opponent_of_its_own():
    """Of 400 steps at mix .25 recommendation has 100 and search 300."""
    whole = {key: value for key, value in POINTS.items() if key[1] == "gensar" and key[2] != 0.75}
    short = {("sweep", "gensar", 1.0): (0.3, 0.1)}, {("sweep", "gensar", 0.0): (0.1, 0.85)}
    tables = []
    for points, steps in zip((whole, *short), (400, 100, 300), strict=True):
        about = {"parameters": f'{{"steps": {steps}}}', "variant": "" if steps == 400 else f"steps={steps}"}
        tables.append([table.assign(**about, run=table["run"] + str(steps)) for table in sweep_of(points)])
    reading = read(*(pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True)))
    rows = reading.distances.set_index(["kind", "task"])
    assert rows.loc["equal practice"]["against"].to_dict() == {
        "recommendation": "gensar (steps=100) recommendation-only",
        "search": "gensar (steps=300) search-only",
    }
    np.testing.assert_allclose(rows.loc["equal practice"]["difference"], [0.1, 0.05], atol=1e-6)
    assert rows.loc[("one task", "recommendation"), "against"] == "gensar recommendation-only"
    told = decide(reading, GOALS)["shop"]["One model for both tasks?"]
    assert any("ahead of a model with as much practice in the task alone, gensar (steps=300)" in line for line in told)


def test_the_generator_alone_and_with_evidence_are_told_apart():
    alone = sweep_of({key: value for key, value in POINTS.items() if key[1] in ("gensar", "bm25", "als")})
    heard = sweep_of({("sweep", "gensar", 0.25): (0.6, 0.9), ("sweep", "gensar", 0.75): (0.7, 0.9)})
    about = {"variant": "evidence=words", "parameters": '{"evidence": ["words"]}'}
    heard = [table.assign(**about, run=table["run"] + "e") for table in heard]
    found = decide(read(*(pd.concat(tables, ignore_index=True) for tables in zip(alone, heard, strict=True))), GOALS)[
        "shop"
    ]
    assert found["In short"][0].startswith("Validation takes gensar at mix 0.25, the generator alone: ")
    assert found["In short"][2].startswith(
        "Validation takes gensar + words at mix 0.75, with the store's evidence (words): "
    )
    worth = found["With evidence: what is the store's evidence worth?"]
    assert worth[0].startswith("In recommendation it is 0.100 (17%) ahead of gensar at the same mix: ")
    assert "The generator alone: which mix?" in found
    assert not any(question.endswith("hich identifiers?") for question in found), "evidence is no other identifier"


def test_which_identifiers():
    told = decide(reading_of(), GOALS)["shop"]["Which identifiers?"]
    assert told[0].startswith("Surely better in a task, and surely worse in none, than semantic (recommendation +0.300")
    assert told[1] == "Not told apart from twin (recommendation +0.000, search +0.000)."
    assert told[2] == "Over all mixes together it covers surely more than semantic."


def test_which_mix_and_what_a_point_costs():
    told = decide(reading_of(), GOALS)["shop"]["Which mix?"]
    assert told[0] == "No other mix comes within 0.01 of 0.25 on validation."
    assert told[1] == "From mix 0.25 to mix 0.75: recommendation +0.200 (sure); search -0.400 (sure)."
    assert told[2] == "So there is a trade-off: one point of search buys 0.50 points of recommendation."
    flat = {("sweep", "gensar", place): (0.4, 0.5) for place in (0.25, 0.5, 0.75)}
    told = decide(reading_of(flat), GOALS)["shop"]["Which mix?"]
    assert told[0].startswith("Mixes 0.25, 0.5, 0.75 lie within 0.01 of each other on validation")
    assert told[-1] == "So no trade-off between the mixes is seen here."


def test_one_training_is_never_sure():
    found = decide(reading_of(seeds=(0,)), GOALS)["shop"]
    assert found["In short"][0].endswith("one training, so nothing is sure.")
    assert len(found["In short"]) == 1
    text = decision_text({"shop": found})
    assert ", sure)" not in text
    assert "(sure)" not in text
    assert "urely better" not in text


def test_who_gains():
    reading = reading_of()
    row = {"feature": "popularity", "group": "0 to 3", "cases": 40, "p_holm": 0.01}
    table = pd.DataFrame(
        [
            {"task": "search", "difference": 0.2, **row},
            {"task": "recommendation", "difference": -0.1, **row},
            {"task": "search", "difference": 0.9, **row, "p_holm": 0.5},
        ]
    )
    gains = {"shop": Gains(reading.curves[0], 0.25, table)}
    told = decide(reading, GOALS, gains)["shop"]["Who gains, who loses?"]
    assert "search with clicks of the target in training 0 to 3 (+0.200, 40 cases)" in told[0]
    assert "recommendation with clicks of the target in training 0 to 3 (-0.100, 40 cases)" in told[1]
    assert "0.900" not in " ".join(told)


def lists_of(values: dict[tuple[str, str, float], float]) -> pd.DataFrame:
    about = {"data": "shop", "fingerprint": "f", "version": "v", "variant": "", "seed": 0, "protocol": LISTS}
    about |= {"split": "test", "metric": "coverage", "task": "recommendation"}
    rows = [
        {"curve": curve, "strategy": name, "place": place, "mix": place, "value": value, "run": name, **about}
        for (curve, name, place), value in values.items()
    ]
    return pd.DataFrame(rows)


def test_what_lists_look_like():
    lists = lists_of(
        {
            ("sweep", "gensar", 0.25): 0.34,
            ("specialist", "als", np.nan): 0.5,
            ("specialist", "popularity", np.nan): 0.01,
        }
    )
    told = decide(reading_of(lists=lists), GOALS)["shop"]["What do its lists look like?"]
    assert told == ["Share of the catalogue that somebody is shown: recommendation 34% (rankers 1% to 50%)."]


def test_the_page_begins_with_the_sentences(tmp_path):
    reading = reading_of()
    page = write_decision(tmp_path / "page.html", {"mine": (reading, {})}, GOALS, "mine <b>").read_text()
    found = decide(reading, GOALS)["shop"]
    places = [page.index(question) for question in found]
    assert places == sorted(places)
    assert max(places) < page.index("data:image/png") < page.index("<details>")
    assert "mine &lt;b&gt;" in page
    assert "<script" not in page
    assert "nan" not in page.split("<details>", 1)[1]


def test_what_is_not_done_yet_is_said(tmp_path):
    reading = reading_of()._replace(missing=3)
    page = write_decision(tmp_path / "page.html", {"mine": (reading, {})}, GOALS, "mine").read_text()
    assert "mine: 3 runs are not done yet" in page.split("<section", 1)[0]
    assert summary_text(reading, GOALS).endswith(
        "3 runs are not done yet (under way, or failed): what is said here is of the others, and may change."
    )


def test_the_question_names_what_the_sweeps_differ_in():
    """Two trainings of one strategy differ in settings, not in identifiers."""
    results, ranks = sweep_of({key: value for key, value in POINTS.items() if key[1] not in ("semantic", "twin")})
    longer = [
        table[table["curve"] == "sweep"].assign(variant="steps=2", run=lambda t: t["run"] + "s")
        for table in (results, ranks)
    ]
    both = (pd.concat(tables, ignore_index=True) for tables in zip((results, ranks), longer, strict=True))
    told = decide(read(*both), GOALS)["shop"]
    assert "Which settings?" in told
    assert not [question for question in told if "identifiers" in question]
