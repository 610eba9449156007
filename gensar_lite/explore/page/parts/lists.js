// A list of answers, and why an item is in it.

import { codeChip, identifierChips } from "./codes.js";
import { h, percent } from "./dom.js";

const SOURCES = { words: "words", neighbours: "clicked together", content: "alike in text" };

/** How each item of a list stands against the list before. */
export function movement(before, after) {
  return after.map((item, now) => {
    const old = before.indexOf(item);
    if (!before.length || old === now) return null;
    return old < 0 ? h("span", { class: "new" }, "new") : h("span", { class: old > now ? "up" : "down" }, `${old > now ? "▲" : "▼"}${Math.abs(old - now)}`);
  });
}

/**
 * `answers` [{item, title}] with what stands beside each: `moves`, `marks` (item to words) and the item that was `truly` clicked, codes where `view` is given; `click` and
 * `open` are called with an item. The row of the item `opened` holds `why`.
 */
export function answerList({ name, answers, moves = [], marks, truly = null, view = null, gensar, click = null, open = null, opened = null, why = null, empty }) {
  if (!answers.length) return h("p", { class: "note" }, empty);
  return h("ol", { class: "answers", "data-group": name }, answers.map(({ item, title }, place) =>
    h("li", { class: item === truly ? "marked" : null },
      h("div", { class: "row" },
        h("span", { class: "rank" }, String(place + 1)),
        h("span", { class: "title", dir: "auto" }, title, " ", moves[place] ?? null, item === truly || marks.has(item) ? h("span", { class: "mark" }, item === truly ? "★ what they clicked" : marks.get(item)) : null,
          view ? identifierChips(view, gensar.codes(view, item)) : null),
        open && h("button", { class: "small", "data-key": `${name} why ${place}`, "aria-expanded": String(opened === item), "aria-label": `why ${title}`, onclick: () => open(item) }, "why"),
        click && h("button", { class: "small", "data-key": `${name} click ${place}`, "aria-label": `click ${title}: it joins the history`, onclick: () => click(item) }, "click"),
      ),
      opened === item ? why : null,
    )));
}

/** The table of what each part of the answer adds, code by code. */
export function whyTable(gensar, meanings, task, asked, item) {
  const view = gensar.viewOf(task);
  const viewName = gensar.about.tasks[task].view;
  const steps = gensar.explain(asked, item);
  const parts = ["network", "store", "query"].slice(0, 1 + asked.sources.length);
  const store = asked.sources.length ? `; store: ${asked.heard.map((source) => SOURCES[source]).join(", ")}` : "";
  const size = Math.max(1e-9, ...steps.flatMap((step) => step.parts.map(Math.abs)));
  const total = steps.reduce((sum, step) => sum + step.logprob, 0);
  const bar = (value) => h("span", { class: "bar", role: "img", "aria-label": value.toFixed(1) },
    h("span", { class: value < 0 ? "less" : "more", style: `width:${(50 * Math.abs(value)) / size}%;${value < 0 ? "right" : "left"}:50%` }));
  return h("table", {},
    h("caption", {}, `What speaks for each code, against the codes that may stand in its place (bars to the right: for it)${store}${asked.sources.length > 1 ? "; query: how many of its words an item has" : ""}.`),
    h("thead", {}, h("tr", {}, h("th", {}, "code and its items"), h("th", {}, "chosen at"), parts.map((part) => h("th", {}, part)))),
    h("tbody", {}, steps.map(({ node, code, level, children, logprob, parts: values }) => {
      const meaning = meanings.of(viewName, level, node);
      return h("tr", {},
        h("td", {}, codeChip(view.names[level], code), h("span", { class: "meaning" }, meaning.items === 1 ? "this item alone" : `${meaning.items}: ${meaning.words.join(", ")}`)),
        h("td", { class: "number" }, children === 1 ? "only one" : `${percent(Math.exp(logprob))} of ${children}`),
        parts.map((_, i) => h("td", {}, values.length ? bar(values[i] ?? 0) : null)));
    })),
    h("tfoot", {}, h("tr", {}, h("td", { colspan: 2 + parts.length }, `All codes together: ${percent(Math.exp(total))}, score ${total.toFixed(2)}.`))));
}
