// Beam search in slow motion: an identifier is written code by code, and the best few beginnings are kept.

import { RECOMMENDATION, SEARCH, sum } from "../engine/gensar.js";
import { trieSwitch } from "./asking.js";
import { codeChip, roleOf } from "./codes.js";
import { cut, fill, h, percent, pressable, roomIn, svg, whole } from "./dom.js";
import { saveButtons } from "./save.js";

const NUM_BEAMS = 8;
const [NARROW, WIDE] = [900, 1300];
const [ROW, BOX, TOP] = [50, 42, 30];
const CHILDREN = 12;
const NOWHERE = "names no item";

export class BeamView {
  /** `asking` puts the store's question (see `Asking`). */
  constructor(gensar, meanings, settings, asking, told) {
    Object.assign(this, { gensar, meanings, asking, told });
    this.read(settings);
    this.chosen = { level: 0, place: 0 };
    this.controls = h("div", { class: "asking" });
    this.drawing = h("div", { class: "panel drawing" });
    this.next = h("section", { class: "panel", "aria-label": "what may follow" });
    this.element = h("div", {}, this.controls, this.drawing, this.next);
  }

  read({ task, step, trie }) {
    this.task = task === RECOMMENDATION ? RECOMMENDATION : SEARCH;
    this.step = whole(step, 1);
    this.trie = trie !== "0";
  }

  settings() {
    return { task: this.task, step: this.step, trie: this.trie ? null : "0" };
  }

  /** Ask anew: the question may have changed in another explorer. */
  show() {
    this.task = this.asking.task(this.task);
    this.view = this.gensar.viewOf(this.task);
    this.viewName = this.gensar.about.tasks[this.task].view;
    this.asked = this.asking.ask(this.task);
    this.levels = [];
    const watch = (level) => this.levels.push(level);
    if (this.trie) this.gensar.best(this.asked, NUM_BEAMS, false, NUM_BEAMS, watch);
    else this.gensar.free(this.asked, NUM_BEAMS, watch);
    this.step = Math.min(Math.max(this.step, 0), this.levels.length);
    this.choose({ level: this.step, place: 0 });
  }

  choose(chosen) {
    this.chosen = chosen;
    this.showControls();
    this.draw();
    this.showNext();
    this.told({ ...this.asking.settings(), ...this.settings() });
  }

  go(step) {
    this.step = step;
    this.choose({ level: step, place: 0 });
  }

  showControls() {
    const last = this.levels.length;
    const button = (key, label, act, disabled) => h("button", { "data-key": key, disabled, onclick: act }, label);
    fill(this.controls,
      h("p", { class: "chips" }, this.asking.controls(this.task, (task) => { this.task = task; this.show(); })),
      h("p", { class: "chips" },
        button("back", "◀ one code back", () => this.go(this.step - 1), this.step === 0),
        button("on", "write the next code ▶", () => this.go(this.step + 1), this.step === last),
        button("end", "to the end", () => this.go(last), this.step === last),
        trieSwitch(this.trie, (trie) => { this.trie = trie; this.show(); }),
        saveButtons("beam", () => this.drawing.querySelector("svg")),
        h("span", { role: "status", "aria-live": "polite" }, this.sentence())));
  }

  sentence() {
    const last = this.levels.length;
    if (this.step === 0) return "Nothing is written yet. Below: every code that may come first.";
    const names = this.levels[this.step - 1].kept.length;
    const nowhere = this.levels[this.step - 1].kept.filter(({ node }) => node === null).length;
    if (nowhere) return `${this.step} of ${last} codes are written; ${nowhere} of ${names} ${this.step === last ? "names are no item's" : "beginnings are no item's"}: the trie would have cut them.`;
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
    const all = roomIn(this.drawing, NARROW, WIDE);
    const [start, titles] = [0.09 * all, 0.22 * all];
    const each = (all - start - titles) / last;
    const column = (level) => (level === 0 ? 6 : start + (level - 1) * each);
    const width = 0.82 * each;
    const y = (level, place) => TOP + (level === 0 ? ((NUM_BEAMS - 1) * ROW) / 2 : place * ROW);
    const lit = this.path();
    const [lines, boxes] = [[], []];
    for (let level = 0; level <= this.step; level++) {
      this.beams(level).forEach((beam, place) => {
        const on = lit.get(level) === place;
        const [left, top] = [column(level), y(level, place)];
        if (level > 0) {
          const [from, to] = [[column(level - 1) + (level === 1 ? 52 : width), y(level - 1, beam.parent) + BOX / 2], [left, top + BOX / 2]];
          const middle = (from[0] + to[0]) / 2;
          lines.push(svg("path", { class: on ? "link on" : "link", d: `M${from}C${middle},${from[1]} ${middle},${to[1]} ${to}`, "stroke-width": 1 + 7 * Math.exp(beam.score) }));
        }
        boxes.push(this.box(level, place, beam, left, top, level === 0 ? 52 : width, on, level === last ? Math.floor((titles - 10) / 7.8) : 0));
      });
    }
    const heads = this.view.names.map((name, level) => svg("text", { class: "head", x: column(level + 1), y: 20 }, `code ${level + 1}${width > 150 ? `, codebook ${name}` : ""}`));
    fill(this.drawing, svg("svg", { viewBox: `0 0 ${all} ${TOP + NUM_BEAMS * ROW}`, role: "group", "aria-label": "the tree of beginnings that are kept" }, heads, lines, boxes));
  }

  box(level, place, beam, left, top, width, on, room) {
    const choose = () => this.choose({ level, place });
    if (level === 0) {
      return svg("g", { class: on ? "box on" : "box", "data-key": "box 0 0", ...pressable("the empty beginning", choose) },
        svg("rect", { x: left, y: top, width, height: BOX, rx: 6 }), svg("text", { x: left + 8, y: top + 26 }, "start"));
    }
    const name = this.view.names[level - 1];
    const { code } = beam;
    const words = this.words(level, beam.node);
    const label = `${name} ${code}, ${percent(Math.exp(beam.score))}, ${words}`;
    const shown = room && beam.node !== null ? cut(words, room) : null;
    return svg("g", { class: `box ${beam.node === null ? "nowhere" : roleOf(name)}${on ? " on" : ""}`, "data-key": `box ${level} ${place}`, ...pressable(label, choose) },
      svg("title", {}, label),
      svg("rect", { x: left, y: top, width, height: BOX, rx: 6 }),
      svg("text", { x: left + 8, y: top + 17 }, `${name}·${code}`),
      svg("text", { x: left + width - 8, y: top + 17, "text-anchor": "end" }, percent(Math.exp(beam.score))),
      svg("text", { class: "words", x: left + 8, y: top + 34 }, cut(words, Math.floor(width / 7.9))),
      shown && svg("text", { class: "item", x: left + width + 8, y: top + 26 }, shown));
  }

  /** What the items of a beginning of so many codes have in common; of one item its title. */
  words(level, node) {
    if (node === null) return NOWHERE;
    const { items, words } = this.meanings.of(this.viewName, level - 1, node);
    const { trie } = this.view;
    return items === 1 ? this.gensar.items.title[trie.items[trie.leaves[level][node]]] : `${items}: ${words.join(", ")}`;
  }

  /** What may follow the chosen box. */
  showNext() {
    const { level, place } = this.chosen;
    const beam = this.beams(level)[place];
    const last = this.levels.length;
    if (beam.node === null) return fill(this.next, h("p", {}, "No item has a name that begins like this: the shop would have nothing to show. With the trie this code could not have been written."));
    if (level === last) {
      const item = this.view.trie.items[beam.node];
      fill(this.next, h("h2", {}, this.gensar.items.title[item]), h("p", {}, [this.gensar.items.categories?.[item], this.gensar.items.description?.[item]].filter(Boolean).join(". ")));
      return;
    }
    const children = this.view.trie.childrenOf(level, beam.node);
    const size = this.view.levels[level][1] - this.view.levels[level][0];
    const rows = this.gensar[this.trie ? "choices" : "everyCode"](this.asked, this.view, level, beam.node, beam.decoded).sort((a, b) => b.logprob - a.logprob);
    const kept = new Set(this.levels[level].kept.filter(({ parent }) => parent === place).map(({ code }) => code));
    const cutting = this.trie ? "the trie leaves out the others" : "without the trie the others may follow, too";
    const rest = rows.length > CHILDREN ? `, the other ${rows.length - CHILDREN} together ${percent(sum(rows.slice(CHILDREN).map(({ logprob }) => Math.exp(logprob))))}` : "";
    fill(this.next,
      h("h2", {}, level === 0 ? "What may come first" : "What may follow the chosen box"),
      h("p", { class: "note" }, `${children.length} of ${size} codes lead to an item here; ${cutting}${rest}. ● is kept among the best ${NUM_BEAMS}.`),
      h("ol", { class: "follow" }, rows.slice(0, CHILDREN).map(({ node, code, logprob }) =>
        h("li", {}, h("span", { class: "kept" }, kept.has(code) ? "●" : ""), codeChip(this.view.names[level], code),
          h("span", { class: "share" }, h("span", { style: `width:${100 * Math.exp(logprob)}%` })), h("span", { class: "number" }, percent(Math.exp(logprob))),
          h("span", { class: "note" }, this.words(level + 1, node))))));
  }
}
