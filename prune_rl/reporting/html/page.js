// The settings of two runs, where runs come from, pictures; and the start of it all.

function configOf(run) {
  return new Map(run.config.map((place) => DATA.bindings[place]));
}

function drawSettings() {
  const runs = DATA.runs;
  if (runs.length < 2) return section("settings").append(note("There are no two runs to compare."));
  const other = runs.findIndex((run) => run.game === runs[0].game && run.arm !== runs[0].arm);
  const chosen = { a: 0, b: other > 0 ? other : 1, equal: false };
  const place = el("div", { id: "difference" });
  const options = runs.map((run, i) => [String(i), run.name]);
  const refresh = () => place.replaceChildren(...difference(runs[chosen.a], runs[chosen.b], chosen.equal));
  const pick = (label, name) => choice(label, options, String(chosen[name]), (value) => { chosen[name] = Number(value); refresh(); });
  const box = el("input", { type: "checkbox", onchange: () => { chosen.equal = box.checked; refresh(); } });
  section("settings").append(el("div", { class: "controls" }, pick("one run", "a"), pick("another", "b"),
    el("label", { class: "check" }, box, "show equal ones too")), place);
  refresh();
}

function difference(a, b, equal) {
  const [left, right] = [configOf(a), configOf(b)];
  const names = unique([...left.keys(), ...right.keys()]);
  const differing = names.filter((name) => left.get(name) !== right.get(name));
  const shown = equal ? names : differing;
  const line = (name) => el("tr", { class: differing.includes(name) ? "differs" : null },
    el("th", { scope: "row" }, name), [left, right].map((own) => el("td", {}, own.get(name) ?? "not set")));
  const head = el("tr", {}, ["binding", a.name, b.name].map((text) => el("th", { scope: "col" }, text)));
  const said = note(`${count(differing.length, "binding")} of ${names.length} differ.`);
  return shown.length ? [said, scrollBox("settings", el("table", { class: "code" }, el("thead", {}, head), el("tbody", {}, shown.map(line))))] : [said];
}

function record(run, name) {
  return DATA.records[run.provenance[name]] ?? {};
}

function drawProvenance() {
  const known = DATA.runs.filter((run) => run.provenance);
  const without = DATA.runs.length - known.length;
  if (without) section("provenance").append(note(`${count(without, "run")} without a provenance.json that can be read.`));
  if (!known.length) return;
  const place = el("div", { id: "origin" });
  section("provenance").append(
    ...commitsNote(known),
    sortableTable("provenance", provenanceColumns(known), known).element,
    el("div", { class: "controls" }, choice("Versions, protocol and units of", known.map((run, i) => [String(i), run.name]), "0",
      (value) => place.replaceChildren(...origin(known[Number(value)])))),
    place);
  place.append(...origin(known[0]));
}

function commitName({ provenance }) {
  if (!provenance.git_commit) return "none";
  return provenance.git_commit.slice(0, 10) + (provenance.git_dirty ? " + changes" : "");
}

function mostCommon(values) {
  const times = (value) => values.filter((other) => other === value).length;
  return unique(values).reduce((best, value) => (times(value) > times(best) ? value : best));
}

function commitsNote(known) {
  const names = known.map(commitName), all = unique(names);
  if (all.length === 1) return [note(`All from commit ${all[0]}.`)];
  const times = all.map((name) => `${name} (${count(names.filter((other) => other === name).length, "run")})`);
  return [el("p", { class: "warning" }, `Runs of ${all.length} commits: ${times.join(", ")}.`)];
}

function provenanceColumns(known) {
  const usual = mostCommon(known.map(commitName));
  const version = (name) => ({ label: name, value: (run) => record(run, "versions")[name] });
  const field = (label, name = label) => ({ label, value: (run) => run.provenance[name] });
  const sets = unique(known.map((run) => run.provenance.versions));
  return [
    { label: "run", value: (run) => run.name },
    { label: "commit", value: commitName, cell: (run) => el("code", { class: commitName(run) === usual ? null : "other" }, commitName(run)) },
    { label: "started", value: (run) => run.provenance.started, cell: (run) => formatDate(run.provenance.started) },
    { label: "starts", value: (run) => run.provenance.starts, numeric: true },
    field("device"), field("backend"), field("python"), version("jax"), version("flax"),
    { label: "packages", value: (run) => `set ${sets.indexOf(run.provenance.versions) + 1} of ${sets.length}` },
    { label: "command", value: (run) => run.provenance.command, cell: (run) => el("code", {}, format(run.provenance.command)) },
  ];
}

function origin(run) {
  const table = (label, name) => {
    const rows = Object.entries(record(run, name)).map(([key, value]) =>
      el("tr", {}, el("th", { scope: "row" }, key), el("td", {}, typeof value === "object" ? JSON.stringify(value) : format(value))));
    return el("details", { open: name === "protocol" }, el("summary", {}, label), scrollBox(label, el("table", { class: "code" }, el("tbody", {}, rows))));
  };
  return [table("Protocol", "protocol"), table("Units of the columns", "units"), table("Versions of all packages", "versions")];
}

function drawPictures() {
  if (!DATA.pictures.length) return section("pictures").append(note("No pictures were given."));
  section("pictures").append(...DATA.pictures.map((own) => el("figure", { class: "picture" },
    el("h3", {}, own.title), scrollBox(own.title, el("img", { src: own.image, alt: own.title })),
    el("figcaption", {}, own.caption), numbersOf(own))));
}

// Drawn when it is opened: pictures may have thousands of rows.
function numbersOf({ name, header, rows, num_rows }) {
  const details = el("details", {}, el("summary", {}, "The numbers"));
  details.addEventListener("toggle", () => {
    if (rows.length < num_rows) details.append(note(`The first ${rows.length} of ${num_rows} rows; all are in ${name}.csv.`));
    details.append(sortableTable(`numbers of ${name}`, plainColumns(header, rows), rows).element);
  }, { once: true });
  return details;
}

function drawHead() {
  const games = unique(DATA.runs.map((run) => run.game)).length, arms = unique(DATA.runs.map((run) => run.arm)).length;
  const seeds = DATA.runs.reduce((sum, run) => sum + run.seeds.length, 0);
  const newest = DATA.newest ? ` The newest run began ${formatDate(DATA.newest)}.` : "";
  section("facts").textContent = `${count(DATA.runs.length, "run")} (${count(seeds, "seed")}), ${count(arms, "arm")}, ${count(games, "game")}.${newest}`;
  section("left-out").append(...DATA.left_out.map((text) => el("li", {}, text)));
  document.querySelector("nav").append(...[...document.querySelectorAll("section")].map((own) =>
    el("a", { href: `#${own.id}` }, own.querySelector("h2").textContent)));
}

for (const draw of [drawHead, drawStatistics, drawRuns, drawFinals, drawCurves, drawLayers, drawPictures, drawSettings, drawProvenance]) draw();
document.documentElement.dataset.ready = "yes";
