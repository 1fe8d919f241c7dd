// Line charts in SVG, as wide as their place, that tell their values to a mouse, a finger or keys.

const COLORS = 8, DASHES = ["", "6 3", "2 3", "9 3 2 3"];
const MARGIN = { left: 46, right: 20, top: 8, bottom: 36 };
const HEIGHT = 240;

function colorOf(index) {
  return `var(--c${index % COLORS})`;
}

function dashOf(index) {
  return DASHES[Math.floor(index / COLORS) % DASHES.length];
}

// Round steps of 1, 2 or 5 times a power of ten, about as many as asked for.
function ticks(low, high, wanted) {
  const rough = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((x) => x * power).find((x) => x >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(last - first + 1, 0) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

// A gap where a value is missing; a dot where it stands alone.
function linePath(steps, values, x, y) {
  let path = "", before = false;
  values.forEach((value, i) => {
    if (isNumber(value)) path += `${before ? "L" : "M"}${x(steps[i]).toFixed(1)} ${y(value).toFixed(1)}`;
    if (isNumber(value) && !before && !isNumber(values[i + 1])) path += "h0.01";
    before = isNumber(value);
  });
  return path;
}

function scales(lines, width) {
  const values = lines.flatMap((line) => present(line.values));
  const steps = lines.flatMap((line) => line.steps);
  const extent = (own, least) => own.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], least);
  const [low, high] = extent(values, [0, 0]); // zero is always there
  const [, last] = extent(steps, [0, 0]);
  const top = high === low ? low + 1 : high + (high - low) * 0.04;
  const inner = width - MARGIN.left - MARGIN.right, tall = HEIGHT - MARGIN.top - MARGIN.bottom;
  return {
    low, top, last: last || 1,
    x: (step) => MARGIN.left + (inner * step) / (last || 1),
    y: (value) => MARGIN.top + tall * (1 - (value - low) / (top - low)),
    step: (x) => ((x - MARGIN.left) / inner) * (last || 1),
  };
}

function axes(scale, width, xLabel) {
  const bottom = HEIGHT - MARGIN.bottom, right = width - MARGIN.right;
  const across = ticks(scale.low, scale.top, 5).map((value) => [
    svg("line", { class: "grid", x1: MARGIN.left, x2: right, y1: scale.y(value), y2: scale.y(value) }),
    svg("text", { x: MARGIN.left - 6, y: scale.y(value) + 4, "text-anchor": "end" }, format(value)),
  ]);
  const along = ticks(0, scale.last, Math.max(2, Math.floor(width / 110))).map((step) =>
    svg("text", { x: scale.x(step), y: bottom + 16, "text-anchor": "middle" }, formatSteps(step)));
  const middle = (MARGIN.left + right) / 2;
  const label = svg("text", { x: middle, y: HEIGHT - 4, "text-anchor": "middle" }, xLabel);
  return svg("g", { class: "axes", "aria-hidden": "true" }, across, along, label);
}

function drawLines(lines, scale) {
  return lines.map((line) => {
    const path = linePath(line.steps, line.values, scale.x, scale.y);
    return svg("path", { d: path, class: line.kind, "stroke-dasharray": line.dash || null,
      style: `stroke: ${line.color}`, "data-name": line.name });
  });
}

function nearest(steps, wanted) {
  return steps.reduce((best, step) => (Math.abs(step - wanted) < Math.abs(best - wanted) ? step : best));
}

// `lines`: name, steps, values, color, dash, kind (a CSS class). `tell(step, y)` gives the nodes that
// say what is there, where y is the value at the pointer, or null.
function lineChart({ title, lines, xLabel, tell }) {
  const tip = el("div", { class: "tip", role: "status", hidden: true });
  const plot = el("div", { class: "plot", tabindex: 0, role: "group", "aria-label": `${title}: arrow keys tell the values` }, tip);
  const steps = unique(lines.flatMap((line) => line.steps)).sort((a, b) => a - b);
  let scale = null, place = -1;

  function draw() {
    const width = Math.max(plot.clientWidth, 200);
    scale = scales(lines, width);
    const attributes = { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": title };
    const guide = svg("line", { class: "guide", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, visibility: "hidden" });
    plot.replaceChildren(svg("svg", attributes, axes(scale, width, xLabel), guide, drawLines(lines, scale)), tip);
  }

  function say(step, value) {
    place = steps.indexOf(step);
    const guide = plot.querySelector(".guide");
    for (const end of ["x1", "x2"]) guide.setAttribute(end, scale.x(step));
    guide.setAttribute("visibility", "visible");
    tip.replaceChildren(el("strong", {}, `${formatSteps(step)} ${xLabel}`), ...tell(step, value));
    tip.hidden = false;
  }

  function hush() {
    tip.hidden = true;
    plot.querySelector(".guide")?.setAttribute("visibility", "hidden");
  }

  function point(event) {
    const box = plot.getBoundingClientRect();
    const value = scale.top - ((event.clientY - box.top - MARGIN.top) / (HEIGHT - MARGIN.top - MARGIN.bottom)) * (scale.top - scale.low);
    if (steps.length) say(nearest(steps, scale.step(event.clientX - box.left)), value);
  }

  function key(event) {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") hush();
    if (!move || !steps.length) return;
    event.preventDefault();
    say(steps[Math.min(Math.max(place + move, 0), steps.length - 1)], null);
  }

  plot.addEventListener("pointermove", point);
  plot.addEventListener("pointerdown", point);
  plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hush());
  plot.addEventListener("blur", hush);
  plot.addEventListener("keydown", key);
  redrawWhenResized(plot, draw);
  return el("figure", { class: "chart" }, el("figcaption", {}, title), plot);
}

// Draws when the plot first has a width, and again when that changes.
function redrawWhenResized(plot, draw) {
  let width = 0;
  new ResizeObserver(() => {
    if (plot.clientWidth && plot.clientWidth !== width) {
      width = plot.clientWidth;
      draw();
    }
  }).observe(plot);
}
