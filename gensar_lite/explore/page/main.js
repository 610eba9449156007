// The page: reads the packed model, shows the explorers, keeps the address.

import { Gensar } from "./engine/gensar.js";
import { Store, unpack } from "./engine/store.js";
import { Asking } from "./parts/asking.js";
import { BeamView } from "./parts/beam_view.js";
import { CodesView } from "./parts/codes_view.js";
import { Meanings } from "./parts/codes.js";
import { FilmView } from "./parts/film_view.js";
import { h, readAddress, writeAddress } from "./parts/dom.js";
import { StoreView } from "./parts/store_view.js";
import { TradeoffView } from "./parts/tradeoff_view.js";
import { Tour, stops } from "./parts/tour.js";
import { WorkView } from "./parts/work_view.js";

const root = document.getElementById("page");
const PAGES = { store: "Store", codes: "Codes", work: "At work", beam: "Beam search", film: "Learning", tradeoff: "Trade-off" };

class Page {
  /** `gensar` is null on a page that shows no model. */
  constructor(about, store, gensar) {
    this.address = readAddress();
    this.looks = { projector: this.address.projector === "1", dark: this.address.dark === "1" || (this.address.dark === undefined && matchMedia("(prefers-color-scheme: dark)").matches) };
    const told = (settings) => {
      this.written = settings;
      this.write();
    };
    this.views = this.makeViews(about, store, gensar, told);
    this.tour = gensar && new Tour(stops(about, gensar), (address) => this.go(address));
    this.tabs = Object.entries(PAGES).filter(([page]) => page in this.views).map(([page, label]) => h("button", { "data-page": page, onclick: () => this.open(page) }, label));
    this.room = h("div");
    root.replaceChildren(
      h("header", {},
        h("h1", {}, "GenSAR", h("span", { class: "note" }, " one model searches and recommends")),
        h("nav", { class: "looks tabs", "aria-label": "explorers" }, this.tabs),
        h("p", { class: "note about" }, gensar && `${about.store.name}: ${gensar.items.id.length.toLocaleString("en")} items · model ${about.store.preset}`),
        h("div", { class: "looks" }, this.tour?.button, this.look("projector", "Projector"), this.look("dark", "Dark"))),
      this.tour?.element ?? "",
      this.room,
      h("footer", { class: "note" }, gensar ? ["The model runs in this page: nothing is sent anywhere. In the browser's console: ", h("code", {}, 'gensar.search("tent", { history: [], k: 5 })'), ". "] : null, `${about.made_by}.`));
    this.open(this.address.page in this.views ? this.address.page : Object.keys(this.views)[0]);
  }

  makeViews(about, store, gensar, told) {
    const views = {};
    const settings = this.address;
    let asking = null;
    if (gensar) {
      const meanings = new Meanings(gensar);
      views.store = new StoreView(gensar, meanings, settings, told);
      asking = new Asking(gensar, views.store);
      views.codes = new CodesView(gensar, meanings, settings, told);
      views.work = new WorkView(gensar, meanings, settings, asking, told);
      views.beam = new BeamView(gensar, meanings, settings, asking, told);
    }
    if (about.film) views.film = new FilmView(store, about.film, settings, told, gensar?.items.title ?? null);
    if (TradeoffView.has(about)) views.tradeoff = new TradeoffView(about, gensar, settings, asking, told);
    return views;
  }

  open(page) {
    this.page = page;
    for (const tab of this.tabs) tab.setAttribute("aria-pressed", String(tab.dataset.page === page));
    this.room.replaceChildren(this.views[page].element);
    this.views[page].show();
  }

  /** Show what an address says. */
  go(address) {
    for (const view of Object.values(this.views)) view.read(address);
    this.views.store.before = { search: [], recommendation: [] };
    this.open(address.page);
  }

  /** A switch of the whole page: a class of the document, kept in the address. */
  look(name, label) {
    const set = () => {
      document.documentElement.classList.toggle(name, this.looks[name]);
      button.setAttribute("aria-pressed", String(this.looks[name]));
    };
    const button = h("button", { onclick: () => {
      this.looks[name] = !this.looks[name];
      set();
      this.views[this.page].show(); // drawings take the room and the colours that there are now
    } }, label);
    set();
    return button;
  }

  write() {
    const { projector, dark } = this.looks;
    const asked = matchMedia("(prefers-color-scheme: dark)").matches;
    writeAddress({ page: this.page, ...this.written, projector, dark: dark === asked ? null : dark ? "1" : "0" });
  }
}

async function open() {
  if (typeof DecompressionStream === "undefined") throw new Error("this browser is too old for the page; open it in one of 2023 or later");
  const about = JSON.parse(document.getElementById("about").textContent);
  const store = new Store(about, await unpack(document.getElementById("arrays").textContent));
  if (about.model) window.gensar = new Gensar(store);
  const page = new Page(about, store, window.gensar ?? null);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || /input|select|textarea/i.test(event.target.tagName)) return;
    if (!window.gensar) return;
    event.preventDefault();
    page.open("store");
    document.getElementById("query").focus();
  });
  window.addEventListener("hashchange", () => location.reload());
}

open().catch((error) => {
  console.error(error);
  root.replaceChildren(h("p", { class: "warn", role: "alert" }, `This page cannot be shown: ${error.message}. Make it again with gensar-lite export, or take a complete copy.`));
});
