// Codebooks learning: a film of the joint RQ-VAE. Items lie where their latent vectors do, codes walk to where they are needed.

import { sum } from "../engine/gensar.js";
import { codeChip, roleOf } from "./codes.js";
import { fill, h, larger, svg, whole } from "./dom.js";
import { saveButtons } from "./save.js";

const PACE = 110; // milliseconds a frame
const SIGNALS = ["text", "clicks"];

/** The effective number of codes in use: 2 to the entropy of their shares. */
export function perplexity(counts) {
  const total = sum([...counts]);
  return total ? 2 ** -sum([...counts].filter(Boolean).map((count) => (count / total) * Math.log2(count / total))) : 0;
}

export class FilmView {
  /** `store` holds the film's arrays (see `Store`), `film` says what they are; `titles` names its items. */
  constructor(store, film, settings = {}, told = () => {}, titles = null) {
    Object.assign(this, { told, titles });
    this.take(store, film);
    this.read(settings);
    this.controls = h("div", { class: "asking" });
    this.canvas = h("canvas", { tabindex: "0", role: "img" });
    this.tip = h("div", { class: "tip", hidden: true });
    this.beside = h("section", { class: "panel", "aria-label": "what the codes do" });
    this.element = h("div", { class: "film" }, this.controls, h("div", { class: "linked tradeoff" }, h("div", { class: "panel map" }, this.canvas, this.tip), this.beside));
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
    new ResizeObserver(() => this.canvas.isConnected && this.draw()).observe(this.canvas);
  }

  /** Another film, or the same one grown. */
  take(store, film) {
    Object.assign(this, { film });
    this.books = film.books.map((book, p) => {
      const parts = Object.fromEntries(["points", "books", "codes", "use"].map((part) => [part, store.array(`film.${p}.${part}`)]));
      return { ...book, ...parts };
    });
    this.frame = Math.min(this.frame ?? Infinity, film.frames.length - 1);
  }

  read({ book, frame }) {
    this.book = Math.max(this.books.findIndex(({ name }) => name === book), 0);
    const last = this.film.frames.length - 1;
    this.frame = Math.min(Math.max(whole(frame, last), 0), last);
  }

  settings() {
    return { book: this.books[this.book].name, frame: this.frame };
  }

  show() {
    this.stop();
    this.showControls();
    this.step(this.frame);
  }

  stop() {
    clearInterval(this.playing);
    this.playing = null;
  }

  play() {
    if (this.playing) {
      this.stop();
      return this.show();
    }
    if (this.frame === this.film.frames.length - 1) this.frame = 0;
    this.playing = setInterval(() => {
      if (!this.element.isConnected || this.frame === this.film.frames.length - 1) return this.show();
      this.step(this.frame + 1);
    }, PACE);
    this.showControls();
  }

  showControls() {
    const last = this.film.frames.length - 1;
    this.range = h("input", { type: "range", min: 0, max: last, step: 1, value: this.frame, "data-key": "frame", "aria-label": "moment of the training", oninput: (event) => { this.stop(); this.step(Number(event.target.value)); } });
    fill(this.controls,
      h("p", { class: "chips" }, h("span", { class: "note" }, "codebook"), this.books.map(({ name }, p) => h("button", { "data-key": `book ${name}`, "aria-pressed": String(p === this.book), onclick: () => { this.book = p; this.show(); } }, name)),
        saveButtons("codebooks", () => this.canvas, ["png"])),
      h("div", { class: "mixing" }, h("button", { "data-key": "play", onclick: () => this.play() }, this.playing ? "❚❚ stop" : "▶ play"), this.range));
  }

  step(frame) {
    this.frame = frame;
    if (this.range) this.range.value = frame;
    this.draw();
    this.showBeside();
    this.told(this.settings());
  }

  /** Parts of this moment: {points, codes, use, centres (null before the codebooks are set)}. */
  now() {
    const { points, books, codes, use, size } = this.books[this.book];
    const num = this.film.items.length;
    const cut = (values, width) => values.subarray(this.frame * width, (this.frame + 1) * width);
    const set = this.film.frames[this.frame].quantised !== null;
    return { points: cut(points, 2 * num), codes: cut(codes, num), use: cut(use, size), centres: set ? cut(books, 2 * size) : null };
  }

  draw() {
    const box = this.canvas.getBoundingClientRect();
    Object.assign(this.canvas, { width: Math.round(box.width * devicePixelRatio), height: Math.round(box.height * devicePixelRatio) });
    const unit = devicePixelRatio * larger();
    const { width, height } = this.canvas;
    const margin = 22 * unit;
    const at = (values, i) => [margin + (values[2 * i] / 255) * (width - 2 * margin), margin + (values[2 * i + 1] / 255) * (height - 2 * margin)];
    const { points, codes, use, centres } = this.now();
    const colour = (name) => getComputedStyle(this.element).getPropertyValue(name).trim();
    const paint = this.canvas.getContext("2d");
    const dot = (x, y, radius) => { paint.beginPath(); paint.arc(x, y, radius, 0, 7); };
    this.places = this.film.items.map((_, i) => at(points, i));
    paint.lineWidth = unit;
    paint.strokeStyle = colour("--line");
    if (centres) this.places.forEach((place, i) => { paint.beginPath(); paint.moveTo(...place); paint.lineTo(...at(centres, codes[i])); paint.stroke(); });
    paint.fillStyle = colour("--faint");
    for (const [x, y] of this.places) { dot(x, y, 3 * unit); paint.fill(); }
    if (!centres) return;
    const most = Math.max(...use);
    const { name, size } = this.books[this.book];
    paint.font = `600 ${11 * unit}px system-ui, "DejaVu Sans", sans-serif`;
    paint.textAlign = "center";
    paint.textBaseline = "middle";
    for (let code = 0; code < size; code++) {
      const [x, y] = at(centres, code);
      paint.lineWidth = 2 * unit;
      if (use[code]) {
        dot(x, y, (5 + 11 * Math.sqrt(use[code] / most)) * unit);
        paint.fillStyle = colour(`--${roleOf(name)}`);
        paint.strokeStyle = colour("--card");
        paint.fill();
        paint.stroke();
        if (size <= 64) { paint.fillStyle = roleOf(name) === "collaborative" ? "#1f2430" : "#fff"; paint.fillText(String(code), x, y); }
      } else {
        paint.strokeStyle = colour("--down");
        paint.beginPath();
        for (const [u, v] of [[-5, -5], [-5, 5]]) { paint.moveTo(x + u * unit, y + v * unit); paint.lineTo(x - u * unit, y - v * unit); }
        paint.stroke();
      }
    }
  }

  /** Names the item under the pointer. */
  point(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) * devicePixelRatio, (event.clientY - box.top) * devicePixelRatio];
    const near = this.places?.findIndex(([u, v]) => Math.hypot(u - x, v - y) < 8 * devicePixelRatio) ?? -1;
    this.tip.hidden = near < 0 || !this.titles;
    if (this.tip.hidden) return;
    this.tip.textContent = this.titles[this.film.items[near]];
    Object.assign(this.tip.style, { left: `${Math.min(event.clientX - box.left + 14, box.width - 260)}px`, top: `${event.clientY - box.top + 14}px` });
  }

  showBeside() {
    const { use, centres } = this.now();
    const { name, size } = this.books[this.book];
    const { step, plain, quantised } = this.film.frames[this.frame];
    const dead = [...use].filter((count) => !count).length;
    const words = centres ? `${size - dead} of ${size} codes of ${name} are in use${dead ? `, ${dead} are dead (crosses)` : ""}; as evenly as ${perplexity(use).toFixed(1)} codes used alike.`
      : "The codebooks are not set yet: an auto-encoder learns alone, so that items find their places first.";
    this.canvas.setAttribute("aria-label", `Items and the codes of ${name} after ${step} steps. ${words}`);
    const losses = plain.map((value, s) => `${SIGNALS[s] ?? `signal ${s + 1}`} ${(quantised ?? plain)[s].toFixed(3)}`).join(", ");
    fill(this.beside,
      h("h2", {}, `After ${step} steps`),
      h("p", { role: "status" }, words),
      centres && [h("h3", {}, `items of each code of ${name}, the most used first`), this.bars(use)],
      h("h3", {}, "what reconstruction loses (1: all of it)"), this.losses(),
      h("p", { class: "note" }, `${quantised ? "Through the codes" : "The auto-encoder alone"}, at this moment: ${losses}. ${this.film.num_items.toLocaleString("en")} items learn, ${this.film.items.length} are drawn, in the plane in which they differ most at the end${this.book ? `; what earlier codebooks left over` : ""}.`));
  }

  bars(use) {
    const sorted = [...use].sort((a, b) => b - a);
    const [wide, most] = [400 / sorted.length, Math.max(...sorted, 1)];
    return svg("svg", { class: "bars", viewBox: "0 0 400 90", role: "img", "aria-label": `the most used code has ${sorted[0]} items, the least ${sorted.at(-1)}` },
      sorted.map((count, i) => svg("rect", { class: count ? roleOf(this.books[this.book].name) : "cut", x: i * wide + wide * 0.12, y: 88 - Math.max((84 * count) / most, 2), width: wide * 0.76, height: Math.max((84 * count) / most, 2) })));
  }

  /** Two lines a signal: through the codes, and the auto-encoder alone (dotted). */
  losses() {
    const { frames } = this.film;
    const [wide, high] = [400, 120];
    const top = Math.min(Math.max(...frames.flatMap(({ plain, quantised }) => [...plain, ...(quantised ?? [])])), 1.2);
    const x = (i) => 30 + (i / Math.max(frames.length - 1, 1)) * (wide - 40);
    const y = (value) => 6 + (1 - Math.min(value, top) / top) * (high - 22);
    const line = (key, s, dotted) => {
      const points = frames.map((frame, i) => frame[key] && [x(i), y(frame[key][s])]).filter(Boolean);
      return points.length ? svg("path", { d: `M${points.join("L")}`, fill: "none", stroke: `var(--group-${s})`, "stroke-width": 2, "stroke-dasharray": dotted ? "2 4" : null }) : null;
    };
    const names = frames[0].plain.map((_, s) => SIGNALS[s] ?? `signal ${s + 1}`);
    return [svg("svg", { class: "bars", viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": "reconstruction error along the training" },
      [0, top].map((value) => [svg("path", { class: "grid", d: `M30,${y(value)}H${wide - 10}` }), svg("text", { x: 26, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(1))]),
      names.map((_, s) => [line("plain", s, true), line("quantised", s, false)]),
      svg("path", { d: `M${x(this.frame)},4V${high - 14}`, stroke: "var(--ink)" })),
    h("p", { class: "note" }, names.map((signal, s) => [h("span", { style: `color:var(--group-${s})` }, `━ ${signal}`), " "]), "through the codes; dotted: the auto-encoder alone")];
  }
}
