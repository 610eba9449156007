// Beam search in slow motion: an identifier is written code by code, and the best few beginnings are kept.

import { RECOMMENDATION, SEARCH, logSoftmax, sum } from "../engine/gensar.js";
import { codeChip, roleOf } from "./codes.js";
import { fill, h, percent, pressable, svg } from "./dom.js";

const NUM_BEAMS = 8;
const [WIDTH, ROW, BOX, TOP] = [1300, 56, 44, 34];
const CHILDREN = 12;

export class BeamView {
  /** `question` gives who asks and what: {user, history, query}. */
  constructor(gensar, meanings, settings, question, told) {
    Object.assign(this, { gensar, meanings, question, told });
    this.read(settings);
    this.chosen = { level: 0, place: 0 };
    this.controls = h("div", { class: "asking" });
    this.drawing = h("div", { class: "panel drawing" });
    this.next = h("section", { class: "panel", "aria-label": "what may follow" });
    this.element = h("div", {}, this.controls, this.drawing, this.next);
  }

  read({ task, step }) {
    this.task = task === RECOMMENDATION ? RECOMMENDATION : SEARCH;
    this.step = Number(step ?? 1);
  }

  settings() {
    return { task: this.task, step: this.step };
  }

  /** Ask anew: the question may have changed in another explorer. */
  show() {
    const { user, history, query } = this.question();
    const asking = this.task === SEARCH && query.trim() ? SEARCH : RECOMMENDATION;
    this.task = asking;
    this.view = this.gensar.viewOf(asking);
    this.viewName = this.gensar.about.tasks[asking].view;
    this.asked = this.gensar.ask(asking, asking === SEARCH ? query : null, { user: user || null, history });
    this.levels = [];
    this.gensar.best(this.asked, NUM_BEAMS, false, NUM_BEAMS, (level) => this.levels.push(level));
    this.step = Math.min(Math.max(this.step, 0), this.levels.length);
    this.choose({ level: this.step, place: 0 });
  }

  choose(chosen) {
    this.chosen = chosen;
    this.showControls();
    this.draw();
    this.showNext();
    this.told({ ...this.settings(), ...this.question(), history: this.question().history?.join(",") ?? null });
  }

  go(step) {
    this.step = step;
    this.choose({ level: step, place: 0 });
  }

  showControls() {
    const { user, query } = this.question();
    const last = this.levels.length;
    const button = (key, label, act, disabled) => h("button", { "data-key": key, disabled, onclick: act }, label);
    const pick = (task, label) => h("button", { "data-key": task, "aria-pressed": String(this.task === task), disabled: task === SEARCH && !query.trim(), onclick: () => { this.task = task; this.show(); } }, label);
    fill(this.controls,
      h("p", { class: "chips" }, pick(SEARCH, `search “${query.slice(0, 40)}”`), pick(RECOMMENDATION, "recommend"), h("span", { class: "note" }, `for ${user || "somebody new"}; the store's page chooses both`)),
      h("p", { class: "chips" },
        button("back", "◀ one code back", () => this.go(this.step - 1), this.step === 0),
        button("on", "write the next code ▶", () => this.go(this.step + 1), this.step === last),
        button("end", "to the end", () => this.go(last), this.step === last),
        h("span", { role: "status", "aria-live": "polite" }, this.sentence())));
  }

  sentence() {
    const last = this.levels.length;
    if (this.step === 0) return "Nothing is written yet. Below: every code that may come first.";
    const names = this.levels[this.step - 1].kept.length;
    if (this.step === last) return `Each of the ${names} boxes at the right names one item.`;
    return `${this.step} of ${last} codes are written; the ${names} most probable beginnings are kept.`;
  }

  /** The beams of a level: 0 is the empty beginning. */
  beams(level) {
    return level === 0 ? [{ node: 0, score: 0, parent: null, decoded: this.asked.start }] : this.levels[level - 1].kept;
  }

  /** The places, level by level, on the way to the chosen box. */
  path() {
    let { level, place } = this.chosen;
    const found = new Map();
    for (; level >= 0; level--) {
      found.set(level, place);
      place = this.beams(level)[place].parent;
    }
    return found;
  }

  draw() {
    const last = this.levels.length;
    const column = (level) => (level === 0 ? 10 : 120 + ((level - 1) * (WIDTH - 430)) / last);
    const width = (WIDTH - 430) / last - 46;
    const y = (level, place) => TOP + (level === 0 ? ((NUM_BEAMS - 1) * ROW) / 2 : place * ROW);
    const lit = this.path();
    const [lines, boxes] = [[], []];
    for (let level = 0; level <= this.step; level++) {
      this.beams(level).forEach((beam, place) => {
        const on = lit.get(level) === place;
        const [left, top] = [column(level), y(level, place)];
        if (level > 0) {
          const [from, to] = [[column(level - 1) + (level === 1 ? 60 : width), y(level - 1, beam.parent) + BOX / 2], [left, top + BOX / 2]];
          const middle = (from[0] + to[0]) / 2;
          lines.push(svg("path", { class: on ? "link on" : "link", d: `M${from}C${middle},${from[1]} ${middle},${to[1]} ${to}`, "stroke-width": 1 + 7 * Math.exp(beam.score) }));
        }
        boxes.push(this.box(level, place, beam, left, top, level === 0 ? 60 : width, on));
      });
    }
    const heads = this.view.names.map((name, level) => svg("text", { class: "head", x: column(level + 1), y: 20 }, `code ${level + 1}, codebook ${name}`));
    fill(this.drawing, svg("svg", { viewBox: `0 0 ${WIDTH} ${TOP + NUM_BEAMS * ROW}`, role: "group", "aria-label": "the tree of beginnings that are kept" }, heads, lines, boxes));
  }

  box(level, place, beam, left, top, width, on) {
    const choose = () => this.choose({ level, place });
    if (level === 0) {
      return svg("g", { class: on ? "box on" : "box", "data-key": "box 0 0", ...pressable("the empty beginning", choose) },
        svg("rect", { x: left, y: top, width, height: BOX, rx: 6 }), svg("text", { x: left + 10, y: top + 27 }, "start"));
    }
    const name = this.view.names[level - 1];
    const code = this.view.trie.codes[level - 1][beam.node];
    const meaning = this.meanings.of(this.viewName, level - 1, beam.node);
    const alone = meaning.items === 1;
    const item = this.view.trie.items[this.view.trie.leaves[level][beam.node]];
    const words = alone ? this.gensar.items.title[item] : `${meaning.items}: ${meaning.words.join(", ")}`;
    const label = `${name} ${code}, ${percent(Math.exp(beam.score))}, ${words}`;
    const shown = level === this.levels.length ? cut(this.gensar.items.title[item], 44) : null;
    return svg("g", { class: `box ${roleOf(name)}${on ? " on" : ""}`, "data-key": `box ${level} ${place}`, ...pressable(label, choose) },
      svg("title", {}, label),
      svg("rect", { x: left, y: top, width, height: BOX, rx: 6 }),
      svg("text", { x: left + 8, y: top + 18 }, `${name}·${code}`),
      svg("text", { x: left + width - 8, y: top + 18, "text-anchor": "end" }, percent(Math.exp(beam.score))),
      svg("text", { class: "words", x: left + 8, y: top + 36 }, cut(words, Math.floor(width / 7.4))),
      shown && svg("text", { class: "item", x: left + width + 10, y: top + 27 }, shown));
  }

  /** What may follow the chosen box. */
  showNext() {
    const { level, place } = this.chosen;
    const beam = this.beams(level)[place];
    const last = this.levels.length;
    if (level === last) {
      const item = this.view.trie.items[beam.node];
      fill(this.next, h("h2", {}, this.gensar.items.title[item]), h("p", {}, [this.gensar.items.categories?.[item], this.gensar.items.description?.[item]].filter(Boolean).join(". ")));
      return;
    }
    const children = this.view.trie.childrenOf(level, beam.node);
    const size = this.view.levels[level][1] - this.view.levels[level][0];
    const logprobs = children.length > 1 ? logSoftmax(this.gensar.siblings(this.asked, this.view, level, beam.node, beam.decoded).map(sum)) : [0];
    const rows = children.map((node, i) => ({ node, logprob: logprobs[i] })).sort((a, b) => b.logprob - a.logprob);
    const kept = new Set(this.levels[level].kept.map(({ node }) => node));
    const rest = rows.length > CHILDREN ? `, the other ${rows.length - CHILDREN} together ${percent(sum(rows.slice(CHILDREN).map(({ logprob }) => Math.exp(logprob))))}` : "";
    fill(this.next,
      h("h2", {}, level === 0 ? "What may come first" : "What may follow the chosen box"),
      h("p", { class: "note" }, `${children.length} of ${size} codes lead to an item here; the trie leaves out the others${rest}. ● is kept among the best ${NUM_BEAMS}.`),
      h("ol", { class: "follow" }, rows.slice(0, CHILDREN).map(({ node, logprob }) => {
        const { items, words } = this.meanings.of(this.viewName, level, node);
        return h("li", {}, h("span", { class: "kept" }, kept.has(node) ? "●" : ""), codeChip(this.view.names[level], this.view.trie.codes[level][node]),
          h("span", { class: "share" }, h("span", { style: `width:${100 * Math.exp(logprob)}%` })), h("span", { class: "number" }, percent(Math.exp(logprob))),
          h("span", { class: "note" }, items === 1 ? this.gensar.items.title[this.view.trie.items[this.view.trie.leaves[level + 1][node]]] : `${items} items: ${words.join(", ")}`));
      })));
  }
}

function cut(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
