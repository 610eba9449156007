// Search against recommendation: the plane in which each model is a point.

import { h, pressable, roomIn, svg } from "./dom.js";

const [NARROW, WIDE] = [340, 760];
const [LEFT, RIGHT, TOP, BOTTOM] = [72, 16, 16, 52];
const DASHES = [null, "8 4", "2 4", "10 4 2 4", "5 5"];
const SHAPES = [
  (r) => `M${-r},0A${r},${r} 0 1,0 ${r},0A${r},${r} 0 1,0 ${-r},0z`,
  (r) => `M${-r},${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (r) => `M0,${-1.3 * r}L${1.3 * r},0L0,${1.3 * r}L${-1.3 * r},0z`,
  (r) => `M0,${-1.25 * r}L${1.2 * r},${0.9 * r}L${-1.2 * r},${0.9 * r}z`,
  (r) => `M0,${1.25 * r}L${1.2 * r},${-0.9 * r}L${-1.2 * r},${-0.9 * r}z`,
];

/** The shape and the colour of the n-th curve, the same in the plane and in a legend. */
export function sign(n, filled = true) {
  const colour = `var(--group-${n % 6})`;
  return { d: SHAPES[n % SHAPES.length](6.5), stroke: colour, fill: filled ? colour : "var(--card)", "stroke-width": 2 };
}

export function legend(n, name) {
  return h("span", { class: "legend" }, svg("svg", { width: 30, height: 18, viewBox: "-15 -9 30 18", "aria-hidden": "true" },
    svg("path", { d: "M-15,0H15", stroke: `var(--group-${n % 6})`, "stroke-width": 2, "stroke-dasharray": DASHES[n % DASHES.length] }), svg("path", sign(n))), name);
}

/** What an axis says, as far as there is room for it: what it is among is told again beside the list of curves. */
const written = (name, room) => (8 * name.length < room ? name : name.split(", ").slice(0, 2).join(", "));

/** Round numbers from a first to a last one, about `count` of them. */
function ticks(first, last, count = 5) {
  const rough = (last - first) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const found = [];
  for (let at = Math.ceil(first / step); at * step <= last + 1e-12; at++) found.push(Number((at * step).toPrecision(12)));
  return found;
}

/**
 * `curves` [{name, points: [{recommendation, search, …_low, …_high, front, label}]}] with a line through each, `marks` single points,
 * `best` lines {task, name, value}, `ring` a point that moves, `room` the element that is drawn in. `tell` is called with the words of the point that is pointed at.
 */
export function plane({ curves, best = [], ring = null, intervals = true, names, tell, room }) {
  const WIDTH = roomIn(room, NARROW, WIDE);
  const HEIGHT = Math.round(Math.max(0.68 * WIDTH, 340));
  const all = curves.flatMap(({ points }) => points);
  const scale = (axis, low, high, flip) => {
    const ends = intervals ? ["_low", "_high"] : [];
    const values = [...all.flatMap((point) => ["", ...ends].map((end) => point[axis + end])), ring?.[axis]].filter((value) => value !== null && value !== undefined);
    let [first, last] = [Math.min(...values), Math.max(...values)];
    const room = Math.max((last - first) * 0.1, 0.004);
    [first, last] = [first - room, last + room];
    return { first, last, of: (value) => { const part = (value - first) / (last - first); return flip ? high - part * (high - low) : low + part * (high - low); } };
  };
  const x = scale("recommendation", LEFT, WIDTH - RIGHT);
  const y = scale("search", TOP, HEIGHT - BOTTOM, true);
  const text = (at, up, words, more = {}) => svg("text", { x: at, y: up, ...more }, words);
  const drawn = [];
  for (const value of ticks(x.first, x.last, Math.max(WIDTH / 120, 4))) drawn.push(svg("path", { class: "grid", d: `M${x.of(value)},${TOP}V${HEIGHT - BOTTOM}` }), text(x.of(value), HEIGHT - BOTTOM + 18, value.toString(), { "text-anchor": "middle" }));
  for (const value of ticks(y.first, y.last)) drawn.push(svg("path", { class: "grid", d: `M${LEFT},${y.of(value)}H${WIDTH - RIGHT}` }), text(LEFT - 8, y.of(value) + 5, value.toString(), { "text-anchor": "end" }));
  drawn.push(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, written(names.recommendation, WIDTH), { "text-anchor": "middle", class: "axis" }), text(0, 0, written(names.search, HEIGHT), { "text-anchor": "middle", class: "axis", transform: `translate(16,${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)` }));
  for (const { task, name, value } of best) {
    const axis = task === "recommendation" ? x : y;
    if (value < axis.first || value > axis.last) continue;
    const at = axis.of(value);
    drawn.push(svg("path", { class: "specialist", d: axis === x ? `M${at},${TOP}V${HEIGHT - BOTTOM}` : `M${LEFT},${at}H${WIDTH - RIGHT}` }),
      axis === x ? text(0, 0, name, { transform: `translate(${at - 4},${HEIGHT - BOTTOM - 6}) rotate(-90)` }) : text(WIDTH - RIGHT - 2, at - 4, name, { "text-anchor": "end" }));
  }
  curves.forEach(({ points, n, line = true }) => {
    const colour = `var(--group-${n % 6})`;
    const at = (point) => [x.of(point.recommendation), y.of(point.search)];
    if (line && points.length > 1) drawn.push(svg("path", { d: `M${points.map(at).join("L")}`, fill: "none", stroke: colour, "stroke-width": 1.6, "stroke-dasharray": DASHES[n % DASHES.length] }));
    for (const point of points) {
      const [u, v] = at(point);
      if (intervals && point.recommendation_low !== null && point.recommendation_low !== undefined) {
        drawn.push(svg("path", { class: "interval", stroke: colour, d: `M${x.of(point.recommendation_low)},${v}H${x.of(point.recommendation_high)}M${u},${y.of(point.search_low)}V${y.of(point.search_high)}` }));
      }
    }
    for (const point of points) {
      const [u, v] = at(point);
      drawn.push(svg("path", { class: "point", ...sign(n, point.front !== false), transform: `translate(${u},${v})`, "data-key": point.label, ...pressable(point.label, () => tell(point)), onpointerenter: () => tell(point) }, svg("title", {}, point.label)));
    }
  });
  if (ring) drawn.push(svg("circle", { class: "ring", cx: x.of(ring.recommendation), cy: y.of(ring.search), r: 13 }));
  return svg("svg", { class: "plane", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group", "aria-label": `${names.search} against ${names.recommendation}` }, drawn);
}
