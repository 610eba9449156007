// Beam search over the identifier trie. Where there is nothing to choose the model is not asked.

/**
 * The `numBeams` most probable identifiers: [{item, score}], best first; a score is the sum of the codes' log-probabilities.
 *
 * `choices(level, beam)` gives what may follow a beam, [{node, code, logprob}], `step(parents, codes, level)` the decoder's nodes
 * after one more code each. A node is null where no item begins so, an item where no item has the name: that happens without the
 * trie alone (`free`). `watch` is told every level.
 */
export function beamSearch({ trie, numBeams, start, step, choices, free = false, excluded = [], watch = null }) {
  const banned = excluded.length ? trie.banned(excluded) : null;
  let beams = [{ node: 0, score: 0, decoded: start }];
  for (let level = 0; level < trie.numLevels; level++) {
    const found = [];
    beams.forEach((beam, parent) => {
      for (const { node, code, logprob } of choices(level, beam)) {
        if (!banned?.[level].has(node)) found.push({ node, code, parent, score: beam.score + logprob, before: beam.decoded });
      }
    });
    found.sort((a, b) => b.score - a.score); // stable: equals stay in the order of the trie
    const kept = found.slice(0, numBeams);
    const last = level + 1 === trie.numLevels;
    const open = kept.filter((beam) => !last && (free || trie.numLeaves(level + 1, beam.node) > 1));
    const decoded = step(open.map((beam) => beam.before), open.map((beam) => beam.code), level);
    open.forEach((beam, i) => (beam.decoded = decoded[i]));
    watch?.({ level, before: beams, found, kept });
    beams = kept;
  }
  return beams.map(({ node, score }) => ({ item: node === null ? null : trie.items[node], score }));
}
