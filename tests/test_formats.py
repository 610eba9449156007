"""The shapes in which people publish and keep logs: each case is imported by words of the command line."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gensar_lite.cli.import_words import add_import_arguments, mappings_of
from gensar_lite.data.importing.assemble import Tables, read_tables

FORMATS = Path(__file__).parents[2] / "shared" / "data" / "formats"

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


# what a person types beside, for another choice than the default of the case
CHOICES = {
    "movielens_csv": {"rating >= 3": "--clicks 'rating >= 3'", "rating >= 4": "--clicks 'rating >= 4'"},
    "movielens_100k": {"rating >= 3": "--clicks 'rating >= 3'", "rating >= 4": "--clicks 'rating >= 4'"},
    "recbole_atomic": {"rating >= 3": "--clicks 'rating >= 3'", "rating >= 4": "--clicks 'rating >= 4'"},
    "amazon2023_jsonl": {
        "rating >= 3": "--clicks 'rating >= 3'",
        "rating >= 4": "--clicks 'rating >= 4'",
        "5-core": "--k-core 5",
    },
    "mind_tsv": {"impressions only": "--set interactions.history="},
    "bookcrossing": {
        "rating > 0": "--clicks 'rating > 0'",
        "rating = 0 or rating >= 5": "--clicks 'rating = 0 or rating >= 5'",
        "rating >= 5": "--clicks 'Book-Rating >= 5'",
        "keep copies": "--set interactions.copies=keep",
    },
    # its "all cells" leaves sales_channel_id out: with it, 4 rows are copies
    "hm_csv": {"only rows equal in all cells are dropped": "--set interactions.copies=price"},
    "kuaisearch_jsonl": {"search clicks count as interactions, too": "--set options.search_clicks=yes"},
    "retailrocket": {
        "view": "--clicks 'event = view'",
        "addtocart and transaction": "--clicks 'event in addtocart,transaction'",
        "repeats of the item before are dropped": "--set interactions.repeats=drop",
    },
    "taobao_flat": {
        "pv": "--clicks '行为类型 = pv'",
        "buy": "--clicks 'event_type = buy'",
        "repeats of the item before are dropped": "--set interactions.repeats=drop",
    },
    "diginetica": {
        "userId where it is known, else the session": "--columns 'user_id=userId else sessionId'",
        "only rows with a userId": "--columns user_id=userId",
    },
    "letter_json": {"repeats of the item before are dropped": "--set interactions.repeats=drop"},
    "sequences_txt": {"repeats of the item before are dropped": "--set interactions.repeats=drop"},
    "online_retail": {
        "purchases of returned items are dropped, too": "--set 'interactions.taken_back=Quantity < 0'",
        "only items with a click": "--set items.only=clicked",
    },
    "jdsearch": {"every event with an item counts as an interaction, too": "--set options.search_clicks=yes"},
    "rees46": {
        "view": "--clicks 'event_type = view'",
        "purchase": "--clicks 'event_type = purchase'",
        "only rows equal in all cells are dropped": "--set interactions.copies=cells",
        "repeats of the item before are dropped": "--set interactions.repeats=drop",
    },
    "esci_parquet": {
        "E rows as searches, each query an asker of its own without history": "",
        "E and S rows as right answers": "--set judgements.relevant=E,S",
    },
    "lastfm_hetrec": {"weight >= 100": "--clicks 'weight >= 100'"},
}
WITH_SEARCHES = (
    " --searches train-queries.csv --delimiter ';' --columns session_id=queryId,query=searchstring.tokens --set searches.word_separator=,"
    " --set searches.click_files=train-clicks.csv --set searches.click_item=itemId"
)
# where a case names no number: what must be said in words
SAID = {
    "movielens_100k": ["no header", "title = 1", "category_flags = ['5', '23']"],
    "recbole_atomic": ["columns not used: first_sold"],
    "mind_tsv": ["no header", "dates were read as month/day/year", "columns not used: 5, 6, 7"],
    "bookcrossing": ["no column of time: the order of the file was taken"],
    "hm_csv": ["columns not used: unnamed 0"],
    "kuaisearch_jsonl": ["no recommendation clicks in this log", "recently_clicked_item_ids"],
    "retailrocket": [
        "can be named by their number only",
        "queries made from their texts mean nothing",
        "events by type: addtocart 68, transaction 24, view 332",
    ],
    "taobao_flat": ["items and events come from one file", "events by type: buy 52, cart 65, fav 26, pv 398"],
    "diginetica": ["sessions stand for users", "titles are numbers, no words"],
    "minionerec": ["places in each list stand for it", "Workshop.index.json", "columns not used: history_item_title"],
    "letter_json": ["places in each list stand for it", "Homeware.index.json"],
    "online_retail": [
        "letters were read as Windows-1252 (Latin-1)",
        "dates were read as day/month/year",
        "have several titles",
    ],
    "jdsearch": ["each line is one", "added up", "users cannot be compared in time"],
    "rees46": ["no titles were named; brand and category stand in", "remove_from_cart 18"],
    "esci_parquet": ["no users and no times", "4 item ids stand in rows"],
    "mixed_units": ["the tables write time differently", "milliseconds were taken for all"],
    "sequences_txt": ["places in each list stand for it"],
    "lastfm_hetrec": [
        "the column weight falls within every user, so it is no order of events",
        "the column weight is not used",
        "columns not used: url, pictureURL",
    ],
    "parquet_folder": ["impression 53"],
}
# counts that others say: 53 queries and 2 shared identifiers; 7 of 12 without a customer are no searches either
ELSEWHERE = {"diginetica": {53}, "minionerec": {2}, "sequences_txt": {1}}


def case_of(name: str) -> tuple[Path, dict]:
    folder = FORMATS / name
    if not folder.is_dir():
        pytest.skip("the cases of ../shared/data/formats are not here")
    return folder, json.loads((folder / "case.json").read_text("utf-8"))


@pytest.mark.shared
@pytest.mark.parametrize("case", WORDS)
def test_case_by_words_of_the_command_line(case: str) -> None:
    folder, about = case_of(case)
    tables = typed(WORDS[case], folder)
    check_expected(tables, about["expected"])
    said = " ".join([*tables.report.understood, *tables.report.sentences])
    numbers = {int(n) for n in re.findall(r"(?<![\w.])\d+(?!\w)", said)}
    for entry in about["reported"]:
        assert entry.get("count") in (None, *numbers, *ELSEWHERE.get(case, ())), entry
    for words in SAID.get(case, ()):
        assert words in said, said


@pytest.mark.shared
@pytest.mark.parametrize(("case", "choice"), [(c, k) for c, choices in CHOICES.items() for k in choices])
def test_every_default_can_be_changed(case: str, choice: str) -> None:
    folder, about = case_of(case)
    wanted = {k: v for c in about["choices"] for k, v in c["otherwise"].items()}[choice]
    tables = typed(f"{WORDS[case]} {CHOICES[case][choice]}", folder)
    logs = [tables.interactions, *([] if tables.searches is None else [tables.searches])]
    found = {
        "interactions": len(tables.interactions),
        "users": pd.concat([log["user_id"] for log in logs]).nunique(),
        "items": len(tables.items),
    }
    if tables.judgements is not None:
        right = tables.judgements[tables.judgements["relevant"]]
        found |= {"searches": len(right), "users": right["query_id"].nunique()}
    assert {k: found[k] for k in wanted} == wanted
    assert set(CHOICES[case]) == {k for c in about["choices"] for k in c["otherwise"]}


@pytest.mark.shared
def test_further_files_of_the_cases() -> None:
    folder, about = case_of("diginetica")
    tables = typed(WORDS["diginetica"] + WITH_SEARCHES, folder)
    check_expected(tables, about["expected_with_searches"])
    assert (
        any("53 of 92 rows have no query" in s for s in tables.report.sentences)
        or tables.report.counts["searches_without_query"] == 53
    )
    folder, about = case_of("taobao_flat")
    words = WORDS["taobao_flat"].replace("UserBehavior.csv", "UserBehavior_gb18030.csv")
    tables = typed(words, folder)
    check_expected(tables, about["expected"])
    assert any("GB18030" in s and "用户" in s for s in tables.report.sentences)
    check_expected(typed(f"{words} --encoding gb18030", folder), about["expected"])
    folder, about = case_of("mixed_units")
    check_expected(typed(WORDS["mixed_units"].replace("searches.csv", "searches_ms.csv"), folder), about["expected"])
    folder, about = case_of("lastfm_hetrec")
    counted = (
        "--items artists.dat --interactions user_artists_counted.dat --no-quoting items --delimiter tab --no-header interactions --set interactions.skip=2"
        " --columns items.item_id=id,title=name,user_id=0,interactions.item_id=1,weight=2 --set interactions.timestamp="
    )
    check_expected(typed(counted, folder), about["expected"])
    folder, about = case_of("esci_parquet")
    tables = typed(WORDS["esci_parquet"], folder)
    judged, wanted = tables.judgements, about["expected"]["judgements"]
    assert judged is not None
    assert (len(judged), judged["query_id"].nunique()) == (wanted["rows"], wanted["queries"])
    assert judged["grade"].value_counts().to_dict() == wanted["by_grade"]
    exact = sorted(judged[judged["grade"] == "E"][["query_id", "query", "item_id"]].itertuples(index=False, name=None))
    text = "".join("\t".join(line) + "\n" for line in exact)
    assert hashlib.sha256(text.encode()).hexdigest() == about["expected"]["digests"]["exact_judgements"]
