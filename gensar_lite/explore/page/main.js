// The page: reads the packed model, shows the explorers, keeps the address.

import { Gensar } from "./engine/gensar.js";
import { Store, unpack } from "./engine/store.js";
import { h, readAddress, writeAddress } from "./parts/dom.js";
import { StoreView } from "./parts/store_view.js";

const root = document.getElementById("page");

/** A switch of the whole page, kept in the address: a class of the document. */
function look(name, label, address) {
  const set = (on) => {
    document.documentElement.classList.toggle(name, on);
    button.setAttribute("aria-pressed", String(on));
  };
  const button = h("button", { onclick: () => {
    address[name] = !document.documentElement.classList.contains(name);
    set(address[name]);
    writeAddress(address);
  } }, label);
  set(address[name] === "1" || address[name] === true);
  return button;
}

async function open() {
  if (typeof DecompressionStream === "undefined") throw new Error("this browser is too old for the page; open it in one of 2023 or later");
  const about = JSON.parse(document.getElementById("about").textContent);
  const gensar = new Gensar(new Store(about, await unpack(document.getElementById("arrays").textContent)));
  window.gensar = gensar;
  const address = readAddress();
  const { name, preset } = about.store;
  const size = `${about.items.id.length.toLocaleString("en")} items`;
  const view = new StoreView(gensar, address, (settings) => writeAddress(Object.assign(address, settings)));
  root.replaceChildren(
    h("header", {},
      h("h1", {}, "GenSAR", h("span", { class: "note" }, " one model searches and recommends")),
      h("p", { class: "note about" }, `${name}: ${size} · model ${preset} · ${about.made_by}`),
      h("div", { class: "looks" }, look("projector", "Projector", address), look("dark", "Dark", address))),
    view.element,
    h("footer", { class: "note" }, "The model runs in this page: nothing is sent anywhere. In the browser's console: ", h("code", {}, 'gensar.search("tent", { history: [], k: 5 })')));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || /input|select|textarea/i.test(event.target.tagName)) return;
    event.preventDefault();
    document.getElementById("query").focus();
  });
  window.addEventListener("hashchange", () => location.reload());
}

open().catch((error) => {
  console.error(error);
  root.replaceChildren(h("p", { class: "warn", role: "alert" }, `This page cannot be shown: ${error.message}. Make it again with gensar-lite export, or take a complete copy.`));
});
