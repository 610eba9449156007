"""Languages: stop words and stems by choice, compounds, words of scripts without spaces, known words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from builders import build_small

from gensar_lite.cli.answers import knows_a_word
from gensar_lite.data.bazaar import BazaarConfig, simulate
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.importing.finish import import_tables
from gensar_lite.data.languages import LANGUAGES, Pieces, find_language, get_language, split_compound
from gensar_lite.data.lexical import LexicalIndex, index_terms, typed_words
from gensar_lite.data.queries import synthesise_searches
from gensar_lite.data.storage import DataError
from gensar_lite.signals.text import TfidfEncoder, load_encoder
from gensar_lite.training.doc2query import Doc2Query

GERMAN = [
    "Leichter Schlafsack für den Sommer",
    "Kinderschlafsack mit Kapuze",
    "Daunenjacke für Damen, grün",
    "Regenjacken für Kinder",
    "Bürostuhl aus Leder mit Rollen",
    "Gartenstühle aus Holz, faltbar",
    "Kühlschrank mit Gefrierfach",
    "Bücherregal aus Eiche",
    "Gemüsehobel und Reibe",
    "Trinkflasche aus Edelstahl",
    "Wanderschuhe für Herren",
    "Hausschuhe aus Filz für die Füße",
    "Rucksack mit Regenhülle",
    "Stirnlampe mit Akkus",
    "Große Tasse für den Kaffee",
    "Kaffeemühle zum Mahlen der Bohnen",
]
"""An invented German catalogue; `ASKED` are queries with the items that answer them."""
ASKED = {
    "schlafsäcke": (0, 1),
    "schlafsaecke": (0, 1),
    "stuhl": (4, 5),
    "stühle": (4, 5),
    "jacke": (2, 3),
    "jacken für die kinder": (3,),
    "gruene daunenjacke": (2,),
    "kuehlschrank": (6,),
    "kühlschränke": (6,),
    "regal": (7,),
    "regale für bücher": (7,),
    "gemüse reiben": (8,),
    "flasche": (9,),
    "schuhe": (10, 11),
    "wanderschuh": (10,),
    "lampe": (13,),
    "tassen": (14,),
    "grosse tasse": (14,),
    "kaffeemühlen": (15,),
    "schlafsack für kinder": (1, 0),
}
CHINESE = [
    f"{a}{b}{c}"
    for a in ("加厚", "轻便", "防水")
    for b in ("不锈钢", "纯棉", "帆布")
    for c in ("雨伞", "保温杯", "双肩包")
]


def _reciprocal_rank(scores: np.ndarray, answers: tuple[int, ...]) -> float:
    """Of the best answer; ties and items without a score count with the mean of their places."""
    best = scores[list(answers)].max()
    return 1 / (1 + (scores > best).sum() + ((scores == best).sum() - 1) / 2)


def _quality(index: LexicalIndex) -> float:
    scores = index.scores(list(ASKED))
    return float(np.mean([_reciprocal_rank(row, right) for row, right in zip(scores, ASKED.values(), strict=True)]))


def test_german_is_never_worse_than_a_plain_tokenizer_and_better_on_the_whole():
    german, plain, english = (LexicalIndex(GERMAN, language) for language in ("german", "none", "english"))
    for (query, right), ours, theirs in zip(
        ASKED.items(), german.scores(list(ASKED)), plain.scores(list(ASKED)), strict=True
    ):
        assert _reciprocal_rank(ours, right) >= _reciprocal_rank(theirs, right), query
    assert _quality(german) > 0.9 > 0.7 > max(_quality(plain), _quality(english))


def test_terms_by_language():
    assert index_terms("Die Kühlschränke und der Kuehlschrank", "german") == ["kuhlschrank", "kuhlschrank"]
    assert index_terms("die Straße, die Strasse", "german") == index_terms("strasse Straße", "german")
    assert index_terms("les chaussures de la randonnée", "french") == ["chaussur", "randon"]
    assert index_terms("The Tents of 1/2 die", "none") == ["the", "tents", "of", "1/2", "die"]
    assert index_terms("the Tents of 1/2") == index_terms("the Tents of 1/2", "english") == ["tent", "1/2"]
    assert all(isinstance(get_language(name).stem("haus"), str) for name in LANGUAGES)
    with pytest.raises(DataError, match="unknown language 'klingon'"):
        get_language("klingon")


def test_compounds_are_split_where_their_head_is_a_word_of_the_catalogue():
    stem = get_language("german").stem
    assert split_compound("kinderschlafsack", {"schlafsack", "kind"}, stem) == ("schlafsack", "kind")
    assert split_compound("kinderschlafsack", {"schlafsack"}, stem) == ("schlafsack",)
    assert split_compound("flasche", {"asche"}, stem) == ()
    assert split_compound("zelt", {"zelt"}, stem) == ()


def test_the_language_is_found_from_the_text():
    assert find_language(GERMAN) == "german"
    assert find_language(["Une lampe pour la table et les livres", "Un sac avec des poches"]) == "french"
    assert find_language(["Red tent", "Blue mug", "X200 charger"]) == "english"
    assert find_language([]) == "english"
    assert find_language(CHINESE) == "chinese"
    assert find_language(["冬用あったか寝袋", "ワイヤレスイヤホン"]) == "japanese"
    assert find_language(simulate(BazaarConfig(num_items=100, num_users=20)).item_texts) == "english"


def test_words_of_text_without_spaces_are_pieces_that_recur():
    pieces = Pieces(CHINESE)
    assert typed_words("加厚不锈钢雨伞 GORE-TEX 2.5", pieces) == ["加厚", "不锈钢", "雨伞", "gore", "tex", "2.5"]
    for run in ("囧囧囧囧囧", "加厚囧", "囧雨伞", "雨", "囧"):  # characters that it has never seen
        found = pieces.split(run)
        assert "".join(found) == run
        assert len(run) == 1 or min(map(len, found)) > 1
    thai = ["ถุงนอนกันหนาว", "ถุงนอนเด็ก", "เก้าอี้กันหนาว", "เก้าอี้เด็ก"]
    assert all("".join(Pieces(thai).split(t)) == t for t in thai)
    assert typed_words("plain words", Pieces([])) == ["plain", "words"]
    assert Pieces(CHINESE).split(CHINESE[5]) == Pieces(CHINESE).split(CHINESE[5])


def _chinese_store():
    items = pd.DataFrame({"item_id": [f"i{n}" for n in range(len(CHINESE))], "title": CHINESE})
    items = items.assign(description="", categories="", brand="")
    rng = np.random.default_rng(0)
    rows = [(f"u{u}", f"i{i}", t) for u in range(20) for t, i in enumerate(rng.integers(len(CHINESE), size=6))]
    clicks = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    searches, _ = synthesise_searches(items, clicks, "known-item", language="chinese")
    return build_small(items, clicks, searches)


def test_made_up_queries_of_chinese_titles_are_words():
    data = _chinese_store()
    assert data.language == "chinese"
    written = Doc2Query.fit(data).sample(np.arange(data.num_items), 4)
    words = {"加厚", "轻便", "防水", "不锈钢", "纯棉", "帆布", "雨伞", "保温杯", "双肩包"}
    for query in (*data.searches["query"], *written):
        assert set(query.split()) <= words
    index = LexicalIndex(data.item_texts, data.language)  # search itself goes by characters
    assert (index.scores(["雨伞"])[0] > 0).tolist() == ["雨伞" in title for title in CHINESE]


@dataclass(eq=False)
class _Model:
    data: SimpleNamespace


def test_known_words_are_words_and_not_parts_of_them():
    def model(titles: list[str], language: str) -> SimpleNamespace:
        data = SimpleNamespace(item_texts=titles, log=SimpleNamespace(queries=["berries"]), language=language)
        return _Model(data)

    store = model(["Barstuhl aus Holz", "Kühlschränke", "berries and knives"], "german")
    assert not knows_a_word(store, "stuhl")
    assert knows_a_word(store, "barstühle")
    assert knows_a_word(store, "kuehlschrank")
    english = model(["Toolbox 1/2", "Berries and knives", "雨伞"], "english")
    assert not knows_a_word(english, "tool")
    assert not knows_a_word(english, "box")
    assert all(knows_a_word(english, query) for query in ("berry", "the knives", "1/2", "雨", "toolboxes"))


def test_the_text_encoder_keeps_its_language(tmp_path):
    encoder = TfidfEncoder.fit(GERMAN, language="german")
    assert np.allclose(encoder.encode(["Kühlschrank"]), encoder.encode(["die kuehlschraenke"]), atol=1e-6)
    encoder.save(tmp_path)
    assert np.array_equal(load_encoder(tmp_path).encode(["Schlafsäcke"]), encoder.encode(["Schlafsäcke"]))


def test_a_published_chinese_catalogue_gives_words():
    folder = Path(__file__).parents[2] / "shared" / "data" / "formats" / "kuaisearch_jsonl"
    if not folder.is_dir():
        pytest.skip("the cases of published formats are not here")
    titles = [json.loads(line)["item_title"] for line in (folder / "items.jsonl").read_text().splitlines()]
    pieces = Pieces(titles)
    found = [word for title in titles for word in typed_words(title, pieces)]
    assert np.mean([len(word) > 1 for word in found]) == 1.0
    assert np.mean([len(word) for word in found]) < 4


def test_an_import_finds_the_language_or_is_told(tmp_path):
    pd.DataFrame({"item_id": [f"i{n}" for n in range(len(GERMAN))], "title": GERMAN}).to_csv(
        tmp_path / "i.csv", index=False
    )
    rows = [(f"u{u}", f"i{(u + 3 * t) % len(GERMAN)}", 1_700_000_000 + t) for u in range(8) for t in range(5)]
    pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]).to_csv(tmp_path / "c.csv", index=False)
    data, report = import_tables(tmp_path / "i.csv", tmp_path / "c.csv")
    assert data.info["language"] == data.language == "german"
    assert "the texts are taken for German" in " ".join(report.understood)
    assert not {"für", "fur", "mit", "aus"} & {word for query in data.searches["query"] for word in query.split()}
    data.save(tmp_path / "data")
    assert Dataset.load(tmp_path / "data").language == "german"
    plain, _ = import_tables(tmp_path / "i.csv", tmp_path / "c.csv", language="none")
    assert plain.language == "none"
    with pytest.raises(DataError, match="unknown language 'klingon'"):
        import_tables(tmp_path / "absent.csv", tmp_path / "c.csv", language="klingon")
