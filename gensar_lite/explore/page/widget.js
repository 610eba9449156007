// The film as a widget of a notebook (anywidget): Python sends it again while the training goes on.

import { Store } from "./engine/store.js";
import { FilmView } from "./parts/film_view.js";
import { h } from "./parts/dom.js";

export function render({ model, el }) {
  const room = h("main", { class: "gensar-page" }, h("p", { class: "note" }, "Nothing is recorded yet."));
  const style = h("style", {}, model.get("style").replaceAll(":root", ":host"));
  el.attachShadow({ mode: "open" }).append(style, room); // the notebook keeps its own style, the film has the page's
  let view = null;
  const show = () => {
    const { film, ...about } = model.get("about");
    if (!film) return;
    const bytes = model.get("arrays");
    const store = new Store(about, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    if (!view) {
      view = new FilmView(store, film);
      room.replaceChildren(view.element);
    } else {
      view.take(store, film);
      view.frame = film.frames.length - 1;
      view.book = Math.min(view.book, film.books.length - 1);
    }
    view.show();
  };
  model.on("change:arrays", show);
  show();
}
