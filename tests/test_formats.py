"""The shapes in which people publish and keep logs: each case is imported by words of the command line."""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gensar_lite.cli.import_words import add_import_arguments, mappings_of
from gensar_lite.data.importing.assemble import Tables, read_tables

FORMATS = Path(__file__).parents[1].parent / "shared" / "data" / "formats"
if not FORMATS.is_dir():
    FORMATS = Path("/work/shared/data/formats")

# what a person types, in the folder of the case
WORDS = {
    "movielens_csv": "--items movies.csv --interactions ratings.csv --columns user_id=userId,item_id=movieId,categories=genres,rating=rating"
    " --set items.categories_separator='|' --set 'items.missing=(no genres listed)'",
    "movielens_100k": "--items u.item --interactions u.data --no-header --delimiter 'items=|' --encoding items=latin-1"
    " --columns items.item_id=0,items.title=1,user_id=0,interactions.item_id=1,rating=2,timestamp=3"
    " --set items.category_flags=5,23 --set items.category_names=u.genre",
    "recbole_atomic": "--items workshop.item --interactions workshop.inter --columns title=item_title,categories=class,rating=rating --set items.categories_separator=space",
    "mind_tsv": "--items news.tsv --interactions behaviors.tsv --no-header --no-quoting --time-format '%m/%d/%Y %I:%M:%S %p'"
    " --columns 'item_id=0,categories=1 > 2,title=3,description=4,session_id=0,user_id=1,timestamp=2,history=3,impressions=4'",
    "bookcrossing": "--items BX-Books.csv --interactions BX-Book-Ratings.csv --delimiter ';' --encoding latin-1 --set 'items.escape=\\'"
    " --columns item_id=ISBN,title=Book-Title,brand=Publisher,user_id=User-ID,rating=Book-Rating --set interactions.timestamp=",
    "hm_csv": "--items articles.csv --interactions transactions_train.csv"
    " --columns 'user_id=customer_id,item_id=article_id,timestamp=t_dat,title=prod_name,description=detail_desc,categories=product_group_name > product_type_name'",
    "kuaisearch_jsonl": "--items items.jsonl --searches rank.jsonl --clicks 'is_clicked = 1' --set items.missing=UNKNOWN"
    " --columns 'items.item_id=item_id,title=item_title,brand=brand_name,categories=category_level1_name > category_level2_name > category_level3_name,searches.item_id=target_item_id,timestamp=time_index'",
    "retailrocket": "--items item_properties_part1.csv,item_properties_part2.csv --interactions events.csv"
    " --columns user_id=visitorid,item_id=itemid,event_type=event,property=property,value=value,latest_by=timestamp,items.categories=categoryid"
    " --set items.category_parents=category_tree.csv --set items.title=",
    "taobao_flat": "--items UserBehavior.csv --interactions UserBehavior.csv"
    " --columns user_id=用户ID,item_id=商品ID,title=商品名称,brand=品牌,categories=商品类别,timestamp=时间戳,event_type=行为类型",
    "diginetica": "--items products.csv --interactions train-item-views.csv --delimiter ';'"
    " --columns 'item_id=itemId,title=product.name.tokens,user_id=sessionId,timestamp=eventdate + timeframe'"
    " --set items.word_separator=, --set items.category_files=product-categories.csv",
    "minionerec": "--items Workshop.item.json --interactions train.csv,valid.csv,test.csv --columns items.item_id=key,history=history_item_id --set interactions.timestamp=",
    "letter_json": "--items Homeware.item.json --interactions Homeware.inter.json --columns item_id=key,user_id=key,interactions.items=value --set interactions.timestamp=",
    "online_retail": "--items online_retail.csv --interactions online_retail.csv --clicks 'Quantity > 0' --time-format '%d/%m/%Y %H:%M'"
    " --columns item_id=StockCode,title=Description,user_id=CustomerID,timestamp=InvoiceDate,session_id=InvoiceNo",
    "jdsearch": "--items product_meta_data.txt --interactions user_behavior_data.txt --searches user_behavior_data.txt --delimiter tab"
    " --columns 'item_id=wid,title=name,brand=brand_name,categories=cate_name_1 > cate_name_2 > cate_name_3 > cate_name_4,user_id=line,interactions.items=history_wid_list,"
    "interactions.query=history_qry_list,event_type=history_type_list,gaps=history_time_list,searches.query=query,shown=candidate_wid_list,labels=candidate_label_list'"
    " --set interactions.list_separator=_ --set searches.list_separator=_"
    " --set items.word_separator='\\x18' --set interactions.word_separator='\\x18' --set searches.word_separator='\\x18'",
    "impressions_tsv": "--items items.tsv --interactions impressions.tsv --searches impressions.tsv"
    " --columns item_id=item,title=name,categories=kind,user_id=user,timestamp=ts,session_id=request"
    " --set 'interactions.where=service = feed' --set 'searches.where=service = search' --set 'interactions.clicks=clicked = 1' --set 'searches.clicks=clicked = 1'",
    "rees46": "--items 2023-May.csv.gz --interactions 2023-May.csv.gz --clicks 'event_type in view,cart,purchase'"
    " --columns item_id=product_id,categories=category_code,timestamp=event_time,session_id=user_session,event_type=event_type --set items.level_separator=. --set items.title=",
    "esci_parquet": "--items shopping_queries_dataset_products.parquet --judgements shopping_queries_dataset_examples.parquet"
    " --columns item_id=product_id,title=product_title,description=product_description,brand=product_brand,grade=esci_label"
    " --set 'items.where=product_locale = us' --set 'judgements.where=product_locale = us'",
    "amazon2023_jsonl": "--items meta_Sundries.jsonl.gz --interactions Sundries.jsonl.gz"
    " --columns 'item_id=parent_asin,brand=store,categories=categories,description=description + features,rating=rating' --set items.categories_list=path",
    "mixed_units": "--items items.csv --interactions clicks.csv --searches searches.csv",
    "sequences_txt": "--items titles.tsv --interactions sequences.txt --no-header items --no-quoting items"
    " --columns items.item_id=0,title=1,user_id=0,interactions.items=rest --set interactions.timestamp=",
    "lastfm_hetrec": "--items artists.dat --interactions user_artists.dat --no-quoting items --delimiter tab"
    " --columns items.item_id=id,title=name,user_id=userID,interactions.item_id=artistID,weight=weight --set interactions.timestamp=",
    "parquet_folder": "--items items --interactions events --searches events --columns item_id=sku,title=name,categories=kind,brand=maker,user_id=customer,timestamp=at,interactions.event_type=kind"
    " --set 'interactions.where=kind = click' --set 'searches.where=kind = search'",
}


def typed(words: str, folder: Path) -> Tables:
    """The tables of a line of the command."""
    parser = argparse.ArgumentParser()
    add_import_arguments(parser, int)
    forms, root, _ = mappings_of(parser.parse_args([str(folder), *shlex.split(words)]))
    return read_tables(forms, root)


def digest(*columns: pd.Series) -> str:
    lines = zip(*(c.astype(object).where(c.notna(), "") for c in columns), strict=True)
    return hashlib.sha256("".join("\t".join(line) + "\n" for line in lines).encode()).hexdigest()


def by_user(frame: pd.DataFrame) -> pd.DataFrame:
    """Users by code point, each one's events in their order."""
    order = np.argsort(np.array(frame["user_id"], dtype=object), kind="stable")
    return frame.iloc[order]


def moment(value: int, unit: str | None) -> pd.Timestamp | int:
    return (
        value
        if unit is None
        else pd.Timestamp(value, unit={"seconds": "s", "milliseconds": "ms", "microseconds": "us"}[unit], tz="UTC")
    )


def check_expected(tables: Tables, expected: dict) -> None:
    assert len(tables.items) == expected["items"]
    clicks, searches = tables.interactions, tables.searches
    if searches is None:
        searches = pd.DataFrame({c: pd.Series(dtype="str") for c in ("user_id", "query", "item_id", "timestamp")})
    assert pd.concat([clicks["user_id"], searches["user_id"]]).nunique() == expected["users"]
    counts = tables.report.counts
    for table, frame in (("interactions", clicks), ("searches", searches)):
        wanted = expected[table]
        assert len(frame) == wanted["after_deduplication"], table
        if wanted["rows_in_file"] and f"{table}_rows" in counts:
            assert counts[f"{table}_rows"] == wanted["rows_in_file"]
            assert counts[f"{table}_before_copies"] == wanted["before_deduplication"], table
    assert searches["item_id"].isna().sum() == expected["searches"]["without_click"]
    table = tables.items.assign(title=tables.items["title"].where(~tables.untitled, "")).set_index("item_id")
    for item, fields in expected["some_items"].items():
        for field, value in fields.items():
            found = table.loc[item, field]
            if field == "categories":
                found = [path.split(" > ") for path in found.split(" | ")] if found else []
            assert found == value, (item, field)
    if expected["named_user"] is None:
        return
    few = pd.concat([clicks["user_id"], searches["user_id"]]).value_counts().lt(3).sum()
    assert few == expected["users_with_fewer_than_3_events"]
    own = pd.concat([clicks.assign(kind="click"), searches.assign(kind="search")])
    own = own[own["user_id"] == expected["named_user"]["user_id"]].sort_values("timestamp", kind="stable")
    assert len(own) == expected["named_user"]["events"]
    for event, (_, row) in zip(
        [*expected["named_user"]["first_three"], expected["named_user"]["last"]],
        [*own.head(3).iterrows(), *own.tail(1).iterrows()],
        strict=True,
    ):
        assert event["kind"] == row["kind"]
        assert event["item_id"] == (None if pd.isna(row["item_id"]) else row["item_id"])
        assert event.get("query", row.get("query")) == row.get("query") or "query" not in event
        if isinstance(event["time"], str):
            at = pd.Timestamp(event["time"])
            assert moment(row["timestamp"], tables.unit) == (at if at.tzinfo else at.tz_localize("UTC"))
        elif event["time"] is not None:
            assert row["timestamp"] == event["time"]
    assert digest(*(by_user(clicks)[c] for c in ("user_id", "item_id"))) == expected["digests"]["interactions"]
    assert digest(*(by_user(searches)[c] for c in ("user_id", "query", "item_id"))) == expected["digests"]["searches"]


@pytest.mark.shared
@pytest.mark.parametrize("case", WORDS)
def test_case(case: str) -> None:
    folder = FORMATS / case
    if not folder.is_dir():
        pytest.skip("the cases of ../shared/data/formats are not here")
    about = json.loads((folder / "case.json").read_text("utf-8"))
    tables = typed(WORDS[case], folder)
    check_expected(tables, about["expected"])
