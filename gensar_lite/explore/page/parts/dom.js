// Elements by name: `h("button", { class: "chip", onclick }, "words")`. Text is always text, never markup.

export function h(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "value" || key === "checked") made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Put children in place of those that are there, and the focus back to the element of the same `data-key`. */
export function fill(element, ...children) {
  const active = element.contains(document.activeElement) ? document.activeElement : null;
  const key = active?.dataset.key;
  const group = active?.closest("[data-group]")?.dataset.group;
  element.replaceChildren(...children.flat(Infinity).filter(Boolean));
  if (!active) return;
  const same = key && element.querySelector(`[data-key="${CSS.escape(key)}"]`);
  const near = group && element.querySelector(`[data-group="${CSS.escape(group)}"] button, [data-group="${CSS.escape(group)}"]`);
  (same || near || element).focus?.();
}

/** A text that takes the room of at most so many letters; those of East Asia and pictures take twice the room. */
export function cut(text, length) {
  const letters = [...text];
  let room = length;
  const last = letters.findIndex((letter) => (room -= letter > "\u2e7f" ? 2 : 1) < 0);
  return last < 0 ? text : `${letters.slice(0, Math.max(last - 1, 1)).join("").trimEnd()}…`;
}

/** A whole number of an address, or the other one. */
export function whole(text, other) {
  const found = Math.round(Number(text ?? other));
  return Number.isFinite(found) ? found : other;
}

/** How many times larger than usual the page's letters are (the projector's are). */
export function larger() {
  return parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
}

/** How wide a drawing may be so that its letters are as large as the page's: between `least` and `most`. */
export function roomIn(element, least, most) {
  const style = getComputedStyle(element);
  const room = element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  return Math.min(Math.max(Math.round(room / larger()) || most, least), most);
}

export const percent = (share) => (share >= 0.0995 ? `${Math.round(share * 100)} %` : share >= 0.001 ? `${(share * 100).toFixed(1)} %` : "< 0.1 %");

/** A place of the address after #: its page and its settings. */
export function readAddress() {
  const written = location.hash.slice(1) || document.documentElement.dataset.address || "";
  const [page, settings = ""] = written.split("?");
  return { page: page || "store", ...Object.fromEntries(new URLSearchParams(settings)) };
}

export function writeAddress({ page, ...settings }) {
  const kept = Object.entries(settings).filter(([, value]) => value !== null && value !== undefined && value !== false);
  const written = new URLSearchParams(kept.map(([key, value]) => [key, value === true ? "1" : value])).toString();
  if (location.protocol === "about:") return; // in a notebook's frame
  history.replaceState(null, "", `#${page}${written ? `?${written}` : ""}`);
}

/** As `h`, for drawings. */
export function svg(name, properties = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** What makes a drawn thing work like a button: a click, Enter and the space bar do the same. */
export function pressable(label, act) {
  const onkeydown = (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act();
  };
  return { role: "button", tabindex: "0", "aria-label": label, onclick: act, onkeydown };
}
