// The page: reads the packed model, shows the explorers, keeps the address.

import { Gensar } from "./engine/gensar.js";
import { Store, unpack } from "./engine/store.js";
import { Asking } from "./parts/asking.js";
import { BeamView } from "./parts/beam_view.js";
import { CodesView } from "./parts/codes_view.js";
import { Meanings } from "./parts/codes.js";
import { h, readAddress, writeAddress } from "./parts/dom.js";
import { StoreView } from "./parts/store_view.js";
import { Tour, stops } from "./parts/tour.js";
import { WorkView } from "./parts/work_view.js";

const root = document.getElementById("page");
const PAGES = { store: "Store", codes: "Codes", work: "At work", beam: "Beam search" };

class Page {
  constructor(gensar) {
    const { name, preset } = gensar.store.about.store;
    const meanings = new Meanings(gensar);
    this.address = readAddress();
    this.looks = { projector: this.address.projector === "1", dark: this.address.dark === "1" || (this.address.dark === undefined && matchMedia("(prefers-color-scheme: dark)").matches) };
    const told = (settings) => {
      this.written = settings;
      this.write();
    };
    const store = new StoreView(gensar, meanings, this.address, told);
    const asking = new Asking(gensar, store);
    const asked = [gensar, meanings, this.address, asking, told];
    this.views = { store, codes: new CodesView(gensar, meanings, this.address, told), work: new WorkView(...asked), beam: new BeamView(...asked) };
    this.tour = new Tour(stops(gensar.store.about, gensar), (address) => this.go(address));
    this.tabs = Object.entries(PAGES).map(([page, label]) => h("button", { "data-page": page, onclick: () => this.open(page) }, label));
    this.room = h("div");
    root.replaceChildren(
      h("header", {},
        h("h1", {}, "GenSAR", h("span", { class: "note" }, " one model searches and recommends")),
        h("nav", { class: "looks", "aria-label": "explorers" }, this.tabs),
        h("p", { class: "note about" }, `${name}: ${gensar.items.id.length.toLocaleString("en")} items · model ${preset}`),
        h("div", { class: "looks" }, this.tour.button, this.look("projector", "Projector"), this.look("dark", "Dark"))),
      this.tour.element,
      this.room,
      h("footer", { class: "note" }, `The model runs in this page: nothing is sent anywhere. ${gensar.store.about.made_by}. In the browser's console: `, h("code", {}, 'gensar.search("tent", { history: [], k: 5 })')));
    this.open(this.address.page in PAGES ? this.address.page : "store");
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
      this.write();
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
  window.gensar = new Gensar(new Store(about, await unpack(document.getElementById("arrays").textContent)));
  const page = new Page(window.gensar);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || /input|select|textarea/i.test(event.target.tagName)) return;
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
