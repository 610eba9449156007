// The model at work: what it reads, where it looks while it writes a code, and which codes the trie cuts.

import { RECOMMENDATION, SEARCH, sum } from "../engine/gensar.js";
import { trieSwitch } from "./asking.js";
import { codeChip, roleOf } from "./codes.js";
import { cut, fill, h, percent, roomIn, svg, whole } from "./dom.js";

const ANSWERS = 5;
const BEST = 8;
const [NARROW, WIDE, HEIGHT, FOOT] = [300, 760, 190, 26];

export class WorkView {
  /** `asking` puts the store's question (see `Asking`). */
  constructor(gensar, meanings, settings, asking, told) {
    Object.assign(this, { gensar, meanings, asking, told });
    this.read(settings);
    this.controls = h("div", { class: "asking" });
    this.reads = h("section", { class: "panel", "aria-label": "what the encoder reads" });
    this.flow = h("ol", { class: "flow", "aria-label": "from what it reads to the code that it writes" });
    this.writes = h("section", { class: "panel", "aria-label": "what the decoder writes" });
    this.element = h("div", { class: "work" }, this.controls, this.reads, this.flow, this.writes);
  }

  read({ task, answer, code, head, trie }) {
    this.task = task === RECOMMENDATION ? RECOMMENDATION : SEARCH;
    this.answer = whole(answer, 0);
    this.level = whole(code, 1) - 1;
    this.head = head ?? "all";
    this.trie = trie !== "0";
    this.position = null;
  }

  settings() {
    const head = this.head === "all" ? null : this.head;
    return { task: this.task, answer: this.answer || null, code: this.level + 1, head, trie: this.trie ? null : "0" };
  }

  change(settings) {
    Object.assign(this, settings);
    this.show();
  }

  /** Ask, and follow the chosen answer down the trie; what the decoder looked at is kept for every code. */
  show() {
    this.task = this.asking.task(this.task);
    const { gensar, task } = this;
    this.view = gensar.viewOf(task);
    this.viewName = gensar.about.tasks[task].view;
    this.looks = [[]];
    const watch = (beam, block, head, weights) => this.looks.at(-1).push({ name: `${block + 1}.${head + 1}`, weights });
    this.asked = this.asking.ask(task, watch);
    this.answers = gensar.best(this.asked, ANSWERS).map(({ item }) => item);
    this.answer = Math.min(Math.max(this.answer, 0), this.answers.length - 1);
    this.item = this.answers[this.answer];
    this.steps = [];
    let [node, decoded] = [0, this.asked.start];
    this.view.trie.path(this.item).forEach((next, level) => {
      const code = this.view.trie.codes[level][next];
      this.steps.push({ node, next, code, decoded });
      this.looks.push([]);
      [decoded] = gensar.step(this.asked, this.view, level, [decoded], [code], watch);
      node = next;
    });
    this.level = Math.min(Math.max(this.level, 0), this.steps.length - 1);
    if (!this.heads().includes(this.head)) this.head = "all";
    this.showControls();
    this.showReads();
    this.showWrites();
    this.told({ ...this.asking.settings(), ...this.settings() });
  }

  heads() {
    return ["all", ...this.looks[0].map(({ name }) => name)];
  }

  showControls() {
    const title = (item) => this.gensar.items.title[item];
    fill(this.controls, h("p", { class: "chips" }, this.asking.controls(this.task, (task) => this.change(task === this.task ? {} : { task, answer: 0, position: null })),
      h("label", {}, "answer ", h("select", { "data-key": "answer", onchange: (event) => this.change({ answer: Number(event.target.value) }) }, this.answers.map((item, place) => h("option", { value: place, selected: place === this.answer }, `${place + 1}. ${cut(title(item), 48)}`))))));
  }

  /** (S,) where the decoder looks before it writes the code of this level. */
  weights() {
    const seen = this.looks[this.level].filter(({ name }) => this.head === "all" || name === this.head);
    return this.asked.positions.map((_, s) => sum(seen.map(({ weights }) => weights[s])) / seen.length);
  }

  showReads() {
    const weights = this.weights();
    const top = Math.max(...weights);
    const { positions } = this.asked;
    const heads = this.heads();
    const choose = h("select", { "data-key": "head", onchange: (event) => this.change({ head: event.target.value }) }, heads.map((name) => h("option", { value: name, selected: name === this.head }, name === "all" ? "all heads" : `layer ${name.replace(".", ", head ")}`)));
    fill(this.reads,
      h("div", { class: "switches" }, h("h2", {}, "What it reads"), h("span", { class: "note" }, `${positions.length} positions. The fuller a box, the more the decoder looks at it while it writes code ${this.level + 1}.`), h("label", { class: "note" }, "Looking: ", choose)),
      h("ol", { class: "positions", "data-group": "positions" }, positions.map((position, place) => {
        const { kind, words } = this.describe(position, place);
        return h("li", {}, h("button", { class: `position ${kind}`, style: `--look:${weights[place] / top}`, "data-key": `position ${place}`, "aria-pressed": String(this.position === place), title: `${words}: ${percent(weights[place])} of what it looks at`,
          onclick: () => { this.position = this.position === place ? null : place; this.showReads(); } }, h("span", {}, cut(words, kind === "event" ? 24 : 40)), h("small", {}, percent(weights[place]))));
      })),
      h("p", { class: "note", role: "status" }, this.position === null ? "Choose a box to see what it is made of." : this.tokens(positions[this.position])));
  }

  describe({ event, tokens }, place) {
    if (event) return { kind: "event", words: [event.query === null ? null : `“${event.query}”`, event.item === null ? "nothing clicked" : this.gensar.items.title[event.item]].filter(Boolean).join(" ") };
    if (place === 0) return { kind: "prompt", words: this.gensar.tokenizer.decode(tokens) };
    if (tokens[0] === this.gensar.about.behaviours["<S_Q>"]) return { kind: "prompt", words: "query:" };
    return { kind: "word", words: this.gensar.tokenizer.decode(tokens) || "mix asked for" };
  }

  /** A position taken apart into the tokens whose vectors it sums. */
  tokens({ tokens, event, age }) {
    const { behaviours, num_written } = this.gensar.about;
    const named = new Map(Object.entries(behaviours).map(([name, token]) => [token, name]));
    const shown = tokens.map((token) => {
      if (named.has(token)) return h("code", {}, named.get(token));
      for (const view of Object.values(this.gensar.views)) {
        const level = view.levels.findIndex(([first, last]) => token >= first && token < last);
        if (level >= 0) return codeChip(view.names[level], token - view.levels[level][0]);
      }
      return token >= num_written ? h("em", {}, "the item's own vector") : h("code", {}, this.gensar.tokenizer.decode([token]) || `token ${token}`);
    });
    const made = tokens.length > 1 ? `One position, the scaled sum of ${tokens.length} vectors: ` : "One vector: ";
    return [made, shown.map((token) => [token, " "]), event && this.gensar.about.ages.length ? `and its age: ${age} events came after it.` : ""];
  }

  showWrites() {
    const { gensar, view, level } = this;
    const { node, code, decoded } = this.steps[level];
    const all = gensar.everyCode(this.asked, view, level, node, decoded);
    const allowed = gensar.choices(this.asked, view, level, node, decoded);
    const nowhere = sum(all.filter((choice) => choice.node === null).map(({ logprob }) => Math.exp(logprob)));
    const shown = this.trie ? allowed : all;
    const best = [...shown].sort((a, b) => b.logprob - a.logprob).slice(0, BEST);
    const steps = this.steps.map((step, place) => h("button", { class: "step", "data-key": `code ${place}`, "aria-pressed": String(place === level), "aria-label": `code ${place + 1}: ${view.names[place]} ${step.code}`, onclick: () => this.change({ level: place }) }, `code ${place + 1} `, codeChip(view.names[place], step.code)));
    const effect = allowed.length === all.length ? "Every code leads to an item here: the trie cuts nothing."
      : `${allowed.length} of ${all.length} codes lead to an item here. Without the trie the others would take ${percent(nowhere)} of the probability${this.trie ? "; the trie gives it to those that are left" : ""}.`;
    fill(this.writes,
      h("h2", {}, "What it writes ", h("span", { class: "note" }, gensar.items.title[this.item])),
      h("p", { class: "chips" }, steps, trieSwitch(this.trie, (trie) => this.change({ trie }))),
      h("p", { role: "status" }, effect),
      h("div", { class: "written" }, this.bar = h("div", {}),
        h("ol", { class: "follow" }, best.map((choice) => h("li", {}, h("span", { class: "kept" }, choice.code === code ? "▶" : ""), codeChip(view.names[level], choice.code),
          h("span", { class: "share" }, h("span", { class: choice.node === null ? "cut" : null, style: `width:${100 * Math.exp(choice.logprob)}%` })), h("span", { class: "number" }, percent(Math.exp(choice.logprob))),
          h("span", { class: "note", dir: "auto" }, this.meaning(level, choice.node)))))));
    fill(this.bar, this.bars(shown, code));
    this.showFlow(all, allowed, code);
  }

  /** The way from the positions to the code, with the numbers of this moment. */
  showFlow(all, allowed, code) {
    const { num_layers, num_heads } = this.gensar.about;
    const before = this.steps.slice(0, this.level).map((step, place) => codeChip(this.view.names[place], step.code));
    const found = (this.trie ? allowed : all).find((choice) => choice.code === code);
    const heard = this.asked.sources.length ? "the network's, and what the store says" : "the network's alone";
    const parts = [
      [`${this.asked.positions.length} positions`, `${this.gensar.t5.table[0].length} numbers each`],
      ["encoder", `${num_layers} ${num_layers === 1 ? "layer" : "layers"} of ${num_heads} heads: each position looks at all others`],
      ["decoder", before.length ? ["has written ", before, " and looks at the positions"] : "has written nothing and looks at the positions"],
      [`${all.length} scores`, heard],
      ["trie", this.trie ? `${allowed.length} codes lead to an item` : "switched off: all codes stay"],
      [codeChip(this.view.names[this.level], code), percent(Math.exp(found.logprob))],
    ];
    fill(this.flow, parts.map(([head, words]) => h("li", {}, h("strong", {}, head), h("span", { class: "note" }, words))));
  }

  meaning(level, node) {
    if (node === null) return "leads to no item";
    const { items, words } = this.meanings.of(this.viewName, level, node);
    return items === 1 ? this.gensar.items.title[this.view.trie.items[this.view.trie.leaves[level + 1][node]]] : `${items} items: ${words.join(", ")}`;
  }

  /** The probability of each code of the level, in the order of their numbers; hatched: it leads to no item. */
  bars(shown, code) {
    const name = this.view.names[this.level];
    const size = this.view.levels[this.level][1] - this.view.levels[this.level][0];
    const room = roomIn(this.bar, NARROW, WIDE);
    const wide = room / size;
    const top = Math.max(...shown.map(({ logprob }) => Math.exp(logprob)));
    const at = new Map(shown.map((choice) => [choice.code, choice]));
    const bars = Array.from({ length: size }, (_, number) => {
      const choice = at.get(number);
      const high = choice ? Math.max((Math.exp(choice.logprob) / top) * (HEIGHT - FOOT - 22), 1.5) : 3;
      const kind = !choice ? "gone" : choice.node === null ? "cut" : roleOf(name);
      return svg("rect", { class: `${kind}${number === code ? " on" : ""}`, x: number * wide + wide * 0.12, y: HEIGHT - FOOT - (choice ? high : -2), width: wide * 0.76, height: high },
        svg("title", {}, `${name}·${number}: ${choice ? percent(Math.exp(choice.logprob)) : "cut by the trie"}${choice?.node === null ? ", leads to no item" : ""}`));
    });
    const marks = Array.from({ length: size }, (_, number) => number).filter((number) => number % Math.max(Math.ceil((size * 70) / room), 1) === 0 && (number + 0.5) * wide < room - 24);
    const label = `Probability of each code of ${name}; the tallest has ${percent(top)}, and code ${code} is written.`;
    return svg("svg", { class: "bars", viewBox: `0 0 ${room} ${HEIGHT}`, role: "img", "aria-label": label },
      svg("text", { x: 0, y: 14 }, `highest: ${percent(top)}`), bars,
      marks.map((number) => svg("text", { x: number ? (number + 0.5) * wide : 0, y: HEIGHT - 4, "text-anchor": number ? "middle" : "start" }, `${name}·${number}`)));
  }
}
