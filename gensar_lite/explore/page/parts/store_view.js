// The store: one person, search and recommendation side by side, and what stands behind each answer.

import { RECOMMENDATION, SEARCH } from "../engine/gensar.js";
import { best } from "../engine/evidence.js";
import { fill, h } from "./dom.js";
import { answerList, movement, whyTable } from "./lists.js";
import { csv, save } from "./save.js";

const SHOWN = 10;
const HISTORY = 8;
const MOMENTS = { now: "all that the log holds", [RECOMMENDATION]: "before the last recommendation", [SEARCH]: "before the last search" };
const SWITCHES = { compare: "other rankers beside it", hide: "hide what was clicked", codes: "show identifiers", network: "the network alone, without evidence" };
const HEADS = { [SEARCH]: "Search", [RECOMMENDATION]: "Recommended" };
const RIVALS = { [SEARCH]: "BM25", [RECOMMENDATION]: "item-kNN" };

export class StoreView {
  /** `told` is called with the settings that the address shall hold. */
  constructor(gensar, meanings, settings, told) {
    Object.assign(this, { gensar, told, index: gensar.index, meanings });
    this.before = { [SEARCH]: [], [RECOMMENDATION]: [] };
    this.opened = {};
    this.all = false;
    this.read(settings);
    this.status = h("p", { class: "status", role: "status", "aria-live": "polite" });
    this.asking = h("section", { class: "asking" });
    this.past = h("section", { class: "past panel", "aria-label": "history" });
    this.panels = Object.fromEntries([SEARCH, RECOMMENDATION].map((task) => [task, h("section", { class: "panel", "aria-label": HEADS[task] })]));
    this.columns = h("div", { class: "columns" }, this.past, Object.values(this.panels));
    this.element = h("div", { class: "store" }, this.asking, this.status, this.columns);
  }

  read({ user, query, history, moment, ...switches }) {
    const { users, people, examples } = this.gensar.store.about;
    this.user = user === undefined ? (people[0]?.user ?? users[0] ?? "") : user;
    this.query = query ?? examples[0] ?? "";
    const clicked = (history ?? "").split(",").filter(Boolean);
    this.history = history === undefined ? null : clicked.filter((id) => this.gensar.number.has(id));
    this.strange = history === undefined ? 0 : clicked.length - this.history.length;
    this.opened = {};
    this.moment = moment in MOMENTS ? moment : "now";
    for (const key of Object.keys(SWITCHES)) this[key] = (switches[key] ?? (key === "hide" ? "1" : "0")) === "1";
  }

  settings() {
    const { user, query, moment } = this;
    const switches = Object.fromEntries(Object.keys(SWITCHES).map((key) => [key, this[key]]));
    switches.hide = this.hide ? null : "0";
    return { user, query, history: this.history?.join(",") ?? null, moment: moment === "now" ? null : moment, ...switches };
  }

  /** Change settings, answer anew. `fresh`: lists of another question are no place to move from. */
  change(settings, fresh = false) {
    Object.assign(this, settings);
    if (fresh) this.before = { [SEARCH]: [], [RECOMMENDATION]: [] };
    this.opened = {};
    this.strange = 0;
    this.columns.dataset.open = "";
    this.show();
  }

  /** What was held out may be a click again, so nothing is hidden where it is shown. */
  hides() {
    return this.hide && this.moment === "now";
  }

  known() {
    return this.gensar.users.has(this.user);
  }

  /** What was held out of this person's log at this moment: {until, item}, or null. */
  heldOut(moment = this.moment) {
    if (moment === "now" || this.history !== null || !this.known()) return null;
    const [until, item] = this.gensar.store.matrix(`held_out.${moment}`)[this.gensar.users.get(this.user)];
    return until < 0 ? null : { until, item };
  }

  show() {
    const started = performance.now();
    this.element.classList.toggle("comparing", this.compare);
    this.truth = this.heldOut();
    if (!this.truth) this.moment = "now";
    if (this.truth && this.moment === SEARCH) this.query = this.gensar.events(this.user, null)[this.truth.until].query;
    this.asked = {};
    const answers = {};
    for (const task of [SEARCH, RECOMMENDATION]) answers[task] = this.answer(task);
    const { events, clicked } = this.asked[RECOMMENDATION];
    this.clicked = clicked;
    const spent = performance.now() - started;
    this.showAsking();
    this.showPast(events);
    for (const task of [SEARCH, RECOMMENDATION]) this.showAnswers(task, answers[task]);
    this.status.className = "status";
    this.status.textContent = this.sentence(spent);
    this.told(this.settings());
  }

  sentence(spent) {
    if (!this.query.trim()) return "Type a query; recommendations need none.";
    if (this.strange) return `${this.strange} of the items in the address's history ${this.strange === 1 ? "is" : "are"} not in this store and left out.`;
    if (this.user && !this.known()) return `Nobody in this page is called ${this.user}; answered as for somebody new.`;
    if (!this.index.terms(this.query).length) return `No word of “${this.query.slice(0, 60)}” occurs in the store's items; the search is a guess.`;
    return `Both lists answered in ${Math.round(spent)} ms, in this browser.`;
  }

  answer(task) {
    if (task === SEARCH && !this.query.trim()) return [];
    const who = { user: this.user || null, history: this.history, until: this.truth?.until };
    this.asked[task] = this.gensar.ask(task, task === SEARCH ? this.query : null, this.network ? { ...who, evidence: [] } : who);
    return this.gensar.best(this.asked[task], SHOWN, this.hides());
  }

  /** What other rankers answer: {name: [items]}. */
  rivals(task) {
    const asked = { query: null, clicked: this.clicked, user: null };
    const scores = task === SEARCH ? this.index.scores(this.query) : this.gensar.evidence.scores("neighbours", asked);
    const found = { [RIVALS[task]]: best(scores, SHOWN, this.hides() ? this.clicked : []).map(({ item }) => item) };
    const name = `oracle.${task}`;
    if (this.truth && this.moment === task && this.gensar.store.has(name)) {
      found.oracle = [...this.gensar.store.matrix(name)[this.gensar.users.get(this.user)]];
    }
    return found;
  }

  showAsking() {
    const { users, people, examples } = this.gensar.store.about;
    const typed = h("input", { id: "query", type: "search", value: this.query, "data-key": "query", autocomplete: "off", placeholder: "a query, then Enter" });
    const send = (event) => {
      event.preventDefault();
      this.change({ query: typed.value, moment: this.moment === SEARCH ? "now" : this.moment }, true);
    };
    const check = (key, label) => h("label", {}, h("input", { type: "checkbox", checked: this[key], "data-key": key, onchange: (event) => this.change({ [key]: event.target.checked }) }), label);
    fill(this.asking,
      h("form", { onsubmit: send, role: "search" },
        users.length ? this.person(users) : null,
        h("label", { for: "query" }, "Query"), typed, h("button", { "data-key": "send" }, "Search")),
      people.length + examples.length > 0 && h("p", { class: "chips", "data-group": "examples" }, "Try ",
        people.map(({ user, about }) => h("button", { class: "chip person", "data-key": `person ${user}`, "aria-pressed": String(user === this.user), onclick: () => this.change({ user, history: null, moment: "now" }, true) }, about)),
        examples.map((query) => h("button", { class: "chip", "data-key": `example ${query}`, "aria-pressed": String(query === this.query), onclick: () => this.change({ query, moment: this.moment === SEARCH ? "now" : this.moment }, true) }, query))),
      h("p", { class: "switches" }, Object.entries(SWITCHES).filter(([key]) => key !== "network" || this.gensar.about.heard.length).map(([key, label]) => check(key, label)),
        h("button", { class: "small", "data-key": "save", onclick: () => this.save() }, "save the lists (CSV)")));
  }

  person(users) {
    const chosen = h("input", { id: "user", list: "users", value: this.user, "data-key": "user", autocomplete: "off", placeholder: "nobody", size: "9", onchange: () => this.change({ user: chosen.value.trim(), history: null, moment: "now" }, true) });
    const other = () => this.change({ user: users[Math.floor(Math.random() * users.length)], history: null, moment: "now" }, true);
    return [h("label", { for: "user" }, "Person"), chosen, h("datalist", { id: "users" }, users.map((user) => h("option", { value: user }))),
      h("button", { type: "button", "data-key": "other", onclick: other }, "Somebody else")];
  }

  showPast(events) {
    const titles = this.gensar.items.title;
    const latest = events.map((event, place) => ({ ...event, place })).reverse();
    const rows = latest.slice(0, this.all ? undefined : HISTORY).map(({ item, query, place }) =>
      h("li", {}, h("span", { dir: "auto" }, query === null ? null : h("em", { class: "asked" }, `“${query}” `), item === null ? h("em", { class: "note" }, "nothing clicked") : titles[item]),
        item !== null && this.moment === "now" ? h("button", { class: "small", "aria-label": `forget ${titles[item]}`, "data-key": `forget ${place}`, onclick: () => this.forget(events, place) }, "×") : null));
    const moments = Object.keys(MOMENTS).filter((moment) => moment === "now" || this.heldOut(moment));
    fill(this.past,
      h("h2", {}, "History"),
      moments.length > 1 ? h("select", { "aria-label": "how much of the log", "data-key": "moment", onchange: (event) => this.change({ moment: event.target.value }, true) }, moments.map((moment) => h("option", { value: moment, selected: moment === this.moment }, MOMENTS[moment]))) : null,
      this.history === null ? null : h("p", { class: "note" }, "Clicked together here. ", this.known() ? h("button", { class: "small", "data-key": "back", onclick: () => this.change({ history: null }) }, "back to the log") : null),
      rows.length ? h("ol", { class: "events", "data-group": "events" }, rows) : h("p", { class: "note" }, "Empty: somebody of whom nothing is known. Click items, and both lists move."),
      latest.length > HISTORY ? h("button", { class: "small", "data-key": "more", onclick: () => { this.all = !this.all; this.showPast(events); } }, this.all ? "fewer" : `and ${latest.length - HISTORY} earlier`) : null,
      rows.length && this.moment === "now" ? h("button", { class: "small", "data-key": "empty", onclick: () => this.change({ history: [] }) }, "start empty") : null);
  }

  /** A changed history holds clicks alone. */
  forget(events, place) {
    const left = events.filter((event, i) => i !== place && event.item !== null);
    this.change({ history: left.map((event) => this.gensar.items.id[event.item]) });
  }

  click(item) {
    const clicked = this.clicked.map((other) => this.gensar.items.id[other]);
    this.change({ history: [...clicked, this.gensar.items.id[item]], moment: "now" });
  }

  showAnswers(task, found) {
    const answers = found.map(({ item }) => ({ item, title: this.gensar.items.title[item] }));
    const items = answers.map(({ item }) => item);
    const moves = movement(this.before[task], items);
    this.before[task] = items;
    this.draw(task, answers, moves);
  }

  draw(task, answers, moves) {
    const marks = new Map(this.clicked.map((item) => [item, "clicked before"]));
    const truly = this.truth && this.moment === task ? this.truth.item : null;
    const opened = this.opened[task] ?? null;
    const open = (item) => {
      this.opened[task] = opened === item ? null : item;
      this.columns.dataset.open = this.opened[task] === null ? "" : task;
      this.draw(task, answers, moves);
    };
    const empty = task === SEARCH ? "No query yet." : "Nothing is left to recommend.";
    const own = answerList({ name: task, answers, moves, marks, truly, view: this.codes ? this.gensar.viewOf(task) : null, gensar: this.gensar, click: (item) => this.click(item), open, opened, why: opened === null ? null : this.why(task, opened), empty });
    const asList = (item) => ({ item, title: this.gensar.items.title[item] });
    const others = this.compare && answers.length ? Object.entries(this.rivals(task)) : [];
    fill(this.panels[task],
      h("h2", {}, HEADS[task], truly !== null && !answers.some(({ item }) => item === truly) ? h("span", { class: "note" }, ` really clicked: ${this.gensar.items.title[truly]}`) : null),
      others.length
        ? h("div", { class: "beside" }, h("div", {}, h("h3", {}, "GenSAR"), own),
          others.map(([name, list]) => h("div", {}, h("h3", {}, name), answerList({ name: `${task} ${name}`, answers: list.map(asList), marks, truly, gensar: this.gensar, empty: "It knows nothing to answer." }))))
        : own);
  }

  /** Every list that is shown, as one table. */
  save() {
    const rows = [];
    for (const task of [SEARCH, RECOMMENDATION]) {
      const query = task === SEARCH ? this.query : "";
      const write = (ranker, list) => list.forEach(({ item, score }, place) =>
        rows.push({ task, query, user: this.user, ranker, place: place + 1, item_id: this.gensar.items.id[item], title: this.gensar.items.title[item], score: score?.toFixed(4) ?? "" }));
      write("gensar", this.asked[task] ? this.gensar.best(this.asked[task], SHOWN, this.hides()) : []);
      if (this.compare) for (const [name, list] of Object.entries(this.rivals(task))) write(name, list.map((item) => ({ item })));
    }
    save("gensar.csv", csv(rows));
  }

  why(task, item) {
    const { title, description, categories } = this.gensar.items;
    const shared = task === SEARCH ? this.index.terms(this.query).filter((term) => this.has(term, item)) : [];
    const near = [...new Set(this.clicked)].map((other) => ({ other, similarity: this.similarity(other, item) })).filter(({ other, similarity }) => similarity > 0 && other !== item);
    near.sort((a, b) => b.similarity - a.similarity);
    return h("div", { class: "why" },
      h("p", {}, [categories?.[item], description?.[item]].filter(Boolean).join(". ")),
      task === SEARCH ? h("p", {}, shared.length ? `Words of the query in its text: ${shared.join(", ")}.` : "No word of the query occurs in its text.") : null,
      near.length ? h("p", {}, `The same people clicked: ${near.slice(0, 3).map(({ other }) => title[other]).join("; ")}.`) : null,
      whyTable(this.gensar, this.meanings, task, this.asked[task], item));
  }

  has(term, item) {
    let found = false;
    this.index.rows(this.index.number.get(term), (other) => (found ||= other === item));
    return found;
  }

  similarity(clicked, item) {
    let found = 0;
    this.gensar.evidence.similar.neighbours(clicked, (other, value) => (found = other === item ? value : found));
    return found;
  }
}
