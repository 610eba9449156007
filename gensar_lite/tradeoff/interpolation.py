"""A curve from two trainings: the weights between a search-heavy and a recommendation-heavy fine-tune of one parent.

Explained in notebook 08. Fine-tunes of one parent lie in one valley of the loss, so a mean of their weights is a model,
too: Wortsman et al. 2022, "Model soups"; as a curve between two goals, Ramé et al. 2023, "Rewarded soups".
"""

from __future__ import annotations

import numpy as np
import torch

from gensar_lite.data.storage import DataError
from gensar_lite.evidence.evidence import Evidence, Weights
from gensar_lite.identifiers.table import VIEWS
from gensar_lite.model import GenSAR
from gensar_lite.network.backbone import T5


class WeightLine:
    """The models on the line between two of the same shape; moving along it costs one pass over the weights.

    One working model is moved: what `at` gave before changes with the next call.
    """

    def __init__(self, search_heavy: GenSAR, recommendation_heavy: GenSAR) -> None:
        """Raises DataError where the two have other identifiers or sizes."""
        first, second = search_heavy, recommendation_heavy
        self.ends = tuple(
            {name: value.detach().clone() for name, value in model.backbone.state_dict().items()}
            for model in (first, second)
        )
        self.weights = tuple(model.evidence.weights for model in (first, second))
        self.balances: list[Weights] = [getattr(model.backbone.config, "balance", {}) for model in (first, second)]
        same = all((first.table.codes[view] == second.table.codes[view]).all() for view in VIEWS)
        if not same or [(k, v.shape) for k, v in self.ends[0].items()] != [
            (k, v.shape) for k, v in self.ends[1].items()
        ]:
            raise DataError(
                "the two models have other identifiers or sizes; only fine-tunes of one parent can be interpolated"
            )
        # loading puts values into the parameters, so the working model must not share them with either end
        evidence = Evidence(list(first.evidence.sources.values()), first.data.num_items, powers=first.evidence.powers)
        self.model = GenSAR(
            first.data, first.signals, first.table, first.vocabulary.tokenizer, _copy(first), first.config, evidence
        )

    @torch.no_grad()
    def at(self, share: float) -> GenSAR:
        """The model at `share` of the way: 0 is the search-heavy end, 1 the recommendation-heavy one, both exactly.

        Shares outside 0 to 1 extrapolate.
        """
        first, second = self.ends
        weights, others = self.weights
        self.model.evidence.weights = {names: _between(views, others[names], share) for names, views in weights.items()}
        self.model.backbone.config.balance = _between(self.balances[0], self.balances[1], share)
        if share in (0, 1):
            self.model.backbone.load_state_dict(self.ends[int(share)])
        else:
            self.model.backbone.load_state_dict(
                {
                    name: torch.lerp(value, second[name], share) if value.is_floating_point() else value
                    for name, value in first.items()
                }
            )
        return self.model


def _between(first: Weights, second: Weights, share: float) -> Weights:
    """What was fitted at the two ends, on the line between them."""
    return {
        view: ((1 - share) * np.array(levels) + share * np.array(second[view])).tolist()
        for view, levels in first.items()
    }


def _copy(model: GenSAR) -> T5:
    import copy

    return copy.deepcopy(model.backbone)
