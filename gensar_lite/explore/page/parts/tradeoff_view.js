// The trade-off: curves of sweeps, and a slider that mixes the weights of two fine-tunes while one looks.

import { RECOMMENDATION, SEARCH } from "../engine/gensar.js";
import { cut, fill, h } from "./dom.js";
import { answerList, movement } from "./lists.js";
import { legend, plane } from "./plane.js";
import { csv, save, saveButtons } from "./save.js";

const SHOWN = 6;
const OWN = "this model, the generator alone";
const PROTOCOLS = { uniform99: "among 99 drawn at random", popular99: "among 99 popular ones", bm25_99: "among the 99 best of BM25", adhoc_bm25_99: "among the 99 best of BM25, without a history", full: "among all items" };

export class TradeoffView {
  /** `gensar` is null on a page without a model; `asking` then, too. */
  constructor(about, gensar, settings, asking, told) {
    Object.assign(this, { gensar, asking, told, points: about.slider?.points ?? null });
    this.sweeps = new Map((about.sweeps ?? []).flatMap((sweep) => [...new Set(sweep.points.map(({ data }) => data))].map((data) => [`${sweep.name}: ${data}`, { ...sweep, data }])));
    this.sources = [...(this.points ? [OWN] : []), ...this.sweeps.keys()];
    this.read(settings);
    this.hideFar();
    this.controls = h("div", { class: "asking" });
    this.drawing = h("div", { class: "panel drawing" });
    this.words = h("p", { class: "note", role: "status" });
    this.lists = h("section", { class: "panel", "aria-label": "the slider" });
    this.element = h("div", {}, this.controls, h("div", { class: this.points ? "linked tradeoff" : "tradeoff" }, h("div", {}, this.drawing, this.words), this.points ? this.lists : null));
  }

  static has(about) {
    return Boolean(about.slider || about.sweeps?.length);
  }

  read({ source, mix, bars }) {
    this.source = this.sources.includes(source) ? source : this.sources[0];
    this.share = Math.min(Math.max(Number(mix ?? 0.5) || 0, 0), 1);
    this.intervals = bars !== "0";
  }

  settings() {
    return { source: this.source === this.sources[0] ? null : this.source, mix: this.points ? this.share : null, bars: this.intervals ? null : "0" };
  }

  show() {
    this.showControls();
    this.draw();
    if (this.points) this.showLists();
    this.told({ ...this.asking?.settings(), ...this.settings() });
  }

  /** Curves of fused scores reach far away from all others: they are shown when they are pressed. */
  hideFar() {
    const points = this.sweeps.get(this.source)?.points ?? [];
    this.hidden = new Set(points.filter(({ curve }) => curve.startsWith("fusion")).map(({ name }) => name));
  }

  /** The curves of the source: {goals, curves, best, note}. */
  chosen() {
    if (this.source === OWN) {
      const label = (words, point) => `${words}: recommendation ${point.recommendation.toFixed(3)}, search ${point.search.toFixed(3)}`;
      const line = this.points.filter(({ place }) => place !== null).map((point) => ({ ...point, label: label(`at ${point.place}`, point) }));
      const trained = this.points.filter(({ place }) => place === null).map((point) => ({ ...point, label: label("as trained", point) }));
      return { goals: { metric: "NDCG@10", recommendation: "uniform99", search: "bm25_99" }, best: [], note: "One training: no intervals.",
        curves: [{ name: "between the two fine-tunes", points: line }, { name: "the model as trained", points: trained }].map((curve, n) => ({ ...curve, n })) };
    }
    const { goals, points, specialists, data, about } = this.sweeps.get(this.source);
    const own = points.filter((point) => point.data === data);
    const curves = [...new Set(own.map(({ name }) => name))].map((name, n) => {
      const along = own.filter((point) => point.name === name).sort((a, b) => a.place - b.place);
      return { name, n, points: along.map((point) => ({ ...point, label: `${name} at ${point.place}: recommendation ${point.recommendation.toFixed(3)}, search ${point.search.toFixed(3)}` })) };
    });
    const seeds = Math.max(...own.map(({ num_seeds }) => num_seeds));
    const note = seeds < 2 ? "One seed: no intervals." : `Crosses: 95 % intervals over users, ${seeds} seeds. Filled: no other point is better in both tasks on validation.`;
    return { goals, curves, best: specialists.filter((row) => row.data === data), note: `${note} ${about}` };
  }

  names({ metric, recommendation, search }) {
    return { recommendation: `recommendation, ${metric}, ${PROTOCOLS[recommendation] ?? recommendation}`, search: `search, ${metric}, ${PROTOCOLS[search] ?? search}` };
  }

  showControls() {
    const { curves } = (this.seen = this.chosen());
    const toggle = ({ name, n }) => h("button", { class: "chip", "data-key": `curve ${name}`, "aria-pressed": String(!this.hidden.has(name)), onclick: () => { if (!this.hidden.delete(name)) this.hidden.add(name); this.show(); } }, legend(n, name));
    fill(this.controls,
      h("p", { class: "chips" }, h("label", {}, "Curves of ", h("select", { "data-key": "source", onchange: (event) => { this.source = event.target.value; this.hideFar(); this.show(); } }, this.sources.map((name) => h("option", { value: name, selected: name === this.source }, name)))),
        curves.some(({ points }) => points.some((point) => typeof point.recommendation_low === "number")) ? h("label", {}, h("input", { type: "checkbox", checked: this.intervals, "data-key": "bars", onchange: (event) => { this.intervals = event.target.checked; this.show(); } }), " 95 % intervals") : null,
        h("button", { class: "small", "data-key": "csv", onclick: () => this.save() }, "save the points (CSV)"),
        saveButtons("tradeoff", () => this.drawing.querySelector("svg"))),
      h("p", { class: "chips curves", "data-group": "curves" }, curves.map(toggle)));
  }

  draw() {
    const { goals, curves, best, note } = this.seen;
    const shown = curves.filter(({ name }) => !this.hidden.has(name));
    this.words.textContent = note;
    if (!shown.length) return fill(this.drawing, h("p", { class: "note" }, "Nothing is chosen: press a curve above."));
    const ring = this.source === OWN ? this.between() : null;
    const tell = (point) => (this.words.textContent = `${point.label}${typeof point.recommendation_low === "number" ? `; intervals ${point.recommendation_low.toFixed(3)} to ${point.recommendation_high.toFixed(3)} and ${point.search_low.toFixed(3)} to ${point.search_high.toFixed(3)}` : ""}.`);
    fill(this.drawing, plane({ curves: shown, best, ring, intervals: this.intervals, names: this.names(goals), tell, room: this.drawing }));
  }

  /** Where the slider stands among the places that were measured. */
  between() {
    const line = this.points.filter(({ place }) => place !== null);
    const next = Math.max(line.findIndex(({ place }) => place >= this.share), 1);
    const [before, after] = [line[next - 1], line[next]];
    const part = (this.share - before.place) / (after.place - before.place);
    const value = (task) => before[task] + part * (after[task] - before[task]);
    return { recommendation: value("recommendation"), search: value("search") };
  }

  slide(share) {
    this.share = share;
    this.draw();
    cancelAnimationFrame(this.waiting);
    this.waiting = requestAnimationFrame(() => this.showLists());
    this.told({ ...this.asking.settings(), ...this.settings() });
  }

  showLists() {
    const { store } = this.asking;
    const mixed = this.gensar.at(this.share);
    const { user, history, query } = store;
    const lists = [SEARCH, RECOMMENDATION].filter((task) => this.asking.task(task) === task).map((task) => {
      const answer = (model) => model.best(model.ask(task, task === SEARCH ? query : null, { user: user || null, history, evidence: [] }), SHOWN, store.hide).map(({ item }) => ({ item, title: this.gensar.items.title[item] }));
      const [before, after] = [answer(this.gensar), answer(mixed)];
      const moves = movement(before.map(({ item }) => item), after.map(({ item }) => item));
      return h("div", {}, h("h3", {}, task === SEARCH ? `search “${cut(query, 40)}”` : "recommended"), answerList({ name: task, answers: after, moves, marks: new Map(), gensar: this.gensar, empty: "Nothing." }));
    });
    const slider = h("input", { type: "range", min: 0, max: 1, step: 0.05, value: this.share, "data-key": "mix", "aria-label": "from search to recommendation", "aria-valuetext": `${Math.round(this.share * 100)} % of the way to recommendation`, oninput: (event) => this.slide(Number(event.target.value)) });
    if (!this.slider) {
      this.slider = slider;
      this.answers = h("div", { class: "beside" });
      this.mixture = h("p", { class: "note", role: "status", "aria-live": "polite" });
      fill(this.lists, h("h2", {}, "Two fine-tunes, mixed here ", h("span", { class: "note" }, `for ${user || "somebody new"}`)), h("div", { class: "mixing" }, h("span", {}, "search"), this.slider, h("span", {}, "recommendation")), this.mixture, this.answers);
    }
    this.slider.value = this.share;
    this.mixture.textContent = `Every weight is ${Math.round((1 - this.share) * 100)} % that of the fine-tune for search and ${Math.round(this.share * 100)} % that of the one for recommendation. Arrows: against the model as trained.`;
    fill(this.answers, lists);
  }

  save() {
    const rows = this.seen.curves.flatMap(({ name, points }) => points.map(({ label, front, ...point }) => ({ curve: name, ...Object.fromEntries(["place", "recommendation", "recommendation_low", "recommendation_high", "search", "search_low", "search_high"].map((key) => [key, point[key] ?? ""])) })));
    save("tradeoff.csv", csv(rows));
  }
}
