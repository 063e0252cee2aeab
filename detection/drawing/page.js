// Sorts a table by the column whose heading is pressed; pressed again, the other way round.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      const numeric = heading.dataset.type === "number";
      const ascending = before ? before === "descending" : !numeric;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.value;
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        // Classes without a figure stay at the end, whichever way the others go.
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = numeric ? x - y : x.localeCompare(y);
        return ascending ? order : -order;
      });
      table.tBodies[0].append(...rows);
    });
  });
}

// The gallery: filters by class and kind of error, and by a cell of the confusion matrix.
const gallery = document.querySelector("#gallery");
if (gallery) {
  const filters = document.querySelector("#filters"), matrix = document.querySelector("#matrix");
  const cells = [...matrix.querySelectorAll("button")];
  const figures = [...gallery.children];
  let pressed = null;  // a button of the matrix
  const fits = (figure) => {
    if (pressed) return figure.dataset.cells.split(" ").includes(pressed.dataset.cell);
    const [label, kind] = [filters.elements.label.value, filters.elements.kind.value];
    if (!label && !kind) return true;
    return figure.dataset.errors.split(" ").some((error) => {
      const [ofKind, ofLabel] = error.split(":");
      return (!kind || ofKind === kind) && (!label || ofLabel === label);
    });
  };
  const show = () => {
    const best = filters.elements.order.value === "best" ? -1 : 1;
    figures.sort((a, b) => best * (a.dataset.f1 - b.dataset.f1));
    for (const figure of figures) figure.hidden = !fits(figure);
    gallery.append(...figures);
    const number = figures.filter((figure) => !figure.hidden).length;
    let text = `${number} of ${figures.length} images`;
    if (pressed) text = `${pressed.title}, in ${pressed.dataset.images}. ${text} of the gallery`;
    filters.querySelector("[role=status]").textContent = text;
    for (const cell of cells) cell.setAttribute("aria-pressed", cell === pressed);
  };
  filters.addEventListener("change", () => { pressed = null; show(); });
  filters.addEventListener("reset", () => { pressed = null; setTimeout(show); });
  filters.addEventListener("submit", (event) => event.preventDefault());
  matrix.addEventListener("click", (event) => {
    const cell = event.target.closest("button");
    if (!cell) return;
    pressed = cell === pressed ? null : cell;
    filters.elements.label.value = filters.elements.kind.value = "";
    show();
    if (pressed) document.querySelector("#images").scrollIntoView();
  });
  // One stop of the Tab key; arrow keys go to the next number in their direction.
  const place = (cell) => cell.dataset.cell.split(":").map(Number);
  matrix.addEventListener("keydown", (event) => {
    const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key] ?? [];
    if (down === undefined || !event.target.dataset.cell) return;
    event.preventDefault();
    const [row, column] = place(event.target);
    const steps = (cell) => {
      const [y, x] = [place(cell)[0] - row, place(cell)[1] - column];
      return down ? (x === 0 && y * down > 0 ? y * down : Infinity) : (y === 0 && x * right > 0 ? x * right : Infinity);
    };
    const next = cells.reduce((a, b) => (steps(b) < steps(a) ? b : a));
    if (steps(next) === Infinity) return;
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  if (cells.length) cells[0].tabIndex = 0;
  show();
}
