// What the store says of a question without training, as in gensar_lite/evidence: words that match, items that the same people
// clicked, items whose texts are alike. Each source scores the items; the network's choice of codes hears the logarithm of
// a node's share of the product of those scores, and how much of the query the items below the node have.

const DECAY = 0.9; // weight of a click per later click
const SPREAD = 0.1; // share of the probability that lies on all items alike, for what a source misses
const LEAST = 1e-6; // smaller shares are left out
const COVERAGE = 8; // what is added for an item that has all words of the query

const sum = (values) => values.reduce((total, value) => total + value, 0);

export class Evidence {
  /** `index` matches words; the other sources are rows of a sparse matrix of items by items. */
  constructor(store, index) {
    Object.assign(this, { store, index, numItems: store.about.items.id.length });
    this.similar = { neighbours: store.sparse("neighbours"), content: store.has("content.starts") ? store.sparse("content") : null };
    this.ownClicks = store.has("clicks.starts") ? store.sparse("clicks") : null;
  }

  /** (N,) what a source gives the items; null where it has nothing to say. `clicked` are items, the oldest first. */
  scores(source, { query, clicked, user }) {
    if (source === "words") return query === null ? null : this.matches(query);
    const weights = clicked.map((_, place) => DECAY ** (clicked.length - 1 - place));
    const scores = this.near(source, clicked, weights);
    if (source !== "neighbours" || user === null) return scores;
    // a user's own clicks are taken out of the similarities
    const own = new Map();
    this.ownClicks(user, (item, weight) => own.set(item, weight));
    const shared = clicked.reduce((sum, item, place) => sum + weights[place] * (own.get(item) ?? 0), 0);
    for (const [item, weight] of own) scores[item] -= shared * weight;
    return scores.map((score) => Math.max(score, 0));
  }

  /** (N,) exponentials of BM25 scores, the best at 1. */
  matches(query) {
    const scores = this.index.scores(query);
    const top = scores.reduce((best, score) => Math.max(best, score), 0);
    return scores.map((score) => (score > 0 ? Math.exp(score - top) : 0));
  }

  /** (N,) sums of similarities to clicked items. */
  near(source, clicked, weights) {
    const scores = new Float32Array(this.numItems);
    clicked.forEach((item, place) => this.similar[source](item, (other, value) => (scores[other] += weights[place] * value)));
    return scores;
  }

  /**
   * What speaks for a trie node, as functions of its first and last leaf: the log-probability of its items by the product of the
   * sources, each to its power, 0 where they know nothing, and for a query what its coverage adds. No source, no function. What names no item
   * (no leaf) counts as one item of which the sources know nothing.
   */
  ask(sources, powers, question, trie) {
    if (!sources.length) return [];
    const product = new Float64Array(this.numItems).fill(1);
    let known = false;
    for (const [place, source] of sources.entries()) {
      const scores = this.scores(source, question);
      const total = scores ? sum(scores) : 0;
      if (!(total > 0)) continue;
      known = true;
      scores.forEach((score, item) => {
        if (score > LEAST * total) product[item] *= (1 + (((1 - SPREAD) / SPREAD) * this.numItems * score) / total) ** (powers?.[place] ?? 1);
      });
    }
    const whole = sum(product);
    const probs = Float64Array.from(trie.items, (item) => product[item] / whole);
    const says = [(first, last) => (known ? Math.log(last > first ? sum(probs.subarray(first, last)) : 1 / whole) : 0)];
    if (!sources.includes("words") || question.query === null) return says;
    const covered = this.index.coverage(question.query);
    const coverage = Float64Array.from(trie.items, (item) => (product[item] > 1 ? covered[item] ** 2 : 0));
    return [...says, (first, last) => COVERAGE * Math.max(0, ...coverage.subarray(first, last))];
  }
}

/** The `k` items with the largest scores above zero, best first; equals in the order of the catalogue. */
export function best(scores, k, without = []) {
  const left = new Set(without);
  const found = [];
  scores.forEach((score, item) => {
    if (score > 0 && !left.has(item)) found.push({ item, score });
  });
  return found.sort((a, b) => b.score - a.score).slice(0, k);
}
