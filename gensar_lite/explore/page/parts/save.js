// Tables and pictures to save. A cell that a spreadsheet would take for a formula is neutralised.

import { h } from "./dom.js";

const cell = (value) => {
  const text = /^[=+\-@\t\r]/.test(value) && Number.isNaN(Number(value)) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** Rows (objects with the same keys) as the text of a CSV file. */
export function csv(rows) {
  const keys = Object.keys(rows[0] ?? {});
  return [keys, ...rows.map((row) => keys.map((key) => row[key]))].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

export function save(name, text, type = "text/csv") {
  saveBlob(name, new Blob(["\ufeff", text], { type: `${type};charset=utf-8` }));
}

function saveBlob(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** Buttons that save a drawing; `drawing` gives it when one is pressed. */
export function saveButtons(name, drawing, kinds = ["svg", "png"]) {
  return kinds.map((kind) => h("button", { class: "small", "data-key": kind, "aria-label": `save the picture as ${kind.toUpperCase()}`, onclick: () => savePicture(name, drawing(), kind) }, kind.toUpperCase()));
}

const LOOKS = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font", "text-anchor"];

/** A drawing (svg or canvas) as a file of its own, as it looks now; `kind` is svg or png. */
async function savePicture(name, drawing, kind) {
  if (drawing instanceof HTMLCanvasElement) return drawing.toBlob((blob) => saveBlob(`${name}.png`, blob));
  const copy = drawing.cloneNode(true);
  const { width, height } = drawing.viewBox.baseVal;
  const parts = [drawing, ...drawing.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((part, i) => {
    const look = getComputedStyle(parts[i]);
    for (const key of LOOKS) part.style.setProperty(key, look.getPropertyValue(key));
    part.removeAttribute("tabindex");
  });
  for (const [key, value] of Object.entries({ xmlns: "http://www.w3.org/2000/svg", width, height })) copy.setAttribute(key, value);
  copy.style.background = getComputedStyle(document.documentElement).getPropertyValue("--card");
  const text = new XMLSerializer().serializeToString(copy);
  if (kind === "svg") return saveBlob(`${name}.svg`, new Blob([text], { type: "image/svg+xml" }));
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: 2 * width, height: 2 * height });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => saveBlob(`${name}.png`, blob));
}
