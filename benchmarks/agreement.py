"""How far the cheaper ways to score agree with the exact one, on a trained model.

    python benchmarks/agreement.py [--size large]

Bazaar, preset tiny trained with the softmax over the whole vocabulary; 99 + 1 candidates of held-out cases. Exact: float32, "full".
`top 10`: share of the exact ten best among a mode's ten best; `first`: cases with the same best item; `order`: rank correlation.
"""

from __future__ import annotations

import numpy as np
from harness import alternate, clock_of, finish, parse
from scipy.stats import rankdata

import gensar_lite as gl
from gensar_lite.data.bazaar import BazaarConfig, simulate
from gensar_lite.decoding.scoring import score_items
from gensar_lite.evaluation.metrics import case_metrics, place_of_target
from gensar_lite.evaluation.protocols import PRIMARY
from gensar_lite.network.scorer import Scorer
from gensar_lite.network.vocabulary import TASK_VIEW

SIZES = {"smoke": (4, 10), "laptop": (250, 256), "large": (1500, 1_024)}  # steps, cases of each task


def main() -> None:
    arguments = parse(__doc__)
    steps, num_cases = SIZES[arguments.size]
    small = BazaarConfig(num_items=200, num_users=100) if arguments.size == "smoke" else None
    data = simulate(small) if small else gl.load_dataset("bazaar")
    signals = gl.embed(data, collaborative="als")
    table = gl.learn_identifiers(data, signals, strategy="gensar", quantiser="kmeans")
    changes = {"softmax": "full", "evidence": (), "steps": steps, "validate_every": steps}
    model = gl.GenSAR.fit(data, signals, table, preset="tiny", progress=False, **changes)
    halved = gl.GenSAR.fit(data, signals, table, preset="tiny", progress=False, **{**changes, "steps": 1}).backbone
    halved.load_state_dict(model.backbone.state_dict())
    halved = halved.bfloat16()
    rows = []
    for task, (protocol, metric) in PRIMARY.items():
        cases = data.cases(task, "test")
        cases = cases.take(np.sort(np.random.default_rng(0).permutation(len(cases))[:num_cases]))
        lists = np.column_stack([cases.item, cases.candidates[protocol]])
        inputs = model.requests.cases(cases).inputs
        scores: dict[str, np.ndarray] = {}
        modes = {
            "full": (model.backbone, "full"),
            "trie": (model.backbone, "trie"),
            "full, bfloat16": (halved, "full"),
        }

        def ask(name: str, modes: dict = modes, scores: dict = scores, inputs=inputs, lists=lists, task=task) -> None:
            weights, softmax = modes[name]
            scores[name] = score_items(Scorer(weights, model.vocabulary, TASK_VIEW[task], inputs, softmax), lists)

        calls = {name: (lambda name=name, ask=ask: ask(name)) for name in modes}
        seconds = alternate(calls, arguments.repeats or 3, clock_of(arguments))
        exact = scores["full"]
        best = np.argsort(-exact, axis=1)[:, :10]
        ranks = rankdata(exact, axis=1)
        for name, found in scores.items():
            mine = np.argsort(-found, axis=1)[:, :10]
            order = [np.corrcoef(a, b)[0, 1] for a, b in zip(ranks, rankdata(found, axis=1), strict=True)]
            rows.append(
                {
                    "task": task,
                    "mode": name,
                    "times faster": seconds["full"]["median"] / seconds[name]["median"],
                    "top 10": float(np.mean([np.isin(a, b).mean() for a, b in zip(best, mine, strict=True)])),
                    "first": float((best[:, 0] == mine[:, 0]).mean()),
                    "order": float(np.mean(order)),
                    f"{metric} {protocol}": float(case_metrics(*place_of_target(found), (metric,))[metric].mean()),
                }
            )
    finish("agreement", arguments, {"Agreement with exact scores": rows})


if __name__ == "__main__":
    main()
