// Beam search over the identifier trie. Where there is nothing to choose the model is not asked.

/**
 * The `numBeams` most probable items: [{item, score}], best first; a score is the sum of the codes' log-probabilities.
 *
 * `step(parents, codes, level)` gives the decoder's nodes after one more code each, `siblings(level, node, decoded)` the
 * log-probabilities of the children of a trie node. `watch` is told every level.
 */
export function beamSearch(trie, numBeams, start, step, siblings, excluded = [], watch = null) {
  const banned = excluded.length ? trie.banned(excluded) : null;
  let beams = [{ node: 0, score: 0, decoded: start }];
  for (let level = 0; level < trie.numLevels; level++) {
    const found = [];
    beams.forEach((beam, parent) => {
      const children = trie.childrenOf(level, beam.node);
      const logprobs = children.length > 1 ? siblings(level, beam.node, beam.decoded) : [0];
      children.forEach((node, i) => {
        if (!banned?.[level].has(node)) found.push({ node, parent, score: beam.score + logprobs[i], before: beam.decoded });
      });
    });
    found.sort((a, b) => b.score - a.score); // stable: equals stay in the order of the trie
    const kept = found.slice(0, numBeams);
    const open = kept.filter((beam) => trie.numLeaves(level + 1, beam.node) > 1);
    const decoded = step(open.map((beam) => beam.before), open.map((beam) => trie.codes[level][beam.node]), level);
    open.forEach((beam, i) => (beam.decoded = decoded[i]));
    watch?.({ level, before: beams, found, kept });
    beams = kept;
  }
  return beams.map(({ node, score }) => ({ item: trie.items[node], score }));
}
