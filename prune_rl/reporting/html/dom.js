// What every part of the page uses: the data, elements, and how numbers read.

const DATA = JSON.parse(document.getElementById("data").textContent);
const MISSING = "–";

// Children become text nodes, never markup.
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null).map((child) =>
    child instanceof Node ? child : String(child)));
  return element;
}

function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function section(name) {
  return document.getElementById(name);
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

// Four significant digits, and no exponent where few zeros do.
function format(value) {
  if (value === null || value === undefined || value === "") return MISSING;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (!isNumber(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(3);
  if (Number.isInteger(value)) return value.toLocaleString("en-GB");
  return String(Number(value.toPrecision(4)));
}

function formatSpread(value) {
  return format(isNumber(value) ? Number(value.toPrecision(2)) : null);
}

function formatSteps(steps) {
  if (steps >= 1e6) return `${Number((steps / 1e6).toPrecision(4))}M`;
  if (steps >= 1e3) return `${Number((steps / 1e3).toPrecision(4))}k`;
  return String(steps);
}

function formatDate(text) {
  return text ? text.replace("T", " ").replace("+00:00", " UTC") : MISSING;
}

function count(number, word, words = `${word}s`) {
  return `${number.toLocaleString("en-GB")} ${number === 1 ? word : words}`;
}

function unique(values) {
  return [...new Set(values)];
}

function inOrder(values) {
  return unique(values).sort((a, b) => compare(a, b));
}

// Numbers by size, texts as people sort them ("x2" before "x10").
const collator = new Intl.Collator("en", { numeric: true });
function compare(a, b) {
  return isNumber(a) && isNumber(b) ? a - b : collator.compare(String(a), String(b));
}

function present(values) {
  return values.filter(isNumber);
}

function mean(values) {
  const own = present(values);
  return own.length ? own.reduce((sum, value) => sum + value, 0) / own.length : null;
}

// Of a sample (n - 1); null of fewer than two.
function deviation(values) {
  const own = present(values), centre = mean(own);
  if (own.length < 2) return null;
  return Math.sqrt(own.reduce((sum, x) => sum + (x - centre) ** 2, 0) / (own.length - 1));
}

// A labelled select; options are [value, text].
function choice(label, options, chosen, onchange) {
  const items = options.map(([value, text]) => el("option", { value, selected: value === chosen }, text));
  const select = el("select", { onchange: () => onchange(select.value) }, items);
  return el("label", {}, label, select);
}

// A wide thing that scrolls inside its box, by keyboard too.
function scrollBox(label, ...children) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, ...children);
}

function note(text) {
  return el("p", { class: "note" }, text);
}
