"""How sure a difference between two rankers is: intervals and tests over users, the range over seeds.

Explained in notebook 07. Two rankers answer the same cases, so what is resampled is the difference per
user. Three seeds carry no bootstrap: users are resampled within the seeds, and the spread over seeds is
shown as a range beside the interval. Many comparisons at once are corrected (Holm 1979).

The paired randomisation test and the bootstrap are those of Smucker, Allan & Carterette, "A Comparison of
Statistical Significance Tests for Information Retrieval Evaluation", CIKM 2007, sections 3.1 and 3.4.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from gensar_lite.evaluation.metrics import add_metrics

VALUES_AT_ONCE = 2**22


def bootstrap_interval(
    differences: np.ndarray, confidence: float = 0.95, num_resamples: int = 5000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean of paired differences (U,), users drawn with replacement.

    One user, or differences that are all the same, leave nothing to resample: the interval is a point.
    """
    values = _one_per_user(differences)
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=num_resamples,
        batch=max(1, VALUES_AT_ONCE // len(values)),
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def randomisation_test(differences: np.ndarray, num_resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of "the two rankers are interchangeable" from paired differences (U,).

    Under that hypothesis the sign of every user's difference is a coin flip. All 2^U sign patterns are
    taken where they are no more than `num_resamples`, else random ones, and the observed one counts as
    one of them, so p is never 0 (Phipson & Smyth 2010).
    """
    values = _one_per_user(differences)
    values = values[values != 0]  # a zero keeps its value under either sign
    if not len(values):
        return 1.0
    observed = abs(values.sum()) * (1 - 1e-12)  # equal sums may differ in their last bits
    if 2 ** len(values) <= num_resamples:
        patterns = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
        return float(np.mean(np.abs((2 * patterns - 1) @ values) >= observed))
    random = np.random.default_rng(seed)
    batch = max(1, VALUES_AT_ONCE // len(values))
    hits = 0
    for start in range(0, num_resamples, batch):
        rows = min(batch, num_resamples - start)
        bits = np.unpackbits(random.integers(0, 256, (rows, -(-len(values) // 8)), np.uint8), axis=1, count=len(values))
        hits += int((np.abs(2 * (bits @ values) - values.sum()) >= observed).sum())
    return (hits + 1) / (num_resamples + 1)


def _one_per_user(differences: np.ndarray) -> np.ndarray:
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError("differences must be a list of at least one finite number, one per user")
    return values


def correct_holm(p_values: np.ndarray) -> np.ndarray:
    """P-values (T,) of T tests, corrected by Holm's step-down: below .05 holds for all of them together."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)
    stepped = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    corrected = np.empty_like(stepped)
    corrected[order] = stepped
    return corrected


def compare(
    ranks: pd.DataFrame,
    model: str,
    against: Iterable[str] | None = None,
    metrics: tuple[str, ...] = ("NDCG@10",),
    protocols: Iterable[str] | None = None,
    confidence: float = 0.95,
    num_resamples: int = 5000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare one model with others (default: with all) on the tasks and protocols that both serve.

    `ranks` is the table of `ranks.parquet`: model, seed, task, protocol, split, case_id, user_id, rank,
    ties. A model of one seed (most baselines) stands beside every seed of the other. A user's difference
    is its mean over the seeds; resampling users resamples them within all seeds at once.

    Returns one row per task, protocol, metric and opponent: `value` and `against_value` (means over users, of the seeds
    that both have),
    `difference`, its interval `low` to `high` over users, `seed_low` to `seed_high` (smallest and largest
    difference of a single seed), `num_seeds`, `num_users`, `p` (paired randomisation test) and `p_holm`
    (corrected over all rows). Raises ValueError where splits are mixed or cases do not match.
    """
    if "split" in ranks and ranks["split"].nunique() > 1:
        raise ValueError("the ranks mix splits; validation is easier than test, so compare within one split")
    known = list(pd.unique(ranks["model"]))
    opponents = [m for m in known if m != model] if against is None else list(against)
    missing = [m for m in (model, *opponents) if m not in known]
    if missing:
        raise ValueError(
            f"no ranks of {', '.join(map(repr, missing))}; there are ranks of {', '.join(map(repr, known))}"
        )
    if protocols is not None:
        ranks = ranks[ranks["protocol"].isin(list(protocols))]
    table = add_metrics(ranks, metrics)
    rows = []
    for (task, protocol), part in table.groupby(["task", "protocol"], sort=False, observed=True):
        own = part[part["model"] == model]
        for other in opponents:
            theirs = part[part["model"] == other]
            for metric in metrics if len(own) and len(theirs) else ():
                found = _compare_one(own, theirs, metric, confidence, num_resamples, seed)
                rows.append(
                    {"task": task, "protocol": protocol, "metric": metric, "model": model, "against": other, **found}
                )
    result = pd.DataFrame(rows)
    return result.assign(p_holm=correct_holm(result["p"].to_numpy())) if len(result) else result


def _compare_one(
    own: pd.DataFrame, theirs: pd.DataFrame, metric: str, confidence: float, num_resamples: int, seed: int
) -> dict[str, float | int]:
    ours, other = _values_by_seed(own, metric), _values_by_seed(theirs, metric)
    if not ours.index.equals(other.index):
        raise ValueError(
            f"the two models answered different cases of {own['task'].iloc[0]}, {own['protocol'].iloc[0]}; evaluate both on one data set"
        )
    tables = [table.groupby(level="user_id", sort=True).mean() for table in (ours, other)]
    values = [table.to_numpy().T for table in tables]
    seeds = [list(table.columns) for table in tables]
    return compare_values(values[0], values[1], seeds[0], seeds[1], confidence, num_resamples, seed)


def compare_values(
    ours: np.ndarray,
    theirs: np.ndarray,
    our_seeds: Sequence[Hashable],
    their_seeds: Sequence[Hashable],
    confidence: float = 0.95,
    num_resamples: int = 5000,
    seed: int = 0,
) -> dict[str, float | int]:
    """One row of `compare`, from values (S, U) and (S', U) of the same users.

    Means and differences are over the seeds that both have; where there are none, or one side has but one, over all.
    """
    shared = [s for s in our_seeds if s in set(their_seeds)]
    if shared and len(our_seeds) > 1 and len(their_seeds) > 1:
        ours = ours[[list(our_seeds).index(s) for s in shared]]
        theirs = theirs[[list(their_seeds).index(s) for s in shared]]
        by_seed = ours - theirs
    elif 1 in (len(ours), len(theirs)):
        by_seed = ours - theirs
    else:
        by_seed = ours - theirs.mean(axis=0)
    differences = by_seed.mean(axis=0)
    low, high = bootstrap_interval(differences, confidence, num_resamples, seed)
    return {
        "value": float(ours.mean()),
        "against_value": float(theirs.mean()),
        "difference": float(differences.mean()),
        "low": low,
        "high": high,
        "seed_low": float(by_seed.mean(axis=1).min()),
        "seed_high": float(by_seed.mean(axis=1).max()),
        "num_seeds": len(by_seed),
        "num_users": len(differences),
        "p": randomisation_test(differences, num_resamples, seed),
    }


def _values_by_seed(ranks: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per (user_id, case_id), one column per seed."""
    seeds = ranks["seed"] if "seed" in ranks else pd.Series(0, index=ranks.index)
    wide = ranks.assign(seed=seeds).pivot(index=["user_id", "case_id"], columns="seed", values=metric).sort_index()
    if wide.isna().to_numpy().any():
        raise ValueError("the seeds of one model answered different cases; evaluate all of them on one data set")
    return wide
