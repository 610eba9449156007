"""The identifier table: round trips, tokens, refusals of other catalogues and of broken files, health numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gensar_lite.data.storage import DataError
from gensar_lite.identifiers.assignment import Layout
from gensar_lite.identifiers.health import collision_rate, describe, measure_health, prefix_purity
from gensar_lite.identifiers.table import IdentifierTable

LAYOUT = Layout(("m1", "s1", "c1"), (3, 4, 5), ((0, 4), (0, 2), (2, 4)), {"semantic": (0, 1), "collaborative": (0, 2)})


@pytest.fixture
def table() -> IdentifierTable:
    codes = np.array([[0, 1, 4], [0, 0, 3], [2, 3, 0], [1, 3, 0]])
    rng = np.random.default_rng(0)
    return IdentifierTable(
        item_ids=np.array(["a", "b", "ç", "d"], object),
        layout=LAYOUT,
        codes={"semantic": codes[:, [0, 1]], "collaborative": codes[:, [0, 2]]},
        vectors=[
            rng.normal(size=(k, b - a)).astype(np.float32) for k, (a, b) in zip(LAYOUT.sizes, LAYOUT.spans, strict=True)
        ],
        encoder={"semantic.mean": np.arange(3, dtype=np.float32)},
        made_from={"strategy": "gensar"},
        health=measure_health(LAYOUT, codes, codes, ["x", "x", "y", "y"]),
    )


def test_save_and_load_give_the_same_table(table, tmp_path):
    table.save(tmp_path / "identifiers")
    assert sorted(p.name for p in (tmp_path / "identifiers").iterdir()) == [
        "codebooks.safetensors",
        "gensar_lite.json",
        "health.json",
        "identifiers.parquet",
    ]
    loaded = IdentifierTable.load(tmp_path / "identifiers", ["a", "b", "ç", "d"])
    assert loaded.layout == table.layout
    assert loaded.item_ids.tolist() == table.item_ids.tolist()
    assert (loaded.made_from, loaded.health) == (table.made_from, table.health)
    for view in ("semantic", "collaborative"):
        assert (loaded.codes[view] == table.codes[view]).all()
    for a, b in zip(loaded.vectors, table.vectors, strict=True):
        assert (a == b).all()
    assert (loaded.encoder["semantic.mean"] == table.encoder["semantic.mean"]).all()


def test_the_text_of_an_identifier_names_codebook_and_code(table):
    assert table.text(0, "semantic") == "<m1_0><s1_1>"
    assert table.text(0, "collaborative") == "<m1_0><c1_4>"
    assert len(table.token_names) == 12
    assert {"<m1_0>", "<s1_1>", "<c1_4>"} <= set(table.token_names)
    assert table.codes_by_codebook.tolist() == [[0, 1, 4], [0, 0, 3], [2, 3, 0], [1, 3, 0]]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["a", "b", "c"], "made for 4 items, the catalogue has 3"),
        (["a", "x", "ç", "d"], "1 of 4 items differ, first row 1 .'x' instead of 'b'"),
    ],
)
def test_another_catalogue_is_refused(table, tmp_path, items, message):
    table.save(tmp_path / "identifiers")
    with pytest.raises(DataError, match=message):
        IdentifierTable.load(tmp_path / "identifiers", items)


@pytest.mark.parametrize("name", ["identifiers.parquet", "codebooks.safetensors", "health.json"])
@pytest.mark.parametrize("harm", ["truncate", "flip", "remove"])
def test_broken_files_are_refused(table, tmp_path, name, harm):
    folder = tmp_path / "identifiers"
    table.save(folder)
    content = (folder / name).read_bytes()
    if harm == "remove":
        (folder / name).unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        (folder / name).write_bytes(content[:middle] if harm == "truncate" else flipped)
    with pytest.raises(DataError, match=r"again|missing") as error:
        IdentifierTable.load(folder)
    assert "\n" not in str(error.value)


def test_an_edited_health_report_is_refused(table, tmp_path):
    table.save(tmp_path / "identifiers")
    path = tmp_path / "identifiers" / "health.json"
    content = json.loads(path.read_text())
    content["health"]["views"]["semantic"]["items_moved"] = 7
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"health\.json was changed"):
        IdentifierTable.load(tmp_path / "identifiers")


def test_extend_keeps_old_identifiers_and_refuses_clashes(table):
    longer = table.extend(["e"], {"semantic": np.array([[1, 1]]), "collaborative": np.array([[1, 1]])})
    assert len(longer) == 5
    assert (longer.codes["semantic"][:4] == table.codes["semantic"]).all()
    with pytest.raises(DataError, match="name more than one item"):
        table.extend(["e"], {"semantic": np.array([[0, 1]]), "collaborative": np.array([[0, 0]])})
    with pytest.raises(DataError, match="already there"):
        table.extend(["a"], {"semantic": np.array([[1, 1]]), "collaborative": np.array([[1, 1]])})
    with pytest.raises(DataError, match="differ on a codebook they share"):
        table.extend(["e"], {"semantic": np.array([[1, 1]]), "collaborative": np.array([[2, 1]])})


def test_health_numbers_by_hand():
    before = np.array([[0, 0], [0, 0], [0, 1], [1, 1]])
    after = np.array([[0, 0], [0, 2], [0, 1], [1, 1]])
    layout = Layout(("m1", "m2"), (2, 4), ((0, 1), (0, 1)), {"semantic": (0, 1), "collaborative": (0, 1)})
    health = measure_health(layout, before, after, ["x", "y", "x", ""], {"semantic": 0.25})
    view = health["views"]["semantic"]
    assert (view["collisions_before"], view["collisions_after"], view["items_moved"]) == (0.25, 0, 1)
    assert (view["largest_group_before"], view["largest_prefix_group"], view["num_prefixes"]) == (2, 3, [2, 4])
    assert view["purity"] == pytest.approx([2 / 3, 1])
    assert health["codebooks"]["m1"] == {
        "size": 2,
        "use": 1.0,
        "perplexity": pytest.approx(np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))),
    }
    assert health["codebooks"]["m2"]["use"] == 0.5
    assert "1 items moved" in describe(health)
    assert "25.0% of its variance lost" in describe(health)
    assert prefix_purity(after, ["", "", "", ""]) == []
    assert collision_rate(np.zeros((4, 2))) == 0.75


def test_a_collapsed_codebook_is_told_in_a_sentence():
    rng = np.random.default_rng(0)
    layout = Layout(("m1", "m2"), (64, 64), ((0, 1), (0, 1)), {"semantic": (0, 1), "collaborative": (0, 1)})
    codes = np.column_stack([rng.integers(0, 5, 500), rng.integers(0, 64, 500)])
    warnings = measure_health(layout, codes, codes)["warnings"]
    assert any("Codebook m1 collapsed: 8% of its 64 codes" in w for w in warnings)
    assert not any("m2" in w for w in warnings)
