// An identifier as a row of coloured codes, and what the items behind a code have in common.

import { h } from "./dom.js";
import { words } from "../engine/lexical.js";

const ROLES = { m: "shared", s: "semantic", c: "collaborative" };

export function roleOf(name) {
  return ROLES[name[0]] ?? "shared";
}

export function codeChip(name, code, meaning = null) {
  const role = roleOf(name);
  return h("span", { class: `code ${role}`, title: meaning ?? `${role} code ${code} of codebook ${name}` }, `${name}·${code}`);
}

export function identifierChips(view, codes) {
  return h("span", { class: "codes" }, codes.map((code, level) => codeChip(view.names[level], code)));
}

/** Words that the items of a trie node share more than the rest of the store does, the most telling first. */
export class Meanings {
  constructor(gensar) {
    this.gensar = gensar;
    this.stopWords = new Set(gensar.store.about.lexicon.stop_words);
    const { title, categories } = gensar.items;
    this.bags = title.map((text, item) => new Set(words(`${categories?.[item] ?? ""} ${text}`).filter((word) => word.length > 2 && !/\d/.test(word) && !this.stopWords.has(word))));
    this.counts = new Map();
    for (const bag of this.bags) for (const word of bag) this.counts.set(word, (this.counts.get(word) ?? 0) + 1);
    this.known = new Map();
  }

  of(viewName, level, node, num = 3) {
    const key = `${viewName} ${level} ${node}`;
    if (!this.known.has(key)) {
      const { trie } = this.gensar.views[viewName];
      const items = trie.items.subarray(trie.leaves[level + 1][node], trie.leaves[level + 1][node + 1]);
      this.known.set(key, { items: items.length, words: this.shared(items) });
    }
    const { items, words: all } = this.known.get(key);
    return { items, words: all.slice(0, num) };
  }

  /** The words of some items, the most telling first. */
  shared(items) {
    const inside = new Map();
    for (const item of items) for (const word of this.bags[item]) inside.set(word, (inside.get(word) ?? 0) + 1);
    const rated = [...inside].map(([word, count]) => [word, count * Math.log((count / items.length) / (this.counts.get(word) / this.bags.length))]);
    return rated.sort((a, b) => b[1] - a[1]).map(([word]) => word);
  }
}
