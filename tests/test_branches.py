"""Node vectors: one token per prefix, shared where prefixes are; logits of siblings against a loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from builders import TextTokens, random_table

from gensar_lite.identifiers.trie import IdentifierTrie
from gensar_lite.network.branches import branch, child_logits, code_logits, node_logprobs, running_totals
from gensar_lite.network.vocabulary import Vocabulary

N = 80
TABLE = random_table([f"i{n}" for n in range(N)])


def test_a_prefix_has_one_token_in_both_views_and_a_lonely_item_its_own() -> None:
    vocabulary = Vocabulary(TextTokens(50), TABLE, num_remembered=N)
    token_of: dict[tuple, int] = {}
    for view, codes in TABLE.codes.items():
        assert (vocabulary.node_tokens[view][0] == -1).all()
        for level in range(1, vocabulary.num_levels):
            tokens = vocabulary.node_tokens[view][level][vocabulary.nodes[view][:, level]]
            books = tuple(TABLE.codebooks_of[view][: level + 1])
            for item, token in enumerate(tokens):
                prefix = tuple(codes[item, : level + 1])
                company = (codes[:, : level + 1] == codes[item, : level + 1]).all(1).sum()
                if company == 1:
                    assert token == vocabulary.num_written + item
                else:
                    assert token >= vocabulary.num_written + N
                    assert token_of.setdefault((books, prefix), token) == token
    assert len(set(token_of.values())) == len(token_of)
    assert sorted(token_of.values()) == list(range(vocabulary.num_written + N, vocabulary.size))


def test_new_items_leave_the_tokens_of_old_prefixes_alone() -> None:
    vocabulary, known = Vocabulary(TextTokens(50), TABLE, num_remembered=N - 20), N - 20
    before = {view: IdentifierTrie.build(codes[:known]) for view, codes in TABLE.codes.items()}
    for view, trie in before.items():
        paths = trie.paths(np.argsort(trie.items))
        counts = trie.leaf_counts()
        for level in range(1, vocabulary.num_levels):
            tokens = vocabulary.node_tokens[view][level]
            old = set(vocabulary.nodes[view][:known, level])
            assert all((tokens[node] >= 0) == (node in old) for node in range(len(tokens)))
            alone = np.flatnonzero(counts[level][paths[:, level]] == 1)
            np.testing.assert_array_equal(tokens[vocabulary.nodes[view][alone, level]], vocabulary.num_written + alone)
    assert Vocabulary(TextTokens(50), TABLE).size == vocabulary.num_written  # nothing remembered, no vectors


@pytest.mark.parametrize("view", ["semantic", "collaborative"])
def test_logits_of_siblings_by_a_loop(view: str) -> None:
    vocabulary = Vocabulary(TextTokens(50), TABLE, num_remembered=N)
    table = torch.randn(vocabulary.size, 8, generator=torch.Generator().manual_seed(0))
    trie = vocabulary.tries[view]
    for level, (first, last) in enumerate(vocabulary.level_slices[view]):
        nodes = np.array([0]) if level == 0 else vocabulary.nodes[view][[3, 70, 3, 11], level - 1]
        states = torch.randn(2, len(nodes), 8, generator=torch.Generator().manual_seed(level))
        branches, _ = branch(vocabulary, view, level, nodes)
        children = child_logits(states, table[first:last], branches, table[branches.token])
        logits = code_logits(children, branches, len(nodes), last - first)
        expected = torch.full((2, len(nodes), last - first), -torch.inf)
        for row, node in enumerate(nodes):
            for child in range(trie.children[level][node], trie.children[level][node + 1]):
                code, token = int(trie.codes[level][child]), vocabulary.node_tokens[view][level][child]
                vector = table[first + code] + (table[token] if token >= 0 else 0)
                expected[:, row, code] = states[:, row] @ vector
        torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("view", ["semantic", "collaborative"])
def test_items_together_by_a_loop(view: str) -> None:
    vocabulary = Vocabulary(TextTokens(50), TABLE, num_remembered=N)
    draw = torch.Generator().manual_seed(0)
    table = torch.randn(vocabulary.size, 8, generator=draw)
    states = torch.randn(4, 8, generator=draw)
    totals = running_totals(states, table, torch.from_numpy(vocabulary.leaf_tokens[view]))
    prob = (states @ table[vocabulary.num_written :][:N].T).softmax(-1)
    items = vocabulary.tries[view].items
    for level in range(vocabulary.num_levels):
        nodes = np.array([0, 0, 0, 0]) if level == 0 else vocabulary.nodes[view][[3, 70, 3, 11], level - 1]
        branches, child = branch(vocabulary, view, level, nodes)
        found = node_logprobs(totals, branches.row, branches)  # the node in row i is of request i
        for place, (row, node) in enumerate(zip(branches.row.tolist(), child.tolist(), strict=True)):
            below = items[np.flatnonzero(vocabulary.nodes[view][items, level] == node)]
            torch.testing.assert_close(found[place], prob[row, below].sum().log(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("view", ["semantic", "collaborative"])
def test_a_new_item_counts_as_the_mean_of_the_others(view: str) -> None:
    known = N - 20
    vocabulary = Vocabulary(TextTokens(50), TABLE, num_remembered=known)
    draw = torch.Generator().manual_seed(0)
    table, states = torch.randn(vocabulary.size, 8, generator=draw), torch.randn(4, 8, generator=draw)
    totals = running_totals(states, table, torch.from_numpy(vocabulary.leaf_tokens[view]))
    probs = torch.empty(4, N).index_copy(
        1, torch.from_numpy(vocabulary.tries[view].items).long(), totals.diff().float()
    )
    expected = (states @ table[vocabulary.num_written :][:known].T).softmax(-1) * known / N
    torch.testing.assert_close(probs[:, :known], expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(probs[:, known:], torch.full((4, N - known), 1 / N))
