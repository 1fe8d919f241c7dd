// The tables of runs, final returns and statistics; the settings of two runs; where runs come from.

function runColumns() {
  const text = (name, label = name) => ({ label, value: (run) => run[name] });
  const figure = (label, value, cell, title) => ({ label, value, cell, title, numeric: true });
  const progress = (run) => `${format(run.iterations)} / ${format(run.num_iterations)}`;
  return [
    { label: "run", value: (run) => run.name, cell: runLink },
    ...["arm", "game", "state"].map((name) => text(name)),
    figure("final return", (run) => mean(run.final), finalCell, "mean over the last quarter of the run, ± deviation between its seeds"),
    figure("seed", (run) => run.seeds[0], (run) => seedNames(run.seeds)),
    figure("iterations", (run) => run.iterations, progress),
    figure("steps", (run) => run.steps, (run) => formatSteps(run.steps), "of the run's clock, made by its farthest seed"),
    figure("steps/s", (run) => run.speed, null, "of the run's clock, per seed; median over iterations"),
    ...["agent", "torso"].map((name) => text(name)),
    figure("width", (run) => run.width),
    text("pruner"),
    figure("sparsity", (run) => run.sparsity, null, "that pruning aims at"),
    text("baseline"),
    { label: "diverged", value: (run) => run.diverged.join(", ") || null, title: "seeds that are frozen since a number was not finite" },
    figure("replay ratio", (run) => run.replay_ratio, null, "gradient steps per agent step"),
  ];
}

function runLink(run) {
  return el("a", { href: "#layers", title: "its layers over time", onclick: () => showLayersOf(DATA.runs.indexOf(run)) }, run.name);
}

function finalCell(run) {
  const spread = deviation(run.final);
  return format(mean(run.final)) + (spread === null ? "" : ` ± ${formatSpread(spread)}`);
}

// 0–4 where none is left out.
function seedNames(seeds) {
  const [first, last] = [seeds[0], seeds.at(-1)];
  return seeds.length > 2 && last - first === seeds.length - 1 ? `${first}–${last}` : seeds.join(", ");
}

function drawRuns() {
  const table = sortableTable("runs", runColumns(), DATA.runs);
  const wanted = { text: "", game: "", arm: "", state: "" };
  const shown = el("p", { class: "note", role: "status", id: "shown" });
  function refresh() {
    const words = wanted.text.toLowerCase().split(/\s+/);
    const left = table.show((run, text) => words.every((word) => text.includes(word)) &&
      ["game", "arm", "state"].every((name) => !wanted[name] || run[name] === wanted[name]));
    shown.textContent = `${left} of ${count(DATA.runs.length, "run")} shown.`;
  }
  function pick(name) {
    const all = [["", "all"], ...inOrder(DATA.runs.map((run) => run[name])).map((value) => [value, value])];
    return choice(name, all, "", (value) => { wanted[name] = value; refresh(); });
  }
  const box = el("input", { type: "search", oninput: () => { wanted.text = box.value; refresh(); } });
  section("runs").append(el("div", { class: "controls" }, el("label", {}, "filter", box), pick("game"), pick("arm"), pick("state")), shown, table.element);
  refresh();
}

// Runs of an arm and game with different seeds are one row; of the seeds that statistics are of.
function drawFinals() {
  const groups = new Map();
  for (const run of DATA.runs) {
    const key = JSON.stringify([run.arm, run.game]);
    const own = groups.get(key) ?? { arm: run.arm, game: run.game, values: [], phases: new Set(), others: 0 };
    own.values.push(...present(run.final.filter((value, place) => run.counted[place])));
    own.phases.add(DATA.phases[run.final_phase]);
    own.others += run.counted.filter((counts) => !counts).length;
    groups.set(key, own);
  }
  const others = [...groups.values()].reduce((sum, own) => sum + own.others, 0);
  const figure = (label, value, cell) => ({ label, value, cell, numeric: true });
  const columns = [
    { label: "arm", value: (own) => own.arm },
    { label: "game", value: (own) => own.game },
    figure("mean", (own) => mean(own.values)),
    figure("deviation", (own) => deviation(own.values), (own) => formatSpread(deviation(own.values))),
    figure("least", (own) => (own.values.length ? Math.min(...own.values) : null)),
    figure("most", (own) => (own.values.length ? Math.max(...own.values) : null)),
    figure("seeds", (own) => own.values.length),
    figure("left out", (own) => own.others),
    { label: "returns of", value: (own) => [...own.phases].join(", ") },
  ];
  section("finals").append(
    note(`Mean return of each seed over the last quarter of its iterations; mean, sample deviation, least and most over the seeds of an arm that statistics are of.${others ? ` ${count(others, "seed")} more ${others === 1 ? "is" : "are"} left out: not finished, or without a final return.` : ""}`),
    sortableTable("final returns", columns, [...groups.values()]).element);
}

// All that is there and that statistics are without, and why.
function uncounted() {
  if (!DATA.uncounted.length) return [];
  return [el("details", { id: "uncounted" }, el("summary", {}, `Not in the statistics: ${count(DATA.uncounted.length, "seed or run", "seeds or runs")}`),
    el("ul", { class: "note" }, DATA.uncounted.map((line) => el("li", {}, line))))];
}

function drawStatistics() {
  if (!DATA.estimates.length) return section("statistics").append(note("No statistics were given."), ...uncounted());
  const figure = (label, value, cell) => ({ label, value, cell, numeric: true });
  const text = (own) => own.statistic.replaceAll("_", " ").replace("iqm", "IQM");
  const columns = [
    { label: "statistic", value: text },
    { label: "arm", value: (own) => own.arm },
    figure("value", (own) => own.value),
    figure("95 % interval", (own) => own.low, (own) => (own.low === null ? MISSING : `${format(own.low)} to ${format(own.high)}`)),
    { label: "interval drawn", value: (own) => own.value, cell: intervalBar },
    figure("games", (own) => own.num_games),
    figure("runs", (own) => own.num_runs),
    ...["scale", "phase"].filter((name) => DATA.estimates.some((own) => own[name])).map(toldOf),
  ];
  section("statistics").append(
    note("An interval holds the middle 95 % of what the statistic becomes when the runs of each game are drawn again, with replacement: how far it might move had other seeds been trained. It is not where single runs lie, and it says nothing of games that were not played. Of fewer than three runs a game there is none."),
    sortableTable("statistics", columns, DATA.estimates).element, ...uncounted());
}

// What the scores of an estimate are: 'return / mean of dense', 'evaluation'.
function toldOf(name) {
  return { label: { scale: "scores", phase: "returns of" }[name], value: (own) => DATA.phases[own[name]] ?? own[name] };
}

// On one scale for all estimates of a statistic, zero in it.
function intervalBar(own) {
  const all = DATA.estimates.filter((x) => x.statistic === own.statistic).flatMap((x) => present([x.low, x.value, x.high]));
  const low = Math.min(0, ...all), high = Math.max(0, ...all);
  const x = (value) => 4 + (112 * (value - low)) / (high - low || 1);
  if (!isNumber(own.value)) return MISSING;
  const bar = isNumber(own.low) && isNumber(own.high)
    ? svg("line", { class: "interval", x1: x(own.low), x2: x(own.high), y1: 8, y2: 8 }) : null;
  return svg("svg", { width: 120, height: 16, "aria-hidden": "true" },
    svg("line", { class: "grid", x1: x(0), x2: x(0), y1: 0, y2: 16 }), bar, svg("circle", { class: "dot", cx: x(own.value), cy: 8, r: 3.5 }));
}
