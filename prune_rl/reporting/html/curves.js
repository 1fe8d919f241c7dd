// Learning curves: a chart for each game and clock, seeds thin, the mean of an arm thick.

const MOST_TOLD = 8; // arms that a chart tells at once

const curves = {
  arms: inOrder(DATA.runs.map((run) => run.arm)),
  hidden: new Set(),
  quantity: 0,
  game: "",
};

function drawCurves() {
  if (!DATA.quantities.length) return section("curves").append(note("No run has written a row yet."));
  const games = inOrder(DATA.runs.map((run) => run.game));
  const named = DATA.quantities.map((own, i) => [String(i), quantityLabel(own)]);
  curves.game = games.length > 6 ? games[0] : "";
  const all = el("button", { type: "button", onclick: () => toggleAll(legend) }, "all or none");
  const legend = el("div", { class: "legend", role: "group", "aria-label": "arms" }, curves.arms.map(legendButton), all);
  section("curves").append(
    el("div", { class: "controls" },
      choice("Quantity", named, "0", (value) => { curves.quantity = Number(value); drawPanels(); }),
      choice("Game", [["", "all games"], ...games.map((game) => [game, game])], curves.game,
        (value) => { curves.game = value; drawPanels(); })),
    legend,
    note("Thin lines are seeds, thick ones their mean; it is dotted where not every seed of the arm has a value. Point at a chart, tap it, or use its arrow keys for the values."),
    el("p", { class: "note", id: "unit" }),
    el("div", { class: "panels", id: "panels" }));
  drawPanels();
}

function quantityLabel({ phase, label }) {
  return phase in DATA.phases ? `${label} (${DATA.phases[phase]})` : label;
}

function legendButton(arm, index) {
  const line = svg("line", { x1: 0, x2: 24, y1: 5, y2: 5, class: "mean", "stroke-dasharray": dashOf(index) || null,
    style: `stroke: ${colorOf(index)}` });
  const sample = svg("svg", { width: 24, height: 10, "aria-hidden": "true" }, line);
  const button = el("button", { type: "button", "aria-pressed": "true", "data-arm": arm, onclick: toggle }, sample, arm);
  function toggle() {
    if (!curves.hidden.delete(arm)) curves.hidden.add(arm);
    press(button);
    drawPanels();
  }
  return button;
}

function press(button) {
  button.setAttribute("aria-pressed", String(!curves.hidden.has(button.dataset.arm)));
}

function toggleAll(legend) {
  curves.hidden = new Set(curves.hidden.size ? [] : curves.arms);
  legend.querySelectorAll("[data-arm]").forEach(press);
  drawPanels();
}

function drawPanels() {
  const quantity = DATA.quantities[curves.quantity];
  const shown = DATA.runs.filter((run) => !curves.game || run.game === curves.game);
  const places = inOrder(shown.map((run) => JSON.stringify([run.game, run.clock])));
  const panels = places.map((place) => curvePanel(...JSON.parse(place), quantity)).filter(Boolean);
  const nothing = note("Nothing to draw: no run that is shown has this quantity, or every arm is off.");
  section("unit").textContent = quantity.unit ? `${quantityLabel(quantity)}: ${quantity.unit}.` : "";
  section("panels").replaceChildren(...(panels.length ? panels : [nothing]));
}

function curvePanel(game, clock, quantity) {
  const seeds = DATA.runs
    .filter((run) => run.game === game && run.clock === clock && !curves.hidden.has(run.arm))
    .flatMap((run) => seedLines(run, quantity));
  if (!seeds.length) return null;
  const arms = curves.arms.filter((arm) => seeds.some((line) => line.arm === arm));
  const means = arms.map((arm) => meanLine(arm, seeds.filter((line) => line.arm === arm)));
  const drawn = means.flatMap((own) => [{ ...own, values: own.partial, kind: "mean partial" }, own]);
  const title = `${game}: ${quantityLabel(quantity)}`;
  const tell = (step, y) => tellArms(means, seeds, step, y);
  return lineChart({ title, lines: [...seeds, ...drawn], xLabel: DATA.clocks[clock], tell });
}

function seedLines(run, quantity) {
  const own = run.phases[quantity.phase], index = curves.arms.indexOf(run.arm);
  return (own?.values[quantity.name] ?? []).map((values, s) => ({
    arm: run.arm, seed: own.seeds[s], name: `${run.name}, seed ${own.seeds[s]}`, steps: own.steps, values,
    color: colorOf(index), dash: dashOf(index), kind: "seed",
  }));
}

// Over the seeds that have a value at a step: `values` where all have one, `partial` where any has.
function meanLine(arm, lines) {
  const at = new Map();
  for (const line of lines) {
    line.steps.forEach((step, i) => isNumber(line.values[i]) && at.set(step, [...(at.get(step) ?? []), line.values[i]]));
  }
  const steps = [...at.keys()].sort((a, b) => a - b), index = curves.arms.indexOf(arm);
  const partial = steps.map((step) => mean(at.get(step)));
  const values = partial.map((value, i) => (at.get(steps[i]).length === lines.length ? value : null));
  return { arm, name: `${arm}, mean`, steps, values, partial, color: colorOf(index), dash: dashOf(index), kind: "mean" };
}

function tellArms(means, seeds, step, y) {
  const there = means
    .map((own) => ({ ...own, value: own.partial[own.steps.indexOf(step)] }))
    .filter((own) => isNumber(own.value));
  const far = (own) => Math.abs(own.value - y);
  const told = y === null ? there : [...there].sort((a, b) => far(a) - far(b));
  const blocks = told.slice(0, MOST_TOLD).map((own) => tellArm(own, seeds, step));
  const more = there.length - MOST_TOLD;
  return more > 0 ? [...blocks, el("div", {}, `and ${count(more, "arm")} farther off`)] : blocks;
}

function tellArm(own, seeds, step) {
  const values = seeds
    .filter((line) => line.arm === own.arm)
    .map((line) => [line.seed, line.values[line.steps.indexOf(step)]])
    .filter(([, value]) => isNumber(value));
  const mark = el("span", { class: "mark", style: `background: ${own.color}` });
  const each = values.map(([seed, value]) => el("span", {}, `seed ${seed}: ${format(value)}`));
  if (each.length === 1) return el("div", {}, mark, `${own.arm}, `, each);
  const together = `${own.arm}, mean of ${each.length} seeds: ${format(own.value)}`;
  return el("div", {}, mark, together, el("div", { class: "values" }, each));
}
