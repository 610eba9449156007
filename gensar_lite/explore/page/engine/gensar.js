// GenSAR in the browser: one set of weights that answers a query and recommends, as `gensar_lite.GenSAR` does in Python.
//
// The input is a row of positions: a prompt, one position for each event of the history, and the words of the query.
// The answer is written code by code; a code competes with its siblings in the trie of identifiers alone.

import { add, dot, T5 } from "./t5.js";
import { Tokenizer } from "./tokenizer.js";
import { Trie } from "./trie.js";
import { beamSearch } from "./beam.js";

export const SEARCH = "search";
export const RECOMMENDATION = "recommendation";

export class Gensar {
  constructor(store) {
    this.store = store;
    this.about = store.about.model;
    this.items = store.about.items;
    this.number = new Map(this.items.id.map((id, number) => [id, number]));
    this.users = new Map((store.about.users ?? []).map((id, number) => [id, number]));
    this.tokenizer = new Tokenizer(store.about.tokenizer);
    this.t5 = new T5((name) => store.matrix(name), this.about);
    this.views = Object.fromEntries(Object.keys(this.about.views).map((view) => [view, this.readView(view)]));
  }

  /** One kind of identifier: its trie, the slices of its codebooks, and the vectors of its trie nodes. */
  readView(view) {
    const levels = this.about.views[view].levels.map((_, level) => level);
    const parts = (what) => levels.map((level) => this.store.array(`${view}.${what}.${level}`));
    const trie = new Trie({ codes: parts("codes"), children: parts("children"), items: this.store.array(`${view}.items`) });
    return { ...this.about.views[view], trie, nodes: parts("nodes") };
  }

  /** The best items for a query: [{item_id, title, score, identifier}]; a score is a log-probability. */
  search(query, options = {}) {
    if (!query?.trim()) throw new Error("the query is empty; type at least one word");
    return this.answer(SEARCH, query, options);
  }

  /** What somebody with this history clicks next. Options: user, history (item ids), k, exclude_seen, num_beams. */
  recommend(options = {}) {
    return this.answer(RECOMMENDATION, null, options);
  }

  answer(task, query, { user = null, history = null, k = 10, exclude_seen = false, num_beams = 30, watch = null } = {}) {
    const view = this.views[this.about.tasks[task].view];
    const asked = this.ask(task, query, this.events(user, history));
    const excluded = exclude_seen ? asked.clicked : [];
    const width = Math.min(Math.max(num_beams, k), this.items.id.length);
    const step = (parents, codes, level) => this.step(asked, view, level, parents, codes);
    const siblings = (level, node, decoded) => logSoftmax(this.siblings(asked, view, level, node, decoded).map(sum));
    const found = beamSearch(view.trie, width, asked.start, step, siblings, excluded, watch);
    return found.slice(0, k).map(({ item, score }) => ({
      item_id: this.items.id[item],
      title: this.items.title[item],
      score,
      identifier: this.identifier(view, item),
    }));
  }

  /** The events of a user of the log, or of anybody who clicked these items: [{item, query}], the oldest first. */
  events(user, history) {
    if (history) {
      const unknown = history.filter((id) => !this.number.has(id));
      if (unknown.length) throw new Error(`the history names items that are not in the catalogue: ${unknown.slice(0, 5).join(", ")}`);
      return history.map((id) => ({ item: this.number.get(id), query: null }));
    }
    if (!this.users.has(user)) return [];
    const [first, last] = this.store.array("log.users").subarray(this.users.get(user), this.users.get(user) + 2);
    const [items, queries] = [this.store.array("log.item"), this.store.array("log.query")];
    return Array.from({ length: last - first }, (_, i) => ({
      item: items[first + i] < 0 ? null : items[first + i],
      query: queries[first + i] < 0 ? null : this.store.about.queries[queries[first + i]],
    }));
  }

  /** Put a question: read it by the encoder, and make the decoder ready to write an identifier. */
  ask(task, query, events) {
    const { prompt, view } = this.about.tasks[task];
    const latest = events.slice(-this.about.max_events);
    const wish = this.about.wish === null ? [] : [[this.about.wish]];
    const words = query === null ? [] : [this.about.behaviours["<S_Q>"], ...this.words(query)];
    const segments = [prompt, ...wish, ...latest.map((event) => this.segment(event)), ...words.map((token) => [token])];
    const encoded = this.t5.encode(segments.map((tokens) => this.pool(tokens)));
    const memory = this.t5.remember(encoded);
    let [start] = this.t5.extend([null], [this.about.pad], memory);
    [start] = this.t5.extend([start], [this.about.behaviours[this.about.views[view].behaviour]], memory);
    return { task, query, events: latest, clicked: events.map((event) => event.item).filter((item) => item !== null), segments, memory, start };
  }

  words(text) {
    return this.tokenizer.encode(text).slice(0, this.about.max_text);
  }

  /** The tokens of one event: a recommended item, or a search and the item clicked after it. */
  segment({ item, query }) {
    const view = this.views[query === null ? "collaborative" : "semantic"];
    const clicked = item === null ? [] : [this.about.behaviours[view.behaviour], ...this.codes(view, item).map((code, level) => view.levels[level][0] + code)];
    const own = item !== null && item < this.about.num_remembered ? [this.about.num_written + item] : [];
    const words = query === null ? [] : [this.about.behaviours["<S_Q>"], ...this.words(query)];
    return [...words, ...clicked, ...own];
  }

  /** The tokens of a segment as one position: the scaled sum of their embeddings. */
  pool(tokens) {
    const row = new Float32Array(this.t5.table[0].length);
    for (const token of tokens) add(row, this.t5.table[token], 1 / Math.sqrt(tokens.length));
    return row;
  }

  codes(view, item) {
    return view.trie.path(item).map((node, level) => view.trie.codes[level][node]);
  }

  /** An item's name as the model writes it: <m1_17><m2_3><s1_40><s2_8>. */
  identifier(view, item) {
    return this.codes(view, item).map((code, level) => `<${view.names[level]}_${code}>`).join("");
  }

  step(asked, view, level, parents, codes, watch) {
    return parents.length ? this.t5.extend(parents, codes.map((code) => view.levels[level][0] + code), asked.memory, watch) : [];
  }

  /**
   * What speaks for each child of a trie node: the network's logit. A child is scored by the vector of its code, which it
   * has in common with every place where the code occurs, and by a vector of its own.
   */
  siblings(asked, view, level, node, decoded) {
    const strengths = view.strengths[level];
    return view.trie.childrenOf(level, node).map((child) => {
      const own = view.nodes[level][child];
      let logit = dot(decoded.state, this.t5.table[view.levels[level][0] + view.trie.codes[level][child]]);
      if (own >= 0) logit += dot(decoded.state, this.t5.table[own]);
      return [strengths[0] * logit];
    });
  }
}

export function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

export function logSoftmax(logits) {
  const top = Math.max(...logits);
  const total = Math.log(sum(logits.map((logit) => Math.exp(logit - top))));
  return logits.map((logit) => logit - top - total);
}
