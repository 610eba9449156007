// What codes mean: the tree of a kind of identifier beside a map of all items; each lights up in the other.

import { codeChip } from "./codes.js";
import { fill, h, larger } from "./dom.js";
import { csv, save, saveButtons } from "./save.js";

const VIEWS = { semantic: "semantic identifiers", collaborative: "collaborative identifiers" };
const MAPS = { semantic: "alike in text", collaborative: "clicked by the same people" };
const LABELS = 20;
const FOUND = 30;

export class CodesView {
  constructor(gensar, meanings, settings, told) {
    Object.assign(this, { gensar, meanings, told });
    this.read(settings);
    this.controls = h("div", { class: "asking" });
    this.tree = h("div", { class: "tree" });
    this.canvas = h("canvas", { tabindex: "0", role: "img", "aria-label": "map of all items" });
    this.tip = h("div", { class: "tip", hidden: true });
    this.list = h("section", { class: "panel", "aria-label": "items of the chosen code" });
    this.element = h("div", {}, this.controls, h("div", { class: "linked" }, h("div", {}, this.tree, this.list), h("div", { class: "panel map" }, this.canvas, this.tip)));
    this.listen();
  }

  read({ view, map, path, words }) {
    this.viewName = view in VIEWS ? view : "semantic";
    this.mapName = map in MAPS ? map : "semantic";
    this.path = this.known((path ?? "").split(".").filter(Boolean).map(Number)); // trie nodes, one a level
    this.words = words ?? "";
    this.zoom = { scale: 1, x: 0, y: 0 };
    this.inside = null; // items that a lasso caught
    this.loop = []; // its corners on the canvas
  }

  /** The nodes of a path as far as it leads down the tree. */
  known(path) {
    const found = [];
    for (const node of path) {
      const level = found.length;
      if (level === this.view.trie.numLevels || !this.view.trie.childrenOf(level, found.at(-1) ?? 0).includes(node)) break;
      found.push(node);
    }
    return found;
  }

  settings() {
    return { view: this.viewName, map: this.mapName, path: this.path.join(".") || null, words: this.words || null };
  }

  change(settings) {
    Object.assign(this, { inside: null, loop: [] }, settings);
    this.show();
  }

  get view() {
    return this.gensar.views[this.viewName];
  }

  show() {
    this.lit = new Set(this.found());
    this.showControls();
    this.showTree();
    this.showList();
    this.draw();
    this.told(this.settings());
  }

  /** The items of a trie node of a level. */
  below(level, node) {
    const { items, leaves } = this.view.trie;
    return [...items.subarray(leaves[level + 1][node], leaves[level + 1][node + 1])];
  }

  /** The items that light up: what the lasso caught, what the words match, or what the chosen code holds. */
  found() {
    if (this.inside) return this.inside;
    if (this.words.trim()) {
      const scores = this.gensar.index.scores(this.words);
      return this.gensar.items.id.map((_, item) => item).filter((item) => scores[item] > 0).sort((a, b) => scores[b] - scores[a]).slice(0, FOUND);
    }
    if (!this.path.length) return [];
    return this.below(this.path.length - 1, this.path.at(-1));
  }

  showControls() {
    const pick = (key, value, label) => h("button", { "data-key": `${key} ${value}`, "aria-pressed": String(this[key] === value), onclick: () => this.change(key === "viewName" ? { viewName: value, path: [] } : { [key]: value }) }, label);
    const typed = h("input", { type: "search", value: this.words, "data-key": "words", "aria-label": "light up the items that match", placeholder: "find on the map", size: 16, onchange: () => this.change({ words: typed.value, path: [] }) });
    fill(this.controls, h("p", { class: "chips" },
      Object.entries(VIEWS).map(([name, label]) => pick("viewName", name, label)), h("span", { class: "note" }, "map: near is"),
      Object.entries(MAPS).filter(([name]) => this.gensar.store.has(`map.${name}`)).map(([name, label]) => pick("mapName", name, label)), typed,
      h("button", { "data-key": "lasso", "aria-pressed": String(Boolean(this.catching)), title: "draw around items on the map", onclick: () => { this.catching = !this.catching; this.change({}); } }, "lasso"),
      saveButtons("map", () => this.canvas, ["png"])));
  }

  showTree() {
    const columns = [];
    for (let level = 0, above = 0; level <= this.path.length && level < this.view.trie.numLevels; level++) {
      const rows = this.view.trie.childrenOf(level, above).map((node) => ({ node, items: this.view.trie.numLeaves(level + 1, node) }));
      rows.sort((a, b) => b.items - a.items);
      columns.push(h("div", { class: "level", "data-group": `level ${level}` }, h("h3", {}, `code ${level + 1}, codebook ${this.view.names[level]}`),
        h("ol", {}, rows.map(({ node, items }) => h("li", {}, this.code(level, node, items))))));
      if (level === this.path.length) break;
      above = this.path[level];
    }
    fill(this.tree, columns.slice(-2));
  }

  code(level, node, items) {
    const chosen = this.path[level] === node;
    const meaning = this.meanings.of(this.viewName, level, node);
    const words = items === 1 ? this.gensar.items.title[this.view.trie.items[this.view.trie.leaves[level + 1][node]]] : meaning.words.join(", ");
    const act = () => this.change({ path: chosen ? this.path.slice(0, level) : [...this.path.slice(0, level), node], words: "" });
    return h("button", { class: "node", "data-key": `node ${level} ${node}`, "aria-pressed": String(chosen), onclick: act },
      codeChip(this.view.names[level], this.view.trie.codes[level][node]), h("span", { class: "number" }, String(items)), h("span", { class: "words", dir: "auto" }, words));
  }

  showList() {
    const items = [...this.lit];
    const what = this.inside ? `${items.length} items inside the lasso${items.length ? `: ${this.meanings.shared(items).slice(0, 4).join(", ")}` : ""}` : this.words.trim() ? `${items.length} items match` : this.path.length ? `${items.length} ${items.length === 1 ? "item begins" : "items begin"} like this` : "Choose a code: its items light up on the map. Or click a point.";
    fill(this.list, h("p", { class: "note", role: "status" }, what, " ", items.length ? h("button", { class: "small", "data-key": "csv", onclick: () => this.save(items) }, "save them (CSV)") : null),
      h("ol", { class: "events" }, items.slice(0, 12).map((item) => h("li", {}, h("span", { dir: "auto" }, this.gensar.items.title[item]),
        h("button", { class: "small", "data-key": `follow ${item}`, "aria-label": `follow ${this.gensar.items.title[item]} down the tree`, onclick: () => this.follow(item) }, "follow")))));
  }

  save(items) {
    const { id, title } = this.gensar.items;
    save("items.csv", csv(items.map((item) => ({ item_id: id[item], title: title[item], identifier: this.gensar.identifier(this.view, item) }))));
  }

  follow(item) {
    this.change({ path: this.view.trie.path(item), words: "" });
  }

  /** Where each item lies on the canvas. */
  place() {
    const points = this.gensar.store.matrix(`map.${this.mapName}`);
    const [xs, ys] = [points.map((point) => point[0]), points.map((point) => point[1])];
    const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const { width, height } = this.canvas;
    const { scale, x, y } = this.zoom;
    const margin = 24 * devicePixelRatio;
    const into = (value, first, last, size) => margin + ((value - first) / (last - first || 1)) * (size - 2 * margin);
    this.points = points.map((_, item) => [
      (into(xs[item], left, right, width) - width / 2) * scale + width / 2 + x,
      (into(ys[item], low, high, height) - height / 2) * scale + height / 2 + y,
    ]);
  }

  draw() {
    const box = this.canvas.getBoundingClientRect();
    const unit = devicePixelRatio;
    Object.assign(this.canvas, { width: Math.round(box.width * unit), height: Math.round(box.height * unit) });
    this.place();
    const size = unit * larger();
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const paint = this.canvas.getContext("2d");
    const { trie } = this.view;
    const first = trie.childrenOf(0, 0).sort((a, b) => trie.numLeaves(1, b) - trie.numLeaves(1, a));
    first.forEach((node, n) => { // the items of a code in one colour, until some of them are lit
      paint.fillStyle = colour(this.lit.size ? "--faint" : `--group-${n % 6}`);
      for (const item of this.below(0, node)) if (!this.lit.has(item)) dot(paint, ...this.points[item], 2.8 * size);
    });
    paint.fillStyle = colour(this.viewName === "semantic" ? "--semantic" : "--collaborative");
    paint.strokeStyle = colour("--ink");
    for (const item of this.lit) {
      dot(paint, ...this.points[item], 5 * size);
      paint.stroke();
    }
    this.canvas.setAttribute("aria-label", `map of all ${this.points.length} items, ${this.lit.size} of them lit; arrows move it, + and - zoom`);
    this.label(paint, colour, size, [...this.path.slice(0, 1), ...first]);
    if (!this.loop.length) return;
    paint.strokeStyle = colour("--strong");
    paint.lineWidth = 2 * unit;
    paint.beginPath();
    this.loop.forEach((corner) => paint.lineTo(...corner));
    paint.closePath();
    paint.stroke();
  }

  /** The items within the lasso: a line to the right of them crosses it an odd number of times. */
  caught() {
    const { loop } = this;
    const crosses = ([x, y]) => loop.filter(([a, b], i) => {
      const [c, d] = loop[(i + 1) % loop.length];
      return b > y !== d > y && x < a + ((y - b) / (d - b)) * (c - a);
    }).length;
    return this.points.flatMap((point, item) => (crosses(point) % 2 ? [item] : []));
  }

  /** The commonest words of the largest first codes, where their items lie. */
  label(paint, colour, unit, nodes) {
    paint.font = `${14 * unit}px system-ui, "DejaVu Sans", sans-serif`;
    paint.textAlign = "center";
    const written = [];
    for (const node of nodes) {
      const items = this.below(0, node);
      const middle = (axis) => items.map((item) => this.points[item][axis]).sort((a, b) => a - b)[items.length >> 1];
      const words = this.meanings.of(this.viewName, 0, node, 2).words.join(", ");
      const half = paint.measureText(words).width / 2 + 4 * unit;
      const [x, y] = [Math.min(Math.max(middle(0), half), this.canvas.width - half), middle(1)];
      if (written.length === LABELS) break;
      if (written.some(([u, v, other]) => Math.abs(u - x) < half + other && Math.abs(v - y) < 38 * unit)) continue;
      written.push([x, y, half]);
      paint.lineWidth = 4 * unit;
      paint.strokeStyle = colour("--card");
      paint.strokeText(words, x, y);
      paint.fillStyle = colour(this.lit.size && node !== this.path[0] ? "--muted" : "--ink");
      paint.fillText(words, x, y);
      paint.lineWidth = unit;
    }
  }

  /** The item nearest to the pointer, if it is near. */
  under(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) * devicePixelRatio, (event.clientY - box.top) * devicePixelRatio];
    let [near, least] = [null, (14 * devicePixelRatio) ** 2];
    this.points?.forEach(([u, v], item) => {
      const distance = (u - x) ** 2 + (v - y) ** 2;
      if (distance < least) [near, least] = [item, distance];
    });
    return near;
  }

  /** Zoom, and move by so many pixels. */
  zoomTo(wished, x = 0, y = 0) {
    const scale = Math.min(Math.max(wished, 1), 20);
    const change = scale / this.zoom.scale;
    this.zoom = scale === 1 ? { scale, x: 0, y: 0 } : { scale, x: this.zoom.x * change + x, y: this.zoom.y * change + y };
    this.draw();
  }

  listen() {
    let from = null;
    let moved = false;
    const corner = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [(event.clientX - box.left) * devicePixelRatio, (event.clientY - box.top) * devicePixelRatio];
    };
    this.canvas.addEventListener("pointerup", () => {
      if (this.catching && this.loop.length > 2) this.change({ inside: this.caught(), loop: this.loop, path: [], words: "" });
    });
    this.canvas.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
      const zooms = { "+": 1.25, "=": 1.25, "-": 0.8 };
      if (!(event.key in moves) && !(event.key in zooms)) return;
      event.preventDefault();
      const [x, y] = moves[event.key] ?? [0, 0];
      this.zoomTo(this.zoom.scale * (zooms[event.key] ?? 1), x, y);
    });
    this.canvas.addEventListener("pointerdown", (event) => {
      if (this.catching) this.loop = [corner(event)];
      from = { x: event.clientX, y: event.clientY, zoom: { ...this.zoom } };
      moved = false;
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (from && event.buttons) {
        const [x, y] = [event.clientX - from.x, event.clientY - from.y];
        moved ||= Math.hypot(x, y) > 4;
        if (this.catching) {
          this.loop.push(corner(event));
          return this.draw();
        }
        Object.assign(this.zoom, { x: from.zoom.x + x * devicePixelRatio, y: from.zoom.y + y * devicePixelRatio });
        this.draw();
        return;
      }
      const item = this.under(event);
      this.tip.hidden = item === null;
      if (item === null) return;
      this.tip.textContent = `${this.gensar.items.title[item]} ${this.gensar.identifier(this.view, item)}`;
      const box = this.canvas.getBoundingClientRect();
      Object.assign(this.tip.style, { left: `${Math.min(event.clientX - box.left + 14, box.width - 260)}px`, top: `${event.clientY - box.top + 14}px` });
    });
    this.canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
    this.canvas.addEventListener("click", (event) => {
      const item = this.under(event);
      if (!moved && item !== null) this.follow(item);
    });
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomTo(this.zoom.scale * 1.0015 ** -event.deltaY);
    }, { passive: false });
    new ResizeObserver(() => this.lit && this.draw()).observe(this.canvas);
  }
}

function dot(paint, x, y, radius) {
  paint.beginPath();
  paint.arc(x, y, radius, 0, 7);
  paint.fill();
}
