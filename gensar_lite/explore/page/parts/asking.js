// The question that the store put, as the views of the model take it up: who asks, what, and what is heard.

import { RECOMMENDATION, SEARCH } from "../engine/gensar.js";
import { cut, h } from "./dom.js";

export class Asking {
  /** `store` is the store's view: it holds {user, history, query, network}. */
  constructor(gensar, store) {
    Object.assign(this, { gensar, store });
  }

  /** The task that can be asked: without a query there is nothing to search. */
  task(wished) {
    return wished === SEARCH && this.store.query.trim() ? SEARCH : RECOMMENDATION;
  }

  ask(task, watch) {
    const { user, history, query, network } = this.store;
    const who = { user: user || null, history };
    return this.gensar.ask(task, task === SEARCH ? query : null, network ? { ...who, evidence: [] } : who, watch);
  }

  /** What an address holds of the question. */
  settings() {
    const { user, history, query, network } = this.store;
    return { user, query, history: history?.join(",") ?? null, network };
  }

  /** Which task, for whom, and whether the evidence of the store is heard. */
  controls(task, change) {
    const { user, query, network } = this.store;
    const pick = (other, label) => h("button", { "data-key": other, "aria-pressed": String(task === other), disabled: this.task(other) !== other, onclick: () => change(other) }, label);
    const set = (event) => {
      this.store.network = event.target.checked;
      change(task);
    };
    return [pick(SEARCH, query.trim() ? `search “${cut(query, 40)}”` : "search (no query yet)"), pick(RECOMMENDATION, "recommend"),
      h("span", { class: "note" }, `for ${user || "somebody new"} (chosen under Store)`),
      this.gensar.about.heard.length ? h("label", {}, h("input", { type: "checkbox", checked: network, "data-key": "network", onchange: set }), " the network alone, without evidence") : null];
  }
}

/** A switch for the trie, which changes nothing else. */
export function trieSwitch(on, change) {
  return h("label", {}, h("input", { type: "checkbox", checked: on, "data-key": "trie", onchange: (event) => change(event.target.checked) }), " trie: only codes that lead to an item");
}
