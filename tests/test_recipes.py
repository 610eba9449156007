"""Each recipe reads a small invention in its shape; the cases of the published shapes, where they lie here."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_formats import case_of, check_expected

from gensar_lite.data.importing.assemble import Tables, read_tables
from gensar_lite.data.importing.finish import import_recipe
from gensar_lite.data.importing.mapping import TABLES, WORDS, Mapping, add_words
from gensar_lite.data.importing.recipes import read_recipe, recipe_forms, recipe_names
from gensar_lite.data.storage import DataError

SHAPES: dict[str, Callable[[Path], None]] = {}


def shape(function: Callable[[Path], None]) -> Callable[[Path], None]:
    """A function that writes tiny files in the shape of the recipe (or recipe_form) that it is named after.

    Each invention has the items a and b, called Red tent and Blue cup, and the clicks of u on a, then b, and of v on b.
    """
    SHAPES[function.__name__] = function
    return function


def lines(path: Path, *rows: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(row + "\n" for row in rows).encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def records(path: Path, *rows: dict, python: bool = False) -> None:
    lines(path, *(repr(row) if python else json.dumps(row) for row in rows))


@shape
def movielens(p: Path) -> None:
    lines(p / "ml-x" / "movies.csv", "movieId,title,genres", "a,Red tent,Out|Far", "b,Blue cup,(no genres listed)")
    lines(
        p / "ml-x" / "ratings.csv",
        "userId,movieId,rating,timestamp",
        "u,a,4.0,1000000000",
        "u,b,2.0,1000000001",
        "v,b,5.0,1000000002",
    )


@shape
def movielens_1m(p: Path) -> None:
    lines(p / "movies.dat", "a::Red tent::Out|Far", "b::Blue cup::Near", encoding="latin-1")
    lines(p / "ratings.dat", "u::a::5::978300760", "u::b::3::978300761", "v::b::3::978300762")


@shape
def movielens_100k(p: Path) -> None:
    flags = "|".join("0" * 18)
    lines(p / "u.item", f"a|Red tent|01-Jan-1995||http://x|1|{flags}", f"b|Blue cup|01-Jan-1995||http://x|0|{flags}")
    lines(p / "u.genre", *(f"Kind{n}|{n}" for n in range(19)))
    lines(p / "u.data", "u\ta\t3\t881250949", "u\tb\t3\t881250950", "v\tb\t1\t881250951")


@shape
def recbole(p: Path) -> None:
    lines(p / "x.item", "item_id:token\titem_title:token_seq\tclass:token_seq", "a\tRed tent\tOut Far", "b\tBlue cup\t")
    lines(
        p / "x.inter",
        "user_id:token\titem_id:token\ttimestamp:float",
        "u\ta\t1000000000.0",
        "u\tb\t1000000001.0",
        "v\tb\t1000000002.0",
    )


@shape
def amazon(p: Path) -> None:
    meta = [
        {
            "parent_asin": i,
            "title": t,
            "store": "Acme",
            "categories": ["Out", "Far"],
            "description": ["x"],
            "features": [],
        }
        for i, t in (("a", "Red tent"), ("b", "Blue cup"))
    ]
    records(p / "meta_X.jsonl.gz", *meta)
    records(
        p / "X.jsonl.gz",
        *(
            {"rating": 5.0, "asin": "v1", "parent_asin": i, "user_id": u, "timestamp": t}
            for u, i, t in (("u", "a", 1e12), ("u", "b", 1.1e12), ("v", "b", 1.2e12))
        ),
    )


@shape
def amazon_2018(p: Path) -> None:
    records(
        p / "meta_X.json.gz",
        *(
            {"asin": i, "title": t, "brand": "Acme", "category": ["Out"], "description": [], "feature": ["x"]}
            for i, t in (("a", "Red tent"), ("b", "Blue cup"))
        ),
    )
    records(
        p / "X_5.json.gz",
        *(
            {"reviewerID": u, "asin": i, "overall": 5.0, "unixReviewTime": t}
            for u, i, t in (("u", "a", 10**9), ("u", "b", 10**9 + 1), ("v", "b", 10**9 + 2))
        ),
    )


@shape
def amazon_2014(p: Path) -> None:
    records(
        p / "meta_X.json.gz",
        *(
            {"asin": i, "title": t, "categories": [["Out", "Far"], ["Gifts"]], "description": "it's"}
            for i, t in (("a", "Red tent"), ("b", "Blue cup"))
        ),
        python=True,
    )
    records(
        p / "reviews_X_5.json.gz",
        *(
            {"reviewerID": u, "asin": i, "overall": 5.0, "unixReviewTime": t}
            for u, i, t in (("u", "a", 10**9), ("u", "b", 10**9 + 1), ("v", "b", 10**9 + 2))
        ),
    )


@shape
def kuaisar(p: Path) -> None:
    names = ",".join(f"{level}_level_category_name_en" for level in ("first", "second", "third", "fourth"))
    lines(
        p / "item_features.csv",
        f"item_id,caption,author_id,{names}",
        'a,"[20, 34]",7,Fun,Joke,empty,empty',
        'b,"[3]",0,Fun,empty,empty,empty',
    )
    lines(
        p / "rec_inter.csv",
        "user_id,item_id,timestamp,click",
        "u,a,1684742000000.0,1",
        "u,b,1684742001000.0,1",
        "v,b,1684742002000.0,1",
        "v,a,1684742002000.0,0",
    )
    lines(
        p / "src_inter.csv",
        "user_id,search_session_id,search_session_timestamp,keyword,item_id,click_cnt",
        'u,1,1684742000500,"[20, 3]",a,1',
        'u,1,1684742000500,"[20, 3]",b,0',
    )


@shape
def kuaisearch(p: Path) -> None:
    records(
        p / "items.jsonl",
        *(
            {
                "item_id": i,
                "item_title": t,
                "brand_name": "Acme",
                "category_level1_name": "Out",
                "category_level2_name": "UNKNOWN",
                "category_level3_name": "UNKNOWN",
            }
            for i, t in (("a", "Red tent"), ("b", "Blue cup"))
        ),
    )
    records(
        p / "rank.jsonl",
        *(
            {"user_id": u, "session_id": s, "query": "tent", "target_item_id": i, "is_clicked": c, "time_index": s}
            for u, s, i, c in (("u", 1, "a", 1), ("u", 1, "b", 0), ("u", 2, "b", 1), ("v", 3, "b", 1))
        ),
    )


@shape
def mind(p: Path) -> None:
    lines(p / "news.tsv", "a\tnews\tfar\tRed tent\tx\tu\t[]\t[]", 'b\tnews\tnear\tBlue cup\t"y\tu\t[]\t[]')
    lines(p / "behaviors.tsv", "1\tu\t11/13/2019 8:36:57 AM\ta\tb-1 a-0", "2\tv\t11/13/2019 9:36:57 PM\t\tb-1")


@shape
def hm(p: Path) -> None:
    lines(
        p / "articles.csv",
        "article_id,prod_name,product_group_name,product_type_name,detail_desc",
        "a,Red tent,Out,Tent,x",
        "b,Blue cup,In,Cup,",
    )
    lines(p / "transactions_train.csv.zip.txt", "")
    with zipfile.ZipFile(p / "transactions_train.csv.zip", "w") as packed:
        packed.writestr(
            "transactions_train.csv",
            "t_dat,customer_id,article_id,price\n2020-01-01,u,a,1\n2020-01-02,u,b,1\n2020-01-02,v,b,1\n",
        )


@shape
def retailrocket(p: Path) -> None:
    lines(p / "item_properties_part1.csv", "timestamp,itemid,property,value", "1,a,categoryid,5", "1,b,790,n1")
    lines(p / "item_properties_part2.csv", "timestamp,itemid,property,value", "2,a,categoryid,6")
    lines(p / "category_tree.csv", "categoryid,parentid", "6,1", "1,", "5,1")
    lines(
        p / "events.csv",
        "timestamp,visitorid,event,itemid,transactionid",
        "1433221332117,u,view,a,",
        "1433221332118,u,addtocart,b,",
        "1433221332119,v,view,b,",
    )


@shape
def rees46(p: Path) -> None:
    head = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
    lines(
        p / "2019-Nov.csv.gz",
        head,
        "2019-11-01 00:00:00 UTC,view,a,1,out.far,acme,1,u,s1",
        "2019-11-01 00:00:01 UTC,cart,b,1,,,1,u,s1",
        "2019-11-01 00:00:02 UTC,view,b,1,,,1,v,s2",
        "2019-11-01 00:00:03 UTC,remove_from_cart,b,1,,,1,v,s2",
    )


@shape
def taobao(p: Path) -> None:
    lines(p / "UserBehavior.csv", "u,a,9,pv,1511544070", "u,b,9,buy,1511561733", "v,b,9,pv,1511572885")


@shape
def yoochoose(p: Path) -> None:
    lines(
        p / "yoochoose-clicks.dat",
        "u,2014-04-07T10:51:09.277Z,a,0",
        "u,2014-04-07T10:54:09.868Z,b,S",
        "v,2014-04-07T10:54:46.998Z,b,S",
    )


@shape
def diginetica(p: Path) -> None:
    lines(p / "products.csv", "itemId;pricelog2;product.name.tokens", "a;1;10,20", "b;1;30")
    lines(p / "product-categories.csv", "itemId;categoryId", "a;5", "b;6")
    lines(
        p / "train-item-views.csv",
        "sessionId;userId;itemId;timeframe;eventdate",
        "u;NA;b;2000;2016-05-09",
        "u;NA;a;1000;2016-05-09",
        "v;NA;b;1000;2016-05-09",
    )
    lines(
        p / "train-queries.csv",
        "queryId;sessionId;userId;timeframe;duration;eventdate;searchstring.tokens;categoryId;items;is.test",
        "1;u;NA;500;1;2016-05-09;10,20;;a,b;FALSE",
        "2;v;NA;500;1;2016-05-09;;5;a;FALSE",
    )
    lines(p / "train-clicks.csv", "queryId;timeframe;itemId", "1;600;a")


@shape
def yelp(p: Path) -> None:
    records(
        p / "yelp_academic_dataset_business.json",
        *(
            {"business_id": i, "name": t, "categories": "Out, Far", "address": "x", "city": "y", "state": "z"}
            for i, t in (("a", "Red tent"), ("b", "Blue cup"))
        ),
    )
    records(
        p / "yelp_academic_dataset_review.json",
        *(
            {"user_id": u, "business_id": i, "stars": 4.0, "date": d}
            for u, i, d in (
                ("u", "a", "2016-03-09 00:00:00"),
                ("u", "b", "2016-03-09 00:00:01"),
                ("v", "b", "2016-03-10 00:00:00"),
            )
        ),
    )


@shape
def steam(p: Path) -> None:
    records(
        p / "steam_games.json.gz",
        *(
            {"id": i, "app_name": t, "title": t, "genres": ["Out", "Far"], "publisher": "Acme"}
            for i, t in (("a", "Red tent"), ("b", "Blue cup"))
        ),
        python=True,
    )
    records(
        p / "steam_reviews.json.gz",
        *(
            {"username": u, "product_id": i, "date": d, "text": "it's"}
            for u, i, d in (("u", "a", "2017-12-17"), ("u", "b", "2017-12-18"), ("v", "b", "2017-12-18"))
        ),
        python=True,
    )


@shape
def lastfm(p: Path) -> None:
    lines(p / "artists.dat", "id\tname\turl\tpictureURL", "a\tRed tent\tx\ty", 'b\t"Blue" cup\tx\ty')
    lines(p / "user_artists.dat", "userID\tartistID\tweight", "u\ta\t9", "u\tb\t3", "v\tb\t2")


@shape
def lastfm_1k(p: Path) -> None:
    name = "userid-timestamp-artid-artname-traid-traname.tsv"
    lines(
        p / name,
        "u\t2009-05-04T23:08:57Z\ta\tRed tent\t\tx",
        "u\t2009-05-04T23:09:57Z\tb\tBlue cup\t\tx",
        "v\t2009-05-04T23:08:57Z\tb\tBlue cup\t\ty",
    )


@shape
def bookcrossing(p: Path) -> None:
    lines(
        p / "BX-Books.csv",
        '"ISBN";"Book-Title";"Publisher"',
        '"a";"Red tent";"Ac&amp;me"',
        '"b";"Blue \\"cup\\"";"é"',
        encoding="latin-1",
    )
    lines(
        p / "BX-Book-Ratings.csv",
        '"User-ID";"ISBN";"Book-Rating"',
        '"u";"a";"0"',
        '"u";"b";"7"',
        '"v";"b";"5"',
        encoding="latin-1",
    )


@shape
def goodbooks(p: Path) -> None:
    lines(p / "books.csv", "book_id,authors,original_title,title", "a,X,,Red tent", "b,Y,,Blue cup")
    lines(p / "ratings.csv", "user_id,book_id,rating", "u,a,5", "u,b,4", "v,b,4")


@shape
def goodreads(p: Path) -> None:
    records(
        p / "goodreads_books_poetry.json.gz",
        *(
            {"book_id": i, "title": t, "title_without_series": t, "description": "", "publisher": "Acme"}
            for i, t in (("a", "Red tent"), ("b", "Blue cup"))
        ),
    )
    records(
        p / "goodreads_interactions_poetry.json.gz",
        *(
            {"user_id": u, "book_id": i, "rating": 4, "date_added": d}
            for u, i, d in (
                ("u", "a", "Fri Oct 13 00:41:31 -0700 2017"),
                ("u", "b", "Fri Oct 13 00:41:32 -0700 2017"),
                ("v", "b", "Fri Oct 13 00:41:32 -0700 2017"),
            )
        ),
    )


@shape
def online_retail(p: Path) -> None:
    head = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
    lines(
        p / "Online Retail.csv",
        head,
        "1,a,RED TENT,6,13/12/2010 08:26,1,u,UK",
        "2,b,BLUE CUP,1,14/12/2010 08:26,1,u,UK",
        "3,b,BLUE CUP ,2,14/12/2010 09:00,1,v,UK",
        "C4,b,BLUE CUP,-1,15/12/2010 09:00,1,v,UK",
        "5,b,?,2,15/12/2010 09:00,1,,UK",
    )


@shape
def minionerec(p: Path) -> None:
    (p / "X.item.json").write_text(
        json.dumps(
            {"a": {"title": "Red tent", "description": "['x']"}, "b": {"title": "Blue cup", "description": "[]"}}
        )
    )
    head = "user_id,history_item_title,item_title,history_item_id,item_id,history_item_sid,item_sid"
    lines(p / "train.csv", head, "u,\"['Red, tent']\",Blue cup,['a'],b,[],x")
    lines(p / "valid.csv", head, "v,[],Blue cup,[],b,[],x")
    lines(p / "test.csv", head)


@shape
def letter(p: Path) -> None:
    (p / "X.item.json").write_text(json.dumps({"a": {"title": "Red tent"}, "b": {"title": "Blue cup"}}, indent=1))
    (p / "X.inter.json").write_text(json.dumps({"u": ["a", "b"], "v": ["b"]}, indent=1))


@shape
def sequences(p: Path) -> None:
    lines(p / "titles.tsv", "a\tRed tent", 'b\tBlue "cup"')
    lines(p / "sequences.txt", "u a b", "v b", "")


@shape
def sequences_s3rec(p: Path) -> None:
    (p / "X_item2attributes.json").write_text(json.dumps({"a": [3, 4], "b": [5]}))
    lines(p / "X.txt", "u a b", "v b")
    lines(p / "X_sample.txt", "u b", "v a")


@shape
def unisrec(p: Path) -> None:
    lines(p / "X.text", "item_id:token\ttext:token_seq", "a\tRed tent", "b\tBlue cup")
    head = "user_id:token\titem_id_list:token_seq\titem_id:token"
    lines(p / "X.train.inter", head, "u\ta\tb")
    lines(p / "X.valid.inter", head, "v\t\tb")
    lines(p / "X.test.inter", head)


@shape
def jdsearch(p: Path) -> None:
    names = "\t".join(f"cate_id_{n}\tcate_name_{n}" for n in (1, 2, 3, 4))
    lines(
        p / "product_meta_data.txt",
        f"wid\tname\tbrand_id\tbrand_name\t{names}\tshop_id",
        "a\t1\x182\t1\tx\t1\tq\t1\tq\t1\tq\t1\tq\t1",
        "b\t3\t1\tx\t1\tq\t1\tq\t1\tq\t1\tq\t1",
    )
    head = "query\tcandidate_wid_list\tcandidate_label_list\thistory_qry_list\thistory_wid_list\thistory_type_list\thistory_time_list"
    lines(
        p / "user_behavior_data.txt",
        head,
        "9\x188\ta_b\t0.0_1.0\t-1_-1_7\ta_b_a\tCLICK_ORD_CLICK\t0_5_6_7",
        "9\ta_b\t0.0_0.0\t-1\tb\tCLICK\t0_3",
    )


@shape
def esci(p: Path) -> None:
    pd.DataFrame(
        {
            "product_id": ["a", "b", "a"],
            "product_title": ["Red tent", "Blue cup", "Tienda"],
            "product_description": ["<b>x</b>", None, None],
            "product_bullet_point": None,
            "product_brand": ["Acme", None, None],
            "product_locale": ["us", "us", "es"],
        }
    ).astype({"product_bullet_point": str}).to_parquet(p / "shopping_queries_dataset_products.parquet")
    pd.DataFrame(
        {
            "query": ["tent", "tent", "cup"],
            "query_id": [1, 1, 2],
            "product_id": ["a", "b", "b"],
            "product_locale": "us",
            "esci_label": ["E", "I", "E"],
        }
    ).to_parquet(p / "shopping_queries_dataset_examples.parquet")


@shape
def wands(p: Path) -> None:
    more = "product_features\trating_count\taverage_rating\treview_count"
    lines(
        p / "product.csv",
        f"product_id\tproduct_name\tproduct_class\tcategory hierarchy\tproduct_description\t{more}",
        "a\tRed tent\tTents\tOut / Far\tsleeps two\tcolor:red|size:2\t15.0\t4.5\t15.0",
        "b\tBlue cup\t\t\t\tcolor:blue\t\t\t",
    )
    lines(p / "query.csv", "query_id\tquery\tquery_class", "0\ttent\tTents", "1\tcup\t")
    lines(
        p / "label.csv",
        "id\tquery_id\tproduct_id\tlabel",
        "0\t0\ta\tExact",
        "1\t0\tb\tIrrelevant",
        "2\t1\tb\tExact",
        "3\t7\tb\tPartial",
    )


def by_recipe(recipe: str, folder: Path, *, k_core: int | None = 1, sets: tuple[str, ...] = ()) -> Tables:
    forms = [add_words(f, options={"k_core": k_core}, sets=sets) for f in recipe_forms(read_recipe(recipe))]
    return read_tables(forms, folder)


def recipe_of(name: str) -> str:
    return next(r for r in sorted(recipe_names(), key=len, reverse=True) if name.replace("_", "-").startswith(r))


@pytest.mark.parametrize("name", SHAPES)
def test_a_recipe_reads_its_shape(name: str, tmp_path: Path) -> None:
    SHAPES[name](tmp_path)
    tables = by_recipe(recipe_of(name), tmp_path)
    users = ["1", "2"] if name == "jdsearch" else ["u", "v"]
    assert sorted(tables.items["item_id"]) == ["a", "b"]
    titles = dict(zip(tables.items["item_id"], tables.items["title"], strict=True))
    if name not in (
        "retailrocket",
        "rees46",
        "taobao",
        "yoochoose",
        "sequences_s3rec",
        "kuaisar",
        "diginetica",
        "jdsearch",
    ):
        assert titles["a"].lower() == "red tent"
        assert titles["b"].lower().replace('"', "") == "blue cup"
    log = tables.interactions
    if name == "kuaisearch":
        assert tables.searches is not None
        log = tables.searches
    if name in ("esci", "wands"):
        assert tables.judgements is not None
        assert tables.judgements["query"].tolist() == ["tent", "tent", "cup"]
        assert tables.judgements["relevant"].tolist() == [True, False, True]
        return
    assert list(zip(log["user_id"], log["item_id"], strict=True)) == [(users[0], "a"), (users[0], "b"), (users[1], "b")]
    assert np.all(np.diff(log["timestamp"][log["user_id"] == users[0]]) > 0)


def test_judgements_by_the_ids_of_queries_are_joined_and_what_has_no_query_is_counted(tmp_path: Path) -> None:
    SHAPES["wands"](tmp_path)
    tables = by_recipe("wands", tmp_path)
    assert tables.items["categories"].tolist() == ["Out > Far", ""]
    assert tables.report.counts["judgements_unusable"] == 1  # query 7 is not in query.csv
    (tmp_path / "query.csv").unlink()
    with pytest.raises(DataError, match=r"query\.csv"):
        by_recipe("wands", tmp_path)


@pytest.mark.parametrize(
    ("parts", "kept"),
    [(["train", "train", "test"], ["train", "train", "test"]), (["train", "dev", "test"], ["train", "valid", "test"])],
)
def test_published_parts_of_queries_are_kept_and_said(parts: list[str], kept: list[str], tmp_path: Path) -> None:
    SHAPES["esci"](tmp_path)
    name = "shopping_queries_dataset_examples.parquet"
    pd.read_parquet(tmp_path / name).assign(split=parts).to_parquet(tmp_path / name)
    tables = by_recipe("esci", tmp_path)
    assert tables.judgements is not None
    assert tables.judgements["split"].tolist() == kept
    assert any("the published parts are kept" in s for s in tables.report.sentences)
    drawn = by_recipe("esci", tmp_path, sets=("judgements.split=",)).judgements
    assert drawn is not None
    assert "split" not in drawn


def test_a_data_set_asks_the_published_test_queries(tmp_path: Path) -> None:
    SHAPES["esci"](tmp_path)
    name = "shopping_queries_dataset_examples.parquet"
    judged = {"query": "tent", "product_id": "a", "product_locale": "us", "esci_label": "E"}
    parts = ["train"] * 7 + ["test"] * 3
    rows = [{**judged, "query": f"tent {q}", "query_id": q, "split": part} for q, part in enumerate(parts)]
    pd.DataFrame(rows).to_parquet(tmp_path / name)
    data, report = import_recipe("esci", tmp_path)
    held = data.held_out
    assert set(held["user_id"][held["split"] == "test"]) == {"7", "8", "9"}
    assert set(held["user_id"][held["split"] == "valid"]) < {str(q) for q in range(7)}
    assert any("the published parts are kept (7 train, 3 test judgements)" in s for s in report.sentences)


def test_every_recipe_has_a_shape_a_source_and_known_words() -> None:
    assert {recipe_of(name) for name in SHAPES} == set(recipe_names())
    for name in recipe_names():
        said = read_recipe(name)
        assert said["source"].startswith("http"), name
        assert said["about"]
        for form in recipe_forms(said):
            assert set(form.tables) <= set(TABLES)
            assert all(word in WORDS for words in form.tables.values() for word in words)
    for module in Path("gensar_lite").rglob("*.py"):  # no code branches on a recipe's name
        text = module.read_text("utf-8")
        for name in ("movielens", "retailrocket", "rees46", "kuaisearch", "bookcrossing", "goodreads"):
            assert f'"{name}"' not in text, module


def test_a_recipe_file_of_ones_own_and_the_record_of_an_import(tmp_path: Path) -> None:
    SHAPES["movielens"](tmp_path)
    mapping = Mapping()
    for table, words in by_recipe("movielens", tmp_path).mapping.items():
        for word, value in words.items() if table in TABLES else ():
            mapping.set(table, word, value)
    again = tmp_path / "own.json"
    again.write_text(json.dumps({"mapping": mapping.to_dict()}))
    forms = recipe_forms(read_recipe(str(again)))
    assert read_tables(forms, tmp_path).interactions.equals(by_recipe("movielens", tmp_path).interactions)
    (tmp_path / "own.toml").write_text('[items]\nfile = "x"\n')
    with pytest.raises(DataError, match="no word 'file'; did you mean 'files'"):
        recipe_forms(read_recipe(str(tmp_path / "own.toml")))
    (tmp_path / "own.toml").write_text("[items\n")
    with pytest.raises(DataError, match="no recipe file in TOML or JSON"):
        read_recipe(str(tmp_path / "own.toml"))
    with pytest.raises(DataError, match="did you mean movielens"):
        read_recipe("movilens")


CASES = {
    "movielens_csv": "movielens", "movielens_100k": "movielens", "recbole_atomic": "recbole", "mind_tsv": "mind", "bookcrossing": "bookcrossing", "hm_csv": "hm",
    "kuaisearch_jsonl": "kuaisearch", "retailrocket": "retailrocket", "taobao_flat": "taobao", "diginetica": "diginetica", "minionerec": "minionerec",
    "letter_json": "letter", "online_retail": "online-retail", "jdsearch": "jdsearch", "rees46": "rees46", "esci_parquet": "esci", "amazon2023_jsonl": "amazon",
    "sequences_txt": "sequences", "lastfm_hetrec": "lastfm",
}  # fmt: skip


@pytest.mark.shared
@pytest.mark.parametrize("case", CASES)
def test_a_recipe_reads_its_case(case: str) -> None:
    folder, about = case_of(case)
    expected = about.get("expected_with_searches", about["expected"])
    tables = by_recipe(CASES[case], folder)
    check_expected(tables, expected)
    if case == "amazon2023_jsonl":
        core, wanted = by_recipe("amazon", folder, k_core=None), expected["with_5_core"]
        users = core.interactions["user_id"].nunique()
        assert (len(core.items), users, len(core.interactions)) == tuple(
            wanted[k] for k in ("items", "users", "interactions")
        )
        assert any("the 5-core was taken" in s for s in core.report.sentences)
