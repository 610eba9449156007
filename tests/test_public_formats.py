"""Public formats in their real layouts, and downloads from a server on loopback that misbehaves."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gensar_lite.data import download
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.download import RemoteFile, download_file, find_source, import_source, known_sources
from gensar_lite.data.importing import ImportReport, import_mapping, import_recipe
from gensar_lite.data.importing.assemble import read_tables
from gensar_lite.data.importing.mapping import add_words
from gensar_lite.data.importing.recipes import read_recipe, recipe_forms
from gensar_lite.data.importing.selection import core_mask
from gensar_lite.data.storage import DataError, RefusedError, write_sealed

USERS = [f"A{n}XYZ" for n in range(5)]
ASINS = [f"B00000000{n}" for n in range(6)]
DAY = 86400


def bought() -> list[tuple[str, str, int]]:
    """Every user reviews every one of the first five items, a day apart; the sixth has one review."""
    rows = [(u, ASINS[(n + t) % 5], 1390176000 + DAY * t) for n, u in enumerate(USERS) for t in range(5)]
    return [*rows, (USERS[0], ASINS[5], 1390176000)]


def write(path: Path, lines: list[str]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.writelines(line + "\n" for line in lines)
    return path


def amazon(folder: Path, edition: str) -> tuple[Path, Path]:
    """A small store in the layout of an edition."""
    if edition == "2014":
        reviews = [
            json.dumps(
                {
                    "reviewerID": u,
                    "asin": i,
                    "reviewerName": "x",
                    "helpful": [0, 0],
                    "reviewText": "t",
                    "overall": 5.0,
                    "summary": "s",
                    "unixReviewTime": t,
                    "reviewTime": "01 20, 2014",
                }
            )
            for u, i, t in bought()
        ]
        meta = [
            repr(
                {
                    "asin": i,
                    "imUrl": "http://x/y.jpg",
                    "description": f"It's a 'nice' thing {n}",
                    "categories": [["Electronics", "GPS & Navigation", f"Kind {n}"], ["Gifts"]],
                    "title": f'Thing "{n}" &amp; more',
                    "price": 1.5,
                    "salesRank": {},
                    "brand": "Acme",
                }
            )
            for n, i in enumerate(ASINS)
        ]
        return write(folder / "reviews_Things_5.json.gz", reviews), write(folder / "meta_Things.json.gz", meta)
    if edition == "2018":
        reviews = [
            json.dumps(
                {
                    "overall": 5.0,
                    "verified": True,
                    "reviewTime": "01 1, 2018",
                    "reviewerID": u,
                    "asin": i,
                    "style": {"Color:": " Red"},
                    "unixReviewTime": t,
                }
            )
            for u, i, t in bought()
        ]
        meta = [
            json.dumps(
                {
                    "category": ["Electronics", "GPS & Navigation", f"Kind {n}"],
                    "tech1": "",
                    "description": ["It's nice", f"thing {n}"],
                    "fit": "",
                    "title": f"Thing {n}",
                    "also_buy": [],
                    "brand": "Acme",
                    "feature": ["Blue"],
                    "price": "$5",
                    "asin": i,
                }
            )
            for n, i in enumerate(ASINS)
        ]
        return write(folder / "Things_5.json.gz", reviews), write(folder / "meta_Things.json.gz", meta)
    reviews = [
        json.dumps(
            {
                "rating": 5.0,
                "title": "Great",
                "text": "t",
                "images": [],
                "asin": "BVARIANT01",
                "parent_asin": i,
                "user_id": u,
                "timestamp": t * 1000,
                "helpful_vote": 0,
                "verified_purchase": True,
            }
        )
        for u, i, t in bought()
    ]
    meta = [
        json.dumps(
            {
                "main_category": "Electronics",
                "title": f"Thing {n}",
                "average_rating": 4.8,
                "rating_number": 10,
                "features": ["Blue"],
                "description": ["It's nice", f"thing {n}"],
                "price": None,
                "images": [],
                "videos": [],
                "store": "Acme",
                "categories": ["Electronics", "GPS & Navigation", f"Kind {n}"],
                "details": {},
                "parent_asin": i,
                "bought_together": None,
            }
        )
        for n, i in enumerate(ASINS)
    ]
    return write(folder / "Things.jsonl.gz", reviews), write(folder / "meta_Things.jsonl.gz", meta)


def import_amazon(reviews: Path, meta: Path, *, k_core: int | None = None, **options) -> tuple[Dataset, ImportReport]:
    """As `--reviews` and `--metadata` do."""
    files = {"interactions": reviews, "items": meta}
    forms = [add_words(f, files=files, options={"k_core": k_core}) for f in recipe_forms(read_recipe("amazon"), files)]
    return import_mapping(forms, **options)


def import_kuaisar(path: Path, **options) -> tuple[Dataset, ImportReport]:
    return import_recipe("kuaisar", path, **options)


@pytest.mark.parametrize("edition", ["2014", "2018", "2023"])
def test_amazon_editions(tmp_path: Path, edition: str) -> None:
    data, report = import_amazon(*amazon(tmp_path, edition), data_seed=1)
    assert sorted(data.items["item_id"]) == ASINS[:5]  # the sixth item is not in the 5-core
    assert len(data.interactions) == 25
    assert report.counts["events_in_core"] == 25
    row = data.items.set_index("item_id").loc[ASINS[2]]
    assert row["brand"] == "Acme"
    assert row["categories"].startswith("Electronics > GPS & Navigation > Kind 2")
    assert row["title"] == ('Thing "2" & more' if edition == "2014" else "Thing 2")
    assert "thing 2" in row["description"]
    assert data.info["query_protocol"] == "category-path"
    assert data.info["timestamps"] == "clock"
    assert set(data.searches["query"]) <= {"gifts"} | {f"electronics gps navigation kind {n}" for n in range(5)} | {
        "electronics gps navigation kind"
    }
    assert np.diff(np.unique(data.interactions["timestamp"])).tolist() == [DAY] * 4  # whole seconds
    everything, _ = import_amazon(*amazon(tmp_path, edition), k_core=1, queries="known-item")
    assert len(everything.items) == 6


def test_ratings_without_a_header_and_with_one(tmp_path: Path) -> None:
    layouts = {
        "ratings_Things.csv": ("2014", [f"{u},{i},5.0,{t}" for u, i, t in bought()]),
        "Things.csv": ("2018", [f"{i},{u},5.0,{t}" for u, i, t in bought()]),
        "Ratings.csv.gz": (
            "2023",
            ["user_id,parent_asin,rating,timestamp", *(f"{u},{i},5.0,{t}" for u, i, t in bought())],
        ),
    }
    for name, (edition, lines) in layouts.items():
        text = "\n".join(lines).encode()
        (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
        _, meta = amazon(tmp_path, edition)
        files = {"interactions": tmp_path / name, "items": meta}
        forms = recipe_forms(read_recipe("amazon"), files)
        frame = read_tables([add_words(f, files=files, options={"k_core": 1}) for f in forms]).interactions
        assert sorted(frame.itertuples(index=False, name=None)) == sorted(bought())
    (tmp_path / "two.csv").write_text("a,b\n")
    with pytest.raises(DataError, match=r"two.csv has no column .* \(it has"):
        import_amazon(tmp_path / "two.csv", meta)


def test_bad_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    reviews, meta = amazon(tmp_path, "2014")
    lines = gzip.decompress(reviews.read_bytes()).decode().splitlines()
    # a cut line, a call instead of a literal, an incomplete review, a copy
    write(
        reviews, [lines[0], lines[1][:40], "__import__('os').getcwd()", '{"asin": "B000000000"}', *lines[1:], lines[1]]
    )
    data, report = import_amazon(reviews, meta, k_core=1)
    assert len(data.interactions) == 26
    counts = report.counts
    assert (counts["unreadable_lines"], counts["interactions_without_user"], counts["interactions_copies"]) == (2, 1, 1)
    rows = counts["interactions_rows"]
    assert rows == len(data.interactions) + 1 + 1
    write(meta, [*gzip.decompress(meta.read_bytes()).decode().splitlines(), "__import__('os').getcwd()"])
    _, report = import_amazon(reviews, meta, k_core=1)
    assert report.counts["unreadable_lines"] == 3
    assert any("1 lines are no records" in s for s in report.sentences)


def test_files_of_another_layout_or_cut_off_are_refused(tmp_path: Path) -> None:
    reviews, meta = amazon(tmp_path, "2018")
    other = write(tmp_path / "other.json.gz", ["no json"] * 20)
    with pytest.raises(DataError, match="no JSON objects"):
        import_amazon(other, meta)
    with pytest.raises(DataError, match="has no column"):
        import_amazon(meta, reviews)
    with pytest.raises(DataError, match="does not exist"):
        import_amazon(tmp_path / "nowhere.json.gz", meta)
    elsewhere = gzip.decompress(meta.read_bytes()).decode().replace("B00000", "B99999").splitlines()
    with pytest.raises(DataError, match="none of the 26 rows names an item of the catalogue"):
        import_amazon(reviews, write(tmp_path / "meta_m.json.gz", elsewhere))
    with pytest.raises(DataError, match="no users and items with 50 or more clicks"):
        import_amazon(reviews, meta, k_core=50)
    whole = reviews.read_bytes()
    reviews.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cut off or broken"):
        import_amazon(reviews, meta)


def test_reviews_of_items_without_metadata_go_and_the_core_is_taken_again(tmp_path: Path) -> None:
    reviews, meta = amazon(tmp_path, "2018")
    lines = gzip.decompress(meta.read_bytes()).decode().splitlines()
    data, report = import_amazon(reviews, write(meta, lines[1:]), k_core=4)
    assert report.counts["interactions_unknown_items"] == 5
    assert len(data.interactions) == 20
    with pytest.raises(DataError, match="choose a smaller --k-core"):
        import_amazon(reviews, meta, k_core=5)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=40), st.integers(1, 4))
def test_k_core_equals_peeling_one_by_one(pairs: list[tuple[int, int]], k: int) -> None:
    events = np.array(pairs, dtype=np.int32).reshape(-1, 2)
    left = list(range(len(pairs)))
    while True:
        weak = [
            e
            for e in left
            if sum(pairs[o][0] == pairs[e][0] for o in left) < k or sum(pairs[o][1] == pairs[e][1] for o in left) < k
        ]
        if not weak:
            break
        left.remove(weak[0])
    assert np.flatnonzero(core_mask(events[:, 0], events[:, 1], k)).tolist() == left


def kuaisar(folder: Path) -> Path:
    """The published files, with the columns that matter and some that do not."""
    rec = [
        "user_id,item_id,playing_time,duration_ms,time,timestamp,click,forward,like,follow,search,search_item_related"
    ]
    src = [
        "user_id,search_session_id,search_session_time,search_session_timestamp,keyword,search_source,item_id,click_cnt,item_type"
    ]
    for u in range(4):
        rec += [
            f"{u},{100 + (u + t) % 6},60792.0,45400.0,2023-05-22 15:53:20,{1684742000000 + t * 1000}.0,{int(t != 5)},0,0,0,0,0"
            for t in range(6)
        ]
        for s in range(5):
            head = f'{u},{u * 10 + s},2023-05-22 21:58:52,{1684742000500 + s * 1000},"[{s}, 34, 3]",USER_INPUT'
            # in the last session nothing is clicked; otherwise one of two shown items, and a user profile
            src += [f"{head},{100 + (u + s) % 6},{int(s < 4)},VIDEO", f"{head},{100 + (u + s + 1) % 6},0,VIDEO"]
            src += [f"{head},999999,1,USER"] if s == 0 else []
    names = [
        f"{level}_level_category_{part}"
        for level in ("first", "second", "third", "fourth")
        for part in ("id", "name", "name_en")
    ]
    items = [",".join(["item_id", "caption", "author_id", "item_type", "upload_time", "upload_type", *names])]
    items += [
        f'{100 + i},"[{i}, 213, 24]",{i},NORMAL,2023-04-22,LongImport,9,搞笑,Funny,136,搞笑段子,Funny joke,0,空,empty,0,空,empty'
        for i in range(7)
    ]
    root = folder / "KuaiSAR_final"
    root.mkdir()
    for name, lines in (("rec_inter.csv", rec), ("src_inter.csv", src), ("item_features.csv", items)):
        (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def zipped(root: Path) -> Path:
    path = root.parent / "KuaiSAR.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in root.iterdir():
            archive.write(file, f"{root.name}/{file.name}")
    return path


def test_kuaisar_from_folder_and_zip(tmp_path: Path) -> None:
    root = kuaisar(tmp_path)
    data, report = import_kuaisar(root, k_core=1)
    assert sorted(data.items["item_id"]) == [str(100 + i) for i in range(6)]  # clicked ones only
    row = data.items.set_index("item_id").loc["102"]
    assert (row["title"], row["categories"], row["brand"]) == ("w2 w213 w24", "Funny > Funny joke", "2")
    assert data.items.set_index("item_id").loc["100", "brand"] == ""  # author 0 is padding
    assert len(data.interactions) == 4 * 5  # clicks only
    assert data.info["query_protocol"] == "log"
    assert data.info["timestamps"] == "clock"
    mine = data.searches[data.searches["user_id"] == "1"].sort_values("timestamp", kind="stable")
    assert mine["query"].tolist() == [f"w{s} w34 w3" for s in range(5)]
    assert mine["item_id"].fillna("").tolist() == ["101", "102", "103", "104", ""]  # a user profile is no item
    assert report.counts["searches_unknown_items"] == 4
    again, _ = import_kuaisar(zipped(root), k_core=1)
    assert again.info["fingerprint"] == data.info["fingerprint"]
    with pytest.raises(DataError, match="no users and items with 50 or more clicks"):
        import_kuaisar(root, k_core=50)


def test_broken_kuaisar_is_refused(tmp_path: Path) -> None:
    root = kuaisar(tmp_path)
    path = zipped(root)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="cannot be read as a zip file"):
        import_kuaisar(path)
    text = (root / "src_inter.csv").read_text(encoding="utf-8")
    (root / "src_inter.csv").write_text(text.replace("keyword", "words"), encoding="utf-8")
    with pytest.raises(DataError, match=r"src_inter.csv has no column 'keyword'"):
        import_kuaisar(root)
    (root / "src_inter.csv").unlink()
    with pytest.raises(DataError, match="has no file src_inter"):
        import_kuaisar(root)
    with pytest.raises(DataError, match=r"nothing.zip does not exist"):
        import_kuaisar(tmp_path / "nothing.zip")


class Store(BaseHTTPRequestHandler):
    """Serves `files`; `breaks` are the numbers of body bytes after which the next answers are cut off."""

    files: dict[str, bytes]
    breaks: list[int]
    ranges = True
    asked: list[str | None]

    def do_GET(self) -> None:
        content = self.files.get(self.path)
        wanted = self.headers.get("Range")
        type(self).asked.append(wanted)
        if content is None:
            self.send_error(404)
            return
        tag = '"' + hashlib.md5(content).hexdigest() + '"'
        begin = 0
        if wanted and self.ranges and self.headers.get("If-Range", tag) == tag:
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
            if begin >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        body = content[begin:]
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", tag)
        self.end_headers()
        limit = self.breaks.pop(0) if self.breaks else len(body)
        self.wfile.write(body[:limit])
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[tuple[str, type[Store]]]:
    monkeypatch.setattr(download, "_BLOCK", 50)
    handler = type("Handler", (Store,), {"files": {}, "breaks": [], "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", handler
        running.shutdown()
        thread.join()


BODY = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_download_arrives_whole_and_leaves_nothing_else(server, tmp_path: Path) -> None:
    url, handler = server
    handler.files["/a.bin"] = BODY
    path = download_file(
        RemoteFile(f"{url}/a.bin", len(BODY), sha(BODY), hashlib.md5(BODY).hexdigest()), tmp_path / "sub" / "a.bin"
    )
    assert path.read_bytes() == BODY
    assert [p.name for p in path.parent.iterdir()] == ["a.bin"]
    download_file(RemoteFile(f"{url}/a.bin"), path)
    assert len(handler.asked) == 1  # there already


def test_of_two_downloads_of_one_file_one_brings_it_for_both(server, tmp_path: Path) -> None:
    url, handler = server
    handler.files["/a.bin"] = BODY
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: download_file(RemoteFile(f"{url}/a.bin"), tmp_path / "a.bin"), range(2)))
    assert [path.read_bytes() == BODY for path in paths] == [True, True]
    assert len(handler.asked) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_broken_connection_is_taken_up_where_it_broke(server, tmp_path: Path) -> None:
    url, handler = server
    handler.files["/a.bin"] = BODY
    handler.breaks[:] = [100_000, 50_000]
    path = download_file(RemoteFile(f"{url}/a.bin", sha256=sha(BODY)), tmp_path / "a.bin", wait=0)
    assert path.read_bytes() == BODY
    assert handler.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_a_second_run_goes_on_from_the_kept_part(server, tmp_path: Path) -> None:
    url, handler = server
    handler.files["/a.bin"] = BODY
    handler.breaks[:] = [120_000]
    with pytest.raises(DataError, match=r"120000 bytes are kept in .*a\.bin\.part; run this again"):
        download_file(RemoteFile(f"{url}/a.bin"), tmp_path / "a.bin", attempts=1)
    assert not (tmp_path / "a.bin").exists()
    assert download_file(RemoteFile(f"{url}/a.bin"), tmp_path / "a.bin", attempts=1).read_bytes() == BODY
    assert handler.asked == [None, "bytes=120000-"]


def test_a_server_without_ranges_or_with_a_new_file_starts_over(server, tmp_path: Path) -> None:
    url, handler = server
    for name, change in (("a.bin", "ranges"), ("b.bin", "content")):
        handler.files[f"/{name}"] = BODY
        handler.breaks[:] = [120_000]
        with pytest.raises(DataError, match="run this again"):
            download_file(RemoteFile(f"{url}/{name}"), tmp_path / name, attempts=1)
        handler.ranges = change != "ranges"
        if change == "content":
            handler.files[f"/{name}"] = BODY[::-1]
        expected = handler.files[f"/{name}"]
        assert download_file(RemoteFile(f"{url}/{name}"), tmp_path / name, attempts=1).read_bytes() == expected


def leave_part(url: str, part: Path, content: bytes) -> None:
    """What a killed download leaves."""
    part.write_bytes(content)
    told = {"url": url, "mark": None, "size": len(content), "sha256": sha(content)}
    write_sealed(part.with_name(part.name + ".json"), told)


def test_a_part_that_is_complete_only_needs_its_checks(server, tmp_path: Path) -> None:
    url, handler = server
    handler.files["/a.bin"] = BODY
    leave_part(f"{url}/a.bin", tmp_path / "a.bin.part", BODY)
    assert download_file(RemoteFile(f"{url}/a.bin", sha256=sha(BODY)), tmp_path / "a.bin").read_bytes() == BODY
    leave_part(f"{url}/b.bin", tmp_path / "b.bin.part", BODY * 2)
    handler.files["/b.bin"] = BODY
    assert download_file(RemoteFile(f"{url}/b.bin", sha256=sha(BODY)), tmp_path / "b.bin", wait=0).read_bytes() == BODY


def test_what_was_written_after_the_last_note_is_asked_for_again(server, tmp_path: Path) -> None:
    url, handler = server
    handler.files["/a.bin"] = BODY
    leave_part(f"{url}/a.bin", tmp_path / "a.bin.part", BODY[:1000])
    with open(tmp_path / "a.bin.part", "ab") as part:
        part.write(b"half a block that a kill left")
    assert download_file(RemoteFile(f"{url}/a.bin"), tmp_path / "a.bin").read_bytes() == BODY
    assert handler.asked == ["bytes=1000-"]


def test_the_part_of_another_file_of_that_name_is_not_gone_on_with(server, tmp_path: Path) -> None:
    url, handler = server
    handler.files["/a.bin"] = BODY
    leave_part(f"{url}/other/a.bin", tmp_path / "a.bin.part", b"other")
    assert download_file(RemoteFile(f"{url}/a.bin"), tmp_path / "a.bin").read_bytes() == BODY


@pytest.mark.parametrize("what", ["no state", "another state", "changed", "state alone"])
def test_a_part_that_is_not_ours_is_left_alone(server, tmp_path: Path, what: str) -> None:
    url, handler = server
    handler.files["/a.bin"] = BODY
    part, state = tmp_path / "a.bin.part", tmp_path / "a.bin.part.json"
    leave_part(f"{url}/a.bin", part, BODY[:1000])
    if what == "no state":
        state.unlink()
    elif what == "changed":
        part.write_bytes(b"years of work")
    else:
        state.write_text('{"url": "mine"}')
    if what == "state alone":
        part.unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RefusedError, match="nothing was touched, move it and") as told:
        download_file(RemoteFile(f"{url}/a.bin"), tmp_path / "a.bin")
    assert "\n" not in str(told.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert handler.asked == []


@pytest.mark.parametrize("wrong", [{"size": 5}, {"sha256": "0" * 64}, {"md5": "0" * 32}])
def test_a_wrong_file_is_refused_and_removed(server, tmp_path: Path, wrong: dict) -> None:
    url, handler = server
    handler.files["/a.bin"] = BODY
    with pytest.raises(DataError, match="instead of"):
        download_file(RemoteFile(f"{url}/a.bin", **wrong), tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.bin").write_bytes(BODY)
    with pytest.raises(DataError, match="move it away"):
        download_file(RemoteFile(f"{url}/a.bin", **wrong), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").exists()  # people's own file is theirs to remove


def test_a_missing_file_and_no_network_are_told_apart(server, tmp_path: Path) -> None:
    url, handler = server
    with pytest.raises(DataError, match="answers 404"):
        download_file(RemoteFile(f"{url}/none.bin"), tmp_path / "none.bin")
    assert len(handler.asked) == 1  # asking again would not help
    with pytest.raises(DataError, match="are you offline"):
        download_file(RemoteFile("http://127.0.0.1:9/x.bin"), tmp_path / "x.bin", attempts=2, wait=0)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_part(server, tmp_path: Path, monkeypatch) -> None:
    url, handler = server
    handler.files["/a.bin"] = BODY

    def full(path: Path, content: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "write_sealed", full)
    with pytest.raises(DataError, match=r"disk of .* is full.*free some room"):
        download_file(RemoteFile(f"{url}/a.bin"), tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()


def test_known_sources_and_misspelt_ones() -> None:
    sources = known_sources()
    assert [f.name for f in sources["amazon-2014/Beauty"].files] == ["reviews_Beauty_5.json.gz", "meta_Beauty.json.gz"]
    assert [f.name for f in sources["amazon-2018/Industrial_and_Scientific"].files] == [
        "Industrial_and_Scientific_5.json.gz",
        "meta_Industrial_and_Scientific.json.gz",
    ]
    assert [f.name for f in find_source("AMAZON-2023/all_beauty").files] == [
        "All_Beauty.jsonl.gz",
        "meta_All_Beauty.jsonl.gz",
    ]
    assert [f.name for f in sources["kuaisar-small"].files] == ["KuaiSAR.zip"]
    assert all(f.url.startswith("https://") for source in sources.values() for f in source.files)
    with pytest.raises(DataError, match=r"did you mean.*amazon-2014/Electronics"):
        find_source("amazon-2014/Electronic")


@pytest.mark.parametrize("name", ["amazon-2014/Things", "amazon-2018/Things", "amazon-2023/Things", "kuaisar"])
def test_download_and_import_from_a_server_that_breaks_off(server, tmp_path: Path, monkeypatch, name: str) -> None:
    url, handler = server
    (tmp_path / "origin").mkdir()
    paths = [zipped(kuaisar(tmp_path / "origin"))] if name == "kuaisar" else amazon(tmp_path / "origin", name[7:11])
    handler.files |= {f"/{p.name}": p.read_bytes() for p in paths}
    handler.breaks[:] = [150]
    remote = tuple(RemoteFile(f"{url}/{p.name}", p.stat().st_size, sha(p.read_bytes())) for p in paths)
    recipe, tables = ("kuaisar", ()) if name == "kuaisar" else ("amazon", ("interactions", "items"))
    monkeypatch.setattr(download, "known_sources", lambda: {name: download.RemoteData(remote, recipe, tables)})
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    data, _ = import_source(name, tmp_path / "raw", k_core=2)
    assert data.info["name"] == name.replace("/", "-").lower()
    assert "bytes=150-" in handler.asked
    data.save(tmp_path / "data")
    assert Dataset.load(tmp_path / "data").info == data.info
