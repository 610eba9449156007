"""What can be typed: verbs, options and their help. Imports nothing, so that help is instant."""

from __future__ import annotations

import argparse

from gensar_lite.cli.import_words import IMPORT_EXAMPLES, add_import_arguments

PRESETS = ("tiny", "small", "paper", "paper-tiny")
MAPS = ("umap", "pca")
KNOBS = (
    ("num-items", int, 2000, "items of the catalogue"),
    ("num-users", int, 1500, "users"),
    ("mean-events", float, 20.0, "mean events per user"),
    ("alignment", float, 0.5, "0 to 1: how far co-click communities follow the categories"),
    ("signal", float, 0.85, "share of clicks led by mission and taste, the others follow popularity"),
    ("vagueness", float, 0.5, "0 to 1: how under-specified queries are"),
    ("search-share", float, 0.4, "share of searches among the events"),
    ("no-click-share", float, 0.1, "share of searches without a click"),
    ("typo-share", float, 0.08, "share of searches with a slip"),
)
EPILOG = """exit codes: 0 done, 1 failed on the data or the run, 2 wrong usage or an output that may not be replaced, 130 interrupted,
143 ended by SIGTERM
One CPU thread is used unless OMP_NUM_THREADS says otherwise: for small models more threads are slower."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command; a chosen verb stands in `verb` as "module:function"."""
    parser = argparse.ArgumentParser(
        prog="gensar-lite",
        description="Learn and measure unified generative search and recommendation.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gensar-lite {_version()}")
    parser.set_defaults(debug=False)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")
    _add_data(verbs)
    _add_run(verbs)
    _add_identifiers(verbs)
    _add_answers(verbs)
    _add_results(verbs)
    _add_export(verbs)
    _add_tradeoff(verbs)
    _add_app(verbs)
    return parser


def _version() -> str:
    from gensar_lite import __version__

    return __version__


def _verb(verbs, name: str, call: str, text: str, loads: bool = True, **options) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        **options,
    )
    parser.set_defaults(verb=call)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    if loads:
        parser.add_argument(
            "--verify",
            action="store_true",
            help="compare every loaded file with its hash (else those whose size or time changed since they were written)",
        )
    return parser


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", default=None, help="where to compute, such as cpu or cuda:1 (default: a GPU where there is one)"
    )


def positive(text: str) -> int:
    """A whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, not {value}")
    return value


def evidence(text: str) -> tuple[str, ...]:
    """Names of sources of evidence, with commas; none: no source."""
    return tuple(part.strip() for part in text.split(",") if part.strip() not in ("none", ""))


def _add_data(verbs) -> None:
    data = verbs.add_parser(
        "data",
        help="make, import, download or describe a data set",
        description="Make, import, download or describe a data set.",
    )
    kinds = data.add_subparsers(title="verbs", metavar="VERB", required=True)

    simulate = _verb(
        kinds, "simulate", "tables:simulate", "simulate the store Bazaar, whose truth is known", loads=False
    )
    simulate.add_argument("--out", required=True, help="folder to write")
    for name, kind, default, text in KNOBS:
        simulate.add_argument(f"--{name}", type=kind, default=default, help=text)
    simulate.add_argument("--data-seed", type=int, default=0, help="seed of the store")
    simulate.add_argument(
        "--case-users", type=positive, default=None, help="hold out the cases of that many users only"
    )
    _json(simulate)

    tables = _verb(
        kinds,
        "import",
        "tables:import_data",
        "import your own tables, or public files as they were downloaded (--recipe NAME FOLDER)",
        loads=False,
    )
    add_import_arguments(tables, positive)
    tables.epilog, tables.formatter_class = IMPORT_EXAMPLES, argparse.RawDescriptionHelpFormatter
    _import_options(tables)
    tables.add_argument(
        "--timestamps",
        choices=("auto", "clock", "steps"),
        default=None,
        help="what timestamps are: a clock, or places in each user's history",
    )
    tables.add_argument(
        "--holdout",
        choices=("leave-one-out", "time"),
        default=None,
        help="what is held out: each user's last events (default), or everything after a moment",
    )
    tables.add_argument("--out", help="folder to write")
    _json(tables)

    download = _verb(kinds, "download", "tables:download", "download a public data set and import it", loads=False)
    download.add_argument("name", nargs="?", help="such as amazon-2014/Beauty or kuaisar-small")
    download.add_argument("--list", action="store_true", help="list the names that are known")
    download.add_argument("--files", default="downloads", help="folder for the files as they come")
    download.add_argument("--out", help="data set folder to write; without it, the files are downloaded only")
    _import_options(download)
    download.add_argument(
        "--k-core",
        type=positive,
        default=None,
        help="users and items with at least so many clicks (default: the recipe's)",
    )
    _json(download)

    describe = _verb(kinds, "describe", "tables:describe", "say what is in a data set")
    describe.add_argument("data", help="a folder, or bazaar")
    _json(describe)


def _import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--queries",
        choices=("known-item", "category-path", "log", "none"),
        default=None,
        help="where queries come from: made from item text (known-item, the default without a search log) or categories, the search log, or nowhere (recommendation alone)",
    )
    parser.add_argument(
        "--search-share", type=share, default=None, help="share of interactions that get a made query (default 0.5)"
    )
    parser.add_argument(
        "--language",
        help="of the texts, for stop words and stems, such as german or none (default: found from the texts)",
    )
    parser.add_argument("--data-seed", type=int, default=0, help="seed of queries, held-out cases and candidates")
    parser.add_argument("--name", dest="name_of_data", help="name to give the data set")
    parser.add_argument("--case-users", type=positive, default=None, help="hold out the cases of that many users only")
    parser.add_argument(
        "--search-fill",
        choices=("near", "random"),
        default=None,
        help="what fills the search candidates up where BM25 finds fewer than 99: the items nearest to its hits (default), or random ones (the paper's)",
    )


def _add_run(verbs) -> None:
    run = _verb(
        verbs, "run", "runs:run", "go through the whole line: signals, identifiers, training, evaluation, report"
    )
    run.add_argument("--data", required=True, help="a folder made by `gensar-lite data`, or bazaar")
    run.add_argument("--out", required=True, help="run folder; of an existing one, only what changed is made again")
    run.add_argument("--preset", choices=PRESETS, default="tiny", help="size")
    named = run.add_mutually_exclusive_group()
    named.add_argument(
        "--strategy",
        default=None,
        help="which identifiers: gensar, semantic, collaborative, fused, unshared, bi-encoder, collaborative-prefix, semantic-prefix, asymmetric, random (default: gensar)",
    )
    named.add_argument(
        "--identifiers",
        metavar="FILE",
        help="finished identifiers instead: index.json of other tools, or a Parquet, CSV or .npy table of codes",
    )
    run.add_argument("--seed", type=int, default=0, help="the model's seed")
    run.add_argument(
        "--text-encoder", default="tfidf", help="tfidf, a sentence-transformers name or path, or an .npy file"
    )
    run.add_argument(
        "--query-prefix", help='what a text encoder reads before a query, such as "query: " (default: its own)'
    )
    run.add_argument("--passage-prefix", help="the same before an item's text")
    run.add_argument(
        "--normalise", action="store_true", help="make the vectors of .npy files 1 long (default: as they are)"
    )
    run.add_argument("--collaborative", default="sequential", help="sequential, als, sequential-text, or an .npy file")
    run.add_argument(
        "--quantiser", default=None, help="how vectors become codes: rqvae, kmeans or faiss (default: the preset's)"
    )
    run.add_argument(
        "--history",
        choices=("pooled", "tokens", "template"),
        default=None,
        help="how the model reads a history (default: the preset's)",
    )
    run.add_argument(
        "--mix", type=share, default=None, help="share of recommendation in training (default: the preset's)"
    )
    run.add_argument(
        "--evidence",
        type=evidence,
        default=None,
        help="what the store says beside the generator: words, neighbours, content, several with commas, or none (default: the preset's)",
    )
    _device(run)
    run.add_argument("--steps", type=positive, default=None, help="training steps (default: the preset's)")
    run.add_argument("--backbone", default=None, help="a T5-family checkpoint to start from, by name or path")
    run.add_argument(
        "--pseudo-queries",
        metavar="FILE",
        default=None,
        help="a CSV or Parquet table of item_id and query, of another doc2query model (default: learned from the log)",
    )
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another setting of the preset, such as epochs=20, start_vectors=true or rqvae='{\"epochs\": 100}'",
    )
    run.add_argument("--no-baselines", action="store_true", help="measure the model alone")
    run.add_argument("--examples", type=int, default=3, metavar="N", help="searches and recommendations to show")
    _json(run)


def _add_identifiers(verbs) -> None:
    about = "judge identifiers, of this kit or of any other tool"
    identifiers = verbs.add_parser("identifiers", help=about, description=f"{about[0].upper()}{about[1:]}.")
    kinds = identifiers.add_subparsers(title="verbs", metavar="VERB", required=True)
    judge = _verb(
        kinds,
        "judge",
        "identifiers:judge",
        "report how codes are used, what prefixes say and what is lost, side by side",
    )
    judge.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="index.json of other tools, a Parquet, CSV or .npy table of codes, a folder of identifiers, or a run folder",
    )
    judge.add_argument("--data", required=True, help="the data set that they name: a folder, or bazaar")
    _json(judge)


def _add_answers(verbs) -> None:
    search = _verb(verbs, "search", "answers:search", "search the store of a run")
    search.add_argument("run", metavar="RUN", help="run folder")
    search.add_argument("query", help="what to look for")
    search.add_argument("--user", help="whose history the answer takes into account")
    _answer_options(search)

    recommend = _verb(verbs, "recommend", "answers:recommend", "recommend to a user, or to anybody with a history")
    recommend.add_argument("run", metavar="RUN", help="run folder")
    who = recommend.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", help="a user of the log; an unknown one is answered as a new user")
    who.add_argument("--history", help="item ids with commas between them, oldest first")
    _answer_options(recommend)

    suggest = _verb(verbs, "suggest", "answers:suggest", "suggest queries that a user may type next")
    suggest.add_argument("run", metavar="RUN", help="run folder")
    suggest.add_argument("--user", required=True, help="a user of the log")
    suggest.add_argument("-k", type=positive, default=5, help="how many")
    _json(suggest)

    add = _verb(verbs, "add-items", "answers:add_items", "let new items join a run without training")
    add.add_argument("run", metavar="RUN", help="run folder; it is written anew as a whole")
    add.add_argument(
        "--items", required=True, help="CSV or Parquet: item_id, title and, where known, description, categories, brand"
    )
    _json(add)


def _answer_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-k", type=positive, default=10, help="how many items")
    parser.add_argument("--category", help="only items whose categories contain this text")
    parser.add_argument("--exclude-seen", action="store_true", help="leave out what the user has clicked before")
    parser.add_argument(
        "--evidence",
        type=evidence,
        default=None,
        help="sources to hear, with commas, or none (default: those of the run)",
    )
    parser.add_argument("--beams", type=positive, default=30, help="width of the beam search")
    _json(parser)


def _add_results(verbs) -> None:
    evaluate = _verb(verbs, "evaluate", "runs:evaluate", "measure the model of a run on its held-out cases")
    evaluate.add_argument("run", metavar="RUN", help="run folder")
    evaluate.add_argument(
        "--data", help="data set to measure on: must be the one the run was made from (default: the run's own store)"
    )
    evaluate.add_argument("--split", choices=("test", "valid"), default="test", help="which cases")
    _device(evaluate)
    evaluate.add_argument("--no-baselines", action="store_true", help="measure the model alone")
    evaluate.add_argument(
        "--export-trec", metavar="DIR", help="write runs and judgements for trec_eval, ir_measures, ranx"
    )
    _json(evaluate)

    report = _verb(verbs, "report", "runs:report", "write one HTML file about one or several runs or sweeps")
    report.add_argument(
        "runs", metavar="RUN|SWEEP", nargs="+", help="run folders, or folders of `gensar-lite tradeoff`"
    )
    report.add_argument("--out", required=True, help="the HTML file")


def _add_export(verbs) -> None:
    export = _verb(
        verbs,
        "export",
        "app:export",
        "write the live model of a run as one HTML file that needs neither an installation nor a network",
    )
    export.add_argument("run", metavar="RUN", help="run folder")
    export.add_argument("--out", required=True, help="the HTML file")
    _page_options(export)


def _page_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--users",
        metavar="USER,USER",
        help="whose histories the page holds (default: everybody of a simulated store, nobody of any other)",
    )
    parser.add_argument("--map", choices=MAPS, default="umap", help="how the maps are drawn; pca is faster")
    parser.add_argument(
        "--slider",
        action="store_true",
        help="with a slider between search and recommendation: two short fine-tunes are trained once, some minutes",
    )
    parser.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder of `gensar-lite tradeoff` whose curves the page shows; may be given several times",
    )
    parser.add_argument("--kit", default="runs/app", help="folder for the fine-tunes, the quick model and app's pages")


def _add_tradeoff(verbs) -> None:
    tradeoff = _verb(
        verbs,
        "tradeoff",
        "tradeoff:tradeoff",
        "sweep strategies, mixes and seeds, and read the curves; the same command goes on where it was stopped, "
        "and several processes may run it at once",
    )
    tradeoff.add_argument("--out", required=True, help="folder of the sweep, new or of an earlier call")
    what = tradeoff.add_argument_group("what to run (lists have commas between their entries)")
    what.add_argument("--design", metavar="FILE", help="a design file instead of the options of this group")
    what.add_argument("--data", default=None, help="folders made by `gensar-lite data`, or bazaar")
    what.add_argument("--strategies", default="gensar,semantic,collaborative", help="which identifiers")
    what.add_argument("--mixes", default="0,0.25,0.5,0.75,1", help="shares of recommendation in training")
    what.add_argument("--seeds", default="0,1,2", help="the models' seeds; one seed gives no intervals")
    what.add_argument("--preset", choices=PRESETS, default="tiny", help="size")
    what.add_argument("--steps", type=positive, default=None, help="training steps (default: the preset's)")
    what.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another setting of the preset, such as quantiser=kmeans",
    )
    what.add_argument(
        "--axis",
        action="append",
        default=[],
        metavar="NAME=VALUE,VALUE",
        help="runs with other values of a setting beside the plain ones, such as num_codes=32,128 or without=next_query",
    )
    what.add_argument(
        "--cheap", default="none", help="cheap curves beside the sweep: interpolation, conditioned, fusion, all or none"
    )
    what.add_argument(
        "--specialists",
        default="bm25,dense,sasrec,sasrec-text,item-knn,als",
        help="rankers of one signal as yardsticks, or none",
    )
    what.add_argument("--protocols", default="uniform99,popular99,bm25_99,full", help="what test cases are ranked in")
    how = tradeoff.add_argument_group("how to run and read")
    how.add_argument(
        "--storage", metavar="URL", help="a database that several machines share (default: a file in --out)"
    )
    how.add_argument("--study", default="tradeoff", help="name of the sweep in that database")
    how.add_argument("--retry-failed", action="store_true", help="try failed runs again")
    how.add_argument(
        "--keep-others", action="store_true", help="go on beside results of other data or code, which are not read"
    )
    how.add_argument("--read-only", action="store_true", help="run nothing, read what is there")
    how.add_argument(
        "--goals", default="uniform99,bm25_99", help="protocol of recommendation and of search that figures show"
    )
    how.add_argument("--metric", default="NDCG@10", help="metric that figures show")
    _json(tradeoff)


def _add_app(verbs) -> None:
    app = _verb(
        verbs, "app", "app:app", "make the page of a run, the live model in one file, and open it in the browser"
    )
    app.add_argument(
        "run", nargs="?", help="a run folder (without it: runs/demo, or a quick model that is trained once)"
    )
    app.add_argument("--steps", type=positive, default=500, help="training steps of the quick model")
    _page_options(app)
    app.add_argument("--no-browser", action="store_true", help="make the page, and say where it lies")
