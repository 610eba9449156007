// A guided tour: each stop sets the state that it speaks of.

import { h } from "./dom.js";

/** Eight stops, of what the page has: {address, head, words}. */
export function stops({ people, examples, users, film, slider }, gensar) {
  const [first, second] = people.map(({ user }) => user);
  const person = first ?? users[0];
  const query = examples[0] ?? gensar.items.title[0];
  const asked = { page: "store", user: person ?? "", query };
  const another = second && { address: { ...asked, user: second }, head: "Another person", words: "The query is the same, the history is another one. Recommendations change, and the order of what is found may." };
  const names = { address: { page: "codes", view: "collaborative", map: "collaborative" }, head: "Two names for every item", words: "For recommendation an item has another name. It begins with the same codes and ends with codes that speak of who clicks it." };
  const learning = film && { address: { page: "film", book: film.books[0].name, frame: "0" }, head: "How the codes came about", words: "Press play: an auto-encoder learns alone until the codes are set; then codes and items move together. Discs are as large as their codes are used." };
  const truth = person && { address: { ...asked, moment: "search", compare: "1" }, head: "What really happened", words: "The history ends before this person's last search, the query is the one that was typed, and a star marks what was clicked then, where a list holds it. Beside the model stand BM25, which knows words alone, and item-kNN, which knows clicks alone." };
  const moved = slider && { address: { ...asked, page: "tradeoff", mix: "0.5" }, head: "Search against recommendation", words: "Two fine-tunes of this model, one for each task. Move the slider: every weight moves between them, the lists are answered anew, and the ring follows on the curve that was measured." };
  return [
    { address: asked, head: "One model, two lists", words: `The same weights answer the query “${query}” and recommend. Type another query: the list at the right stays, because it was not asked.` },
    learning ? null : another,
    { address: { ...asked, user: "", history: "" }, head: "Somebody new", words: "Nothing is known of this person yet. Press “click” beside an item or two: they join the history, and arrows show how both lists move." },
    truth,
    { address: { page: "codes" }, head: "What the model writes", words: "An item's name is a few codes. Click one in the list: its items light up on the map. Words beside a code are those that its items share." },
    moved ? null : names,
    learning,
    { address: { ...asked, page: "work", network: "1", code: "3" }, head: "The model at work", words: "Above, what it reads, and how much it looks at each position while it writes the third code. Below, the codes that may come. Switch the trie off: codes that lead to no item come back, and nothing else changes." },
    { address: { ...asked, page: "beam", step: "0" }, head: "Code by code", words: "Nothing is written yet. Press “write the next code”: the most probable beginnings stay, and the last code names an item." },
    moved,
  ].filter(Boolean);
}

export class Tour {
  /** `go` opens an address. */
  constructor(all, go) {
    Object.assign(this, { all, go, place: -1 });
    this.element = h("aside", { class: "tour", hidden: true, "aria-label": "guided tour" });
    this.button = h("button", { onclick: () => this.stop(this.place < 0 ? 0 : -1) }, "Tour");
  }

  stop(place) {
    this.place = place < this.all.length ? place : -1;
    this.element.hidden = this.place < 0;
    this.button.setAttribute("aria-pressed", String(this.place >= 0));
    if (this.place < 0) return;
    const { address, head, words } = this.all[this.place];
    this.go(address);
    const last = this.place === this.all.length - 1;
    const next = h("button", { onclick: () => this.stop(this.place + 1) }, last ? "finish" : "next ▶");
    this.element.replaceChildren(h("p", { role: "status" }, h("strong", {}, `${this.place + 1} of ${this.all.length} · ${head}. `), words),
      h("p", {}, h("button", { disabled: this.place === 0, onclick: () => this.stop(this.place - 1) }, "◀ back"), " ", next));
    next.focus();
  }
}
