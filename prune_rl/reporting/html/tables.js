// Tables that sort by a click on a column's name.

// A column: label, value(row) to sort and to filter by, and cell(row) where more than that is shown.
function sortableTable(label, columns, rows) {
  const body = el("tbody");
  const lines = rows.map((row) => ({ row, shown: true, text: lineText(columns, row), element: null }));
  const heads = columns.map((column, index) => tableHead(column, () => sortBy(index)));
  let order = { index: -1, descending: false };

  function sortBy(index) {
    order = { index, descending: order.index === index && !order.descending };
    lines.sort((a, b) => compareBy(columns[index].value, a.row, b.row, order.descending));
    heads.forEach((head, place) => head.setAttribute("aria-sort", sortName(order, place)));
    draw();
  }

  function draw() {
    const shown = lines.filter((line) => line.shown);
    body.replaceChildren(...shown.map((line) => (line.element ??= tableLine(columns, line.row))));
    return shown.length;
  }

  function show(wanted) {
    for (const line of lines) line.shown = wanted(line.row, line.text);
    return draw();
  }

  draw();
  const table = el("table", {}, el("thead", {}, el("tr", {}, heads)), body);
  return { element: scrollBox(label, table), show };
}

function tableHead(column, onclick) {
  const button = el("button", { type: "button", onclick }, column.label);
  const attributes = { scope: "col", "aria-sort": "none", title: column.title ?? null };
  return el("th", { ...attributes, class: column.numeric ? "number" : null }, button);
}

function tableLine(columns, row) {
  return el("tr", {}, columns.map((column) => {
    const content = column.cell ? column.cell(row) : format(column.value(row));
    return el("td", { class: column.numeric ? "number" : null }, content);
  }));
}

function lineText(columns, row) {
  return columns.map((column) => column.value(row) ?? "").join(" ").toLowerCase();
}

// What is missing comes last, either way.
function compareBy(value, a, b, descending) {
  const [left, right] = [value(a) ?? null, value(b) ?? null];
  if (left === null || right === null) return (left === null) - (right === null);
  return descending ? compare(right, left) : compare(left, right);
}

function sortName(order, place) {
  if (order.index !== place) return "none";
  return order.descending ? "descending" : "ascending";
}

// Columns of plain values by their place in a row.
function plainColumns(header, rows) {
  return header.map((label, place) => ({
    label,
    value: (row) => row[place],
    numeric: rows.every((row) => row[place] === null || isNumber(row[place])),
  }));
}
