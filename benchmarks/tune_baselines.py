"""Choose the hyper-parameters of the baselines on a data set's validation split, and record them.

    python benchmarks/tune_baselines.py --data bazaar --trials 12
    python benchmarks/tune_baselines.py --data FOLDER --baselines sasrec sasrec-text --trials 20

The criterion is the primary metric of recommendation, NDCG@10 among 99 uniformly drawn items, on the half of the
validation cases to which things are fitted; test cases are never looked at. Popularity has nothing to tune; `bm25` and `dense` are fixed by the lexical index
and the text encoder. The first trial is what is recorded already, the others come from Optuna's TPE sampler; call
it again with another `--sampler-seed` to search on. Results go to `gensar_lite/evaluation/baselines.json` under
the hash of the data set's log: a data set of the same name with other clicks does not get them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import optuna

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.load import load_dataset
from gensar_lite.data.storage import read_json, write_json
from gensar_lite.evaluation.baselines import RECORDED, fit_baseline, recorded_parameters
from gensar_lite.evaluation.metrics import metrics_of
from gensar_lite.evaluation.protocols import evaluate_ranker
from gensar_lite.signals import Signals, embed

TUNED = ("item-knn", "als", "sasrec", "sasrec-text")


def suggest(trial: optuna.Trial, name: str) -> dict:
    """One point of a baseline's search space."""
    if name == "item-knn":
        return {
            "neighbours": trial.suggest_categorical("neighbours", [50, 100, 200, 500, 1000, 2000]),
            "weighting": trial.suggest_categorical("weighting", ["cosine", "tfidf", "bm25"]),
            "decay": trial.suggest_categorical("decay", [0.5, 0.7, 0.8, 0.9, 1.0]),
            "own": trial.suggest_categorical("own", [0.0, 0.5, 1.0]),
        }
    if name == "als":
        return {
            "factors": trial.suggest_categorical("factors", [16, 32, 64, 128]),
            "regularization": trial.suggest_float("regularization", 1e-3, 10.0, log=True),
            "alpha": trial.suggest_float("alpha", 1.0, 100.0, log=True),
            "iterations": trial.suggest_categorical("iterations", [10, 20]),
        }
    return {
        "epochs": trial.suggest_categorical("epochs", [4, 8, 12, 16]),
        "learning_rate": trial.suggest_float("learning_rate", 1.5e-3, 8e-3, log=True),
        "dropout": trial.suggest_categorical("dropout", [0.2, 0.35, 0.5, 0.6]),
        "start_length": trial.suggest_categorical("start_length", [0.1, 0.2, 0.4, 1.0]),
        "layers": trial.suggest_categorical("layers", [1, 2]),
        "dim": trial.suggest_categorical("dim", [64, 128]),
        "weight_decay": trial.suggest_categorical("weight_decay", [0.0, 0.1, 0.3]),
        "batch_positions": trial.suggest_categorical("batch_positions", [512, 1024]),
    }


def tune(name: str, data: Dataset, signals: Signals, trials: int, seed: int, sampler_seed: int) -> tuple[dict, float]:
    """The best hyper-parameters of `trials` trials and their validation NDCG@10 (uniform99)."""

    def objective(trial: optuna.Trial) -> float:
        parameters = {k: float(f"{v:.3g}") if isinstance(v, float) else v for k, v in suggest(trial, name).items()}
        trial.set_user_attr("parameters", parameters)
        ranker = fit_baseline(name, data, signals, seed, **parameters)
        ranks = evaluate_ranker(ranker, data, "fit", tasks=["recommendation"], protocols=["uniform99"])
        return metrics_of(ranks)["recommendation"]["uniform99"]["NDCG@10"]

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=sampler_seed, n_startup_trials=max(3, trials // 3)),
    )
    study.enqueue_trial(recorded_parameters(data).get(name, {}))
    study.optimize(objective, n_trials=trials, callbacks=[report])
    return study.best_trial.user_attrs["parameters"], float(study.best_value)


def report(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    print(
        f"  {trial.number:3d}  {trial.value:.4f}  best {study.best_value:.4f}  {trial.user_attrs['parameters']}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="bazaar", help="bazaar, or a folder made by `gensar-lite data import`")
    parser.add_argument("--baselines", nargs="+", choices=TUNED, default=list(TUNED))
    parser.add_argument("--trials", type=int, default=12, help="per baseline")
    parser.add_argument("--text-encoder", default="tfidf")
    parser.add_argument("--seed", type=int, default=0, help="of the models")
    parser.add_argument("--sampler-seed", type=int, default=0, help="of the search")
    parser.add_argument("--out", type=Path, default=RECORDED)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    data = load_dataset(arguments.data)
    signals = embed(
        data, arguments.text_encoder, collaborative="als", seed=arguments.seed
    )  # only its text is used here
    for name in arguments.baselines:
        print(f"{name} on {data.name}")
        parameters, value = tune(name, data, signals, arguments.trials, arguments.seed, arguments.sampler_seed)
        recorded = read_json(arguments.out) if arguments.out.exists() else {}
        entry = recorded.setdefault(data.info["log_hash"], {"parameters": {}, "validation": {}, "trials": {}})
        entry.update(
            {
                "name": data.name,
                "fingerprint": data.info["fingerprint"],
                "text_encoder": arguments.text_encoder,
                "metric": "NDCG@10 uniform99, fit (half of the validation cases)",
            }
        )
        entry["parameters"][name], entry["validation"][name] = parameters, round(value, 4)
        entry["trials"][name] = (
            entry["trials"].get(name, 0) + arguments.trials
        )  # the search goes on from what is recorded
        write_json(arguments.out, recorded)


if __name__ == "__main__":
    main()
