// A drawing of marks (SVG) whose marks can be hovered and clicked. Python sends `marks` and `lit`; a click sends `picked`.
const NS = "http://www.w3.org/2000/svg";
const SHAPES = {
  square: (r) => `M${-r},${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  diamond: (r) => `M0,${-1.3 * r}L${1.3 * r},0L0,${1.3 * r}L${-1.3 * r},0z`,
  up: (r) => `M0,${-1.25 * r}L${1.2 * r},${0.9 * r}L${-1.2 * r},${0.9 * r}z`,
  down: (r) => `M0,${1.25 * r}L${1.2 * r},${-0.9 * r}L${-1.2 * r},${-0.9 * r}z`,
};

function element(name, attributes) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) made.setAttribute(key, value);
  }
  return made;
}

function draw(mark) {
  const common = { fill: mark.fill, stroke: mark.stroke, "stroke-width": mark.width, opacity: mark.opacity };
  if (mark.t === "rect") {
    return element("rect", { x: mark.x, y: mark.y, width: mark.w, height: mark.h, rx: mark.rx ?? 2, ...common });
  }
  if (mark.t === "dot") {
    if (!SHAPES[mark.shape]) return element("circle", { cx: mark.x, cy: mark.y, r: mark.r, ...common });
    return element("path", { d: SHAPES[mark.shape](mark.r), transform: `translate(${mark.x},${mark.y})`, ...common });
  }
  if (mark.t === "line") {
    return element("polyline", {
      points: mark.points.map((p) => p.join(",")).join(" "), ...common, fill: "none",
      "stroke-dasharray": mark.dash, "stroke-linecap": "round", "stroke-linejoin": "round",
    });
  }
  if (mark.t === "curve") {
    const [[x, y], [u, v]] = mark.points;
    const middle = (x + u) / 2;
    return element("path", { d: `M${x},${y}C${middle},${y} ${middle},${v} ${u},${v}`, ...common, fill: "none" });
  }
  const text = element("text", {
    x: mark.x, y: mark.y, "font-size": mark.size ?? 13, "text-anchor": mark.anchor, "font-weight": mark.weight,
    transform: mark.turn ? `rotate(${mark.turn},${mark.x},${mark.y})` : undefined, ...common, fill: mark.fill ?? "#1f2430",
  });
  text.textContent = mark.s;
  return text;
}

function render({ model, el }) {
  const frame = document.createElement("div");
  frame.className = "gl-scene";
  const tip = document.createElement("div");
  tip.className = "gl-tip";
  tip.hidden = true;
  el.append(frame);
  let byKey = new Map();

  function pick(key) {
    model.set("picked", { key, n: (model.get("picked").n ?? 0) + 1 });
    model.save_changes();
  }

  function light() {
    const lit = new Set(model.get("lit"));
    frame.classList.toggle("gl-some-lit", lit.size > 0);
    for (const [key, shapes] of byKey) {
      for (const shape of shapes) {
        shape.classList.toggle("gl-lit", lit.has(key));
        if (lit.has(key) && shape.dataset.raise) shape.parentNode.append(shape);
      }
    }
  }

  function show() {
    byKey = new Map();
    const [width, height] = model.get("size");
    const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": model.get("alt") });
    svg.style.maxWidth = `${Math.round(width * 1.6)}px`;
    for (const mark of model.get("marks")) {
      const shape = draw(mark);
      if (mark.key !== undefined) {
        shape.dataset.key = mark.key;
        shape.classList.add("gl-key");
        if (mark.t === "dot") shape.dataset.raise = "1";
        if (mark.t === "rect") {
          shape.setAttribute("tabindex", "0");
          shape.setAttribute("role", "button");
          if (mark.tip) shape.setAttribute("aria-label", mark.tip);
        }
        if (!byKey.has(mark.key)) byKey.set(mark.key, []);
        byKey.get(mark.key).push(shape);
      } else if (!mark.tip) shape.setAttribute("pointer-events", "none");
      if (mark.tip) shape.dataset.tip = mark.tip;
      if (mark.id) shape.dataset.id = mark.id;
      svg.append(shape);
    }
    svg.addEventListener("click", (event) => {
      const key = event.target.dataset?.key;
      if (key !== undefined) pick(key);
    });
    svg.addEventListener("keydown", (event) => {
      const key = event.target.dataset?.key;
      if (key !== undefined && (event.key === "Enter" || event.key === " ")) {
        event.preventDefault();
        pick(key);
      }
    });
    svg.addEventListener("mousemove", (event) => {
      const words = event.target.dataset?.tip;
      tip.hidden = !words;
      if (!words) return;
      tip.textContent = words;
      const box = frame.getBoundingClientRect();
      const right = event.clientX - box.left > box.width * 0.6;
      tip.style.left = right ? "" : `${event.clientX - box.left + 14}px`;
      tip.style.right = right ? `${box.right - event.clientX + 14}px` : "";
      tip.style.top = `${event.clientY - box.top + 14}px`;
    });
    svg.addEventListener("mouseleave", () => { tip.hidden = true; });
    tip.hidden = true;
    frame.replaceChildren(svg, tip);
    light();
  }

  model.on("change:marks", show);
  model.on("change:lit", light);
  show();
}

export default { render };
