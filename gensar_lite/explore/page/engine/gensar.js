// GenSAR in the browser: one set of weights that answers a query and recommends, as `gensar_lite.GenSAR` does in Python.
//
// The input is a row of positions: a prompt, one position for each event of the history, and the words of the query.
// The answer is written code by code; a code competes with its siblings in the trie of identifiers alone.

import { Evidence } from "./evidence.js";
import { LexicalIndex } from "./lexical.js";
import { add, dot, T5 } from "./t5.js";
import { Tokenizer } from "./tokenizer.js";
import { Trie } from "./trie.js";
import { beamSearch } from "./beam.js";

export const SEARCH = "search";
export const RECOMMENDATION = "recommendation";
const LEAST = 1e-12; // no node is less probable to the first state

export class Gensar {
  constructor(store) {
    this.store = store;
    this.about = store.about.model;
    this.items = store.about.items;
    this.number = new Map(this.items.id.map((id, number) => [id, number]));
    this.users = new Map((store.about.users ?? []).map((id, number) => [id, number]));
    this.tokenizer = new Tokenizer(store.about.tokenizer);
    this.index = new LexicalIndex(store);
    this.evidence = new Evidence(store, this.index);
    this.t5 = new T5((name) => store.matrix(name), this.about);
    this.views = Object.fromEntries(Object.keys(this.about.views).map((view) => [view, this.readView(view)]));
  }

  /** The model at a place between its two fine-tunes, as another model of the same store: 0 searches best, 1 recommends best. */
  at(share) {
    const other = Object.assign(Object.create(Gensar.prototype), this);
    other.t5 = new T5(this.store.between(share), this.about);
    const [first, second] = this.store.about.slider.balance;
    const mixed = (view) => first[view].map((pair, level) => pair.map((value, i) => (1 - share) * value + share * second[view][level][i]));
    other.views = Object.fromEntries(Object.entries(this.views).map(([name, view]) => [name, { ...view, balance: mixed(name) }]));
    return other;
  }

  /** One kind of identifier: its trie, the slices of its codebooks, and the vectors of its trie nodes and of its leaves' items. */
  readView(view) {
    const levels = this.about.views[view].levels.map((_, level) => level);
    const parts = (what) => levels.map((level) => this.store.array(`${view}.${what}.${level}`));
    const trie = new Trie({ codes: parts("codes"), children: parts("children"), items: this.store.array(`${view}.items`) });
    const leaves = this.store.has(`${view}.leaf_tokens`) ? this.store.array(`${view}.leaf_tokens`) : null;
    return { ...this.about.views[view], trie, nodes: parts("nodes"), leaves };
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

  /** Other options: until (the first events of the user alone), evidence (the sources to hear; [] is the network alone). */
  answer(task, query, { k = 10, exclude_seen = false, num_beams = 30, ...who }) {
    return this.best(this.ask(task, query, who), k, exclude_seen, num_beams).map(({ item, score }) => ({
      item_id: this.items.id[item],
      title: this.items.title[item],
      score,
      identifier: this.identifier(this.viewOf(task), item),
    }));
  }

  /** The `k` best items for what was asked: [{item, score}]. */
  best(asked, k, hideClicked = false, numBeams = 30, watch = null) {
    const view = this.viewOf(asked.task);
    const width = Math.min(Math.max(numBeams, k), this.items.id.length);
    const step = (parents, codes, level) => this.step(asked, view, level, parents, codes);
    const choices = (level, { node, decoded }) => this.choices(asked, view, level, node, decoded);
    const excluded = hideClicked ? asked.clicked : [];
    return beamSearch({ trie: view.trie, numBeams: width, start: asked.start, step, choices, excluded, watch }).slice(0, k);
  }

  /** Beam search without the trie: every code may follow every other, all else stays; names of no item come out, too. */
  free(asked, numBeams, watch = null) {
    const view = this.viewOf(asked.task);
    const step = (parents, codes, level) => this.step(asked, view, level, parents, codes);
    const choices = (level, { node, decoded }) => this.everyCode(asked, view, level, node, decoded);
    return beamSearch({ trie: view.trie, numBeams, start: asked.start, step, choices, free: true, watch });
  }

  /** What may follow a trie node: [{node, code, logprob}]; a child competes with its siblings alone. */
  choices(asked, view, level, node, decoded) {
    const children = view.trie.childrenOf(level, node);
    const logprobs = children.length > 1 ? logSoftmax(this.siblings(asked, view, level, node, decoded).map(sum)) : [0];
    return children.map((child, i) => ({ node: child, code: view.trie.codes[level][child], logprob: logprobs[i] }));
  }

  /** All codes of a level after a beginning (`node` is null where no item has it), with or without an item: as `choices`. */
  everyCode(asked, view, level, node, decoded) {
    const children = node === null ? [] : view.trie.childrenOf(level, node);
    const nodes = new Map(children.map((child) => [view.trie.codes[level][child], child]));
    const codes = Array.from({ length: view.levels[level][1] - view.levels[level][0] }, (_, code) => code);
    const logprobs = logSoftmax(codes.map((code) => sum(this.parts(asked, view, level, code, nodes.get(code) ?? null, decoded))));
    return codes.map((code) => ({ node: nodes.get(code) ?? null, code, logprob: logprobs[code] }));
  }

  viewOf(task) {
    return this.views[this.about.tasks[task].view];
  }

  /**
   * The events of a user of the log (the first `until` of them), or of anybody who clicked these items: [{item, query}], the
   * oldest first.
   */
  events(user, history, until = Infinity) {
    if (history) {
      const unknown = history.filter((id) => !this.number.has(id));
      if (unknown.length) throw new Error(`the history names items that are not in the catalogue: ${unknown.slice(0, 5).join(", ")}`);
      return history.map((id) => ({ item: this.number.get(id), query: null }));
    }
    if (!this.users.has(user)) return [];
    const [first, last] = this.store.array("log.users").subarray(this.users.get(user), this.users.get(user) + 2);
    const [items, queries] = [this.store.array("log.item"), this.store.array("log.query")];
    return Array.from({ length: Math.min(last - first, until) }, (_, i) => ({
      item: items[first + i] < 0 ? null : items[first + i],
      query: queries[first + i] < 0 ? null : this.store.about.queries[queries[first + i]],
    }));
  }

  /**
   * Put a question: read it by the encoder, ask the store, and make the decoder ready to write an identifier. `watch` is told where
   * the decoder looks (see `T5.extend`).
   */
  ask(task, query, { user = null, history = null, until, evidence = this.about.heard } = {}, watch = undefined) {
    const { prompt } = this.about.tasks[task];
    const view = this.viewOf(task);
    const events = this.events(user, history, until);
    const latest = events.slice(-this.about.max_events);
    const mix = this.about.mix === null ? [] : [[this.about.mix]];
    const words = query === null ? [] : [this.about.behaviours["<S_Q>"], ...this.words(query)];
    const positions = [
      ...[prompt, ...mix].map((tokens) => ({ tokens })),
      ...latest.map((event, place) => ({ event, tokens: this.segment(event), age: latest.length - 1 - place })),
      ...words.map((token) => ({ tokens: [token] })),
    ];
    const memory = this.t5.remember(this.t5.encode(positions.map(({ tokens, age }) => this.withAge(this.pool(tokens), age))));
    let [start] = this.t5.extend([null], [this.about.pad], memory);
    [start] = this.t5.extend([start], [this.about.behaviours[view.behaviour]], memory, watch);
    const heard = this.about.sources.filter((source) => evidence.includes(source));
    const person = !history && this.users.has(user) ? this.users.get(user) : null;
    const [weights, powers] = [this.about.weights, this.about.powers].map((fitted) => fitted[heard.join(" + ")]?.[this.about.tasks[task].view]);
    const sources = this.evidence.ask(heard, powers, { query, clicked: clicks(latest), user: person }, view.trie);
    return { task, query, events, clicked: clicks(events), positions, memory, start, heard, sources, weights, together: this.together(view, start.state) };
  }

  /**
   * The log-probability of a trie node as a function of its first and last leaf: how probable its items are together, by their
   * vectors, to the state that chooses the first code. A new item, and what names none (no leaf), counts as the mean of the others.
   */
  together(view, state) {
    if (!view.leaves) return () => 0;
    const known = Array.from(view.leaves.keys()).filter((leaf) => view.leaves[leaf] >= 0);
    const share = new Float64Array(view.leaves.length).fill(1 / view.leaves.length);
    const logprobs = logSoftmax(known.map((leaf) => dot(state, this.t5.table[view.leaves[leaf]])));
    logprobs.forEach((logprob, i) => (share[known[i]] *= known.length * Math.exp(logprob)));
    const upTo = new Float64Array(share.length + 1);
    share.forEach((value, leaf) => (upTo[leaf + 1] = upTo[leaf] + value));
    return (first, last) => Math.log(last > first ? Math.max(upTo[last] - upTo[first], LEAST) : 1 / share.length);
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

  /** Add the vector of an event's age: how many events came after it. Other positions have none. */
  withAge(row, age) {
    const { ages } = this.about;
    return ages.length && age !== undefined ? add(row, this.t5.table[ages[Math.min(age, ages.length - 1)]]) : row;
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
   * Why an item got its score, code by code: [{node, code, children, logprob, parts}]. A part says how much more its source
   * speaks for this code than for the codes that it competes with, on average by their probability; the parts and
   * minus the entropy sum to the log-probability.
   */
  explain(asked, item) {
    const view = this.viewOf(asked.task);
    let [decoded, before] = [asked.start, 0];
    return view.trie.path(item).map((node, level) => {
      const code = view.trie.codes[level][node];
      const children = view.trie.childrenOf(level, before);
      const found = { node, code, level, children: children.length, logprob: 0, parts: [], entropy: 0 };
      if (children.length > 1) {
        const parts = this.siblings(asked, view, level, before, decoded);
        const logprobs = logSoftmax(parts.map(sum));
        const place = children.indexOf(node);
        const mean = (s) => sum(parts.map((values, i) => Math.exp(logprobs[i]) * values[s]));
        found.logprob = logprobs[place];
        found.parts = parts[place].map((value, s) => value - mean(s));
        found.entropy = -sum(logprobs.map((logprob) => Math.exp(logprob) * logprob));
      }
      if (view.trie.numLeaves(level + 1, node) > 1) [decoded] = this.step(asked, view, level, [decoded], [code]);
      before = node;
      return found;
    });
  }

  /**
   * What speaks for each child of a trie node: [network], or [network, store], or in search by words [network, store, coverage of
   * the query]. The network scores a child by the vector of its code, which it has in common with every place where the
   * code occurs, by a vector of its own, and by its items (`together`).
   */
  siblings(asked, view, level, node, decoded) {
    return view.trie.childrenOf(level, node).map((child) => this.parts(asked, view, level, view.trie.codes[level][child], child, decoded));
  }

  /** The same for one code; `child` is its trie node, null where it leads to no item. */
  parts(asked, view, level, code, child, decoded) {
    const leaves = view.trie.leaves[level + 1];
    const [first, last, own] = child === null ? [0, 0, -1] : [leaves[child], leaves[child + 1], view.nodes[level][child]];
    let logit = dot(decoded.state, this.t5.table[view.levels[level][0] + code]);
    if (own >= 0) logit += dot(decoded.state, this.t5.table[own]);
    if (view.leaves) {
      const [codes, items] = view.balance[level];
      logit = codes * logit + items * asked.together(first, last);
    }
    const parts = [logit, ...asked.sources.map((source) => source(first, last))];
    return asked.sources.length && asked.weights ? parts.map((part, i) => part * (asked.weights[level][i] ?? 1)) : parts;
  }
}

function clicks(events) {
  return events.map((event) => event.item).filter((item) => item !== null);
}

export function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

export function logSoftmax(logits) {
  const top = Math.max(...logits);
  const total = Math.log(sum(logits.map((logit) => Math.exp(logit - top))));
  return logits.map((logit) => logit - top - total);
}
