// What a run's layers were over time: a strip for each, the more colour the more.

const LAYER_NAMES = { sparsity_by_layer: "Sparsity", dormant_by_layer: "Dormant units", dead_units_by_layer: "Units cut off" };

function drawLayers() {
  const place = el("div", { id: "strips" });
  const options = DATA.runs.flatMap((run, i) => (Object.keys(run.layers).length ? [[String(i), run.name]] : []));
  if (!options.length) return section("layers").append(note("No run has written values by layer."));
  const control = choice("Run", options, options[0][0], (value) => drawStrips(Number(value)));
  control.querySelector("select").id = "layers-run";
  section("layers").append(el("div", { class: "controls" }, control),
    note("A row is a layer, a cell a measurement in time; means over the run's seeds. Point at a cell or tap it for its value."), place);
  drawStrips(Number(options[0][0]));
}

function drawStrips(index) {
  const run = DATA.runs[index];
  section("strips").replaceChildren(...Object.entries(run.layers).map(([name, own]) => layerChart(run, name, own)));
}

function layerTitle(name) {
  const cut = name.lastIndexOf("/"), own = name.slice(cut + 1);
  const label = LAYER_NAMES[own] ?? own;
  return cut < 0 ? label : `${name.slice(0, cut)}: ${label.toLowerCase()}`;
}

function layerChart(run, name, { steps, layers }) {
  const values = Object.values(layers).flatMap(present);
  const top = [0.05, 0.1, 0.2, 0.5, 1].find((x) => values.every((value) => value <= x)) ?? Math.max(...values);
  const out = el("output", {}, values.every((value) => value === 0) ? "All are 0." : `Colour from none at 0 to full at ${format(top)}.`);
  const rows = Object.entries(layers).map(([layer, own]) => layerRow(layer, own, steps, top, DATA.clocks[run.clock], out));
  const span = `${formatSteps(steps[0])} to ${formatSteps(steps.at(-1))} ${DATA.clocks[run.clock]}`;
  return el("figure", { class: "strips" },
    el("figcaption", {}, `${layerTitle(name)} by layer, ${span}`), rows, out);
}

function layerRow(layer, values, steps, top, clock, out) {
  const cells = values.map((value, i) => svg("rect", { x: i, y: 0, width: 1, height: 1, "shape-rendering": "crispEdges",
    class: isNumber(value) ? "cell" : "cell missing", "fill-opacity": isNumber(value) ? Math.min(value / top, 1) : null }));
  const strip = svg("svg", { viewBox: `0 0 ${values.length} 1`, preserveAspectRatio: "none", role: "img",
    "aria-label": `${layer}: ${format(values[0])} to ${format(values.at(-1))}` }, cells);
  function tell(event) {
    const box = strip.getBoundingClientRect();
    const i = Math.min(Math.max(Math.floor(((event.clientX - box.left) / box.width) * values.length), 0), values.length - 1);
    out.textContent = `${layer}, ${formatSteps(steps[i])} ${clock}: ${format(values[i])}`;
  }
  strip.addEventListener("pointermove", tell);
  strip.addEventListener("pointerdown", tell);
  return el("div", { class: "strip" }, el("span", {}, layer), strip, el("span", { class: "last" }, format(values.at(-1))));
}

// From the table of runs.
function showLayersOf(index) {
  const select = document.getElementById("layers-run");
  if (!select || !Object.keys(DATA.runs[index].layers).length) return;
  select.value = String(index);
  drawStrips(index);
}
