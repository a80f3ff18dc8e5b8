"use strict";
// Links the views by the layer's place: `data-layer` of a row, `customdata` of a point. Nothing here knows what a view shows.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement, rows = new Map(), views = [];
  const MOST = 300; // marks of one layer in one view
  // these buttons and no others: one of the library's own sends a picture's data to its makers
  const ALONE = { showSendToCloud: false, plotlyServerURL: "", modeBarButtons: [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]] };
  let chosen = null, hinted = null;

  // ---- light and dark
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const kept = (value) => { // a page that was opened from a file may have no memory
    try { if (value) localStorage.setItem("re2na-theme", value); return localStorage.getItem("re2na-theme"); } catch { return null; }
  };
  const color = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  function look(layout) {
    const found = { "font.color": color("ink"), "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
      "hoverlabel.bgcolor": color("panel"), "hoverlabel.bordercolor": color("line"), "hoverlabel.font.color": color("ink"),
      "modebar.color": color("soft"), "modebar.activecolor": color("mark"), "modebar.bgcolor": "rgba(0,0,0,0)" };
    for (const axis of Object.keys(layout).filter((name) => /^[xy]axis/.test(name)))
      Object.assign(found, { [`${axis}.gridcolor`]: color("line"), [`${axis}.linecolor`]: color("line") });
    return found;
  }
  function put(place, [name, ...rest], value) {
    if (rest.length) put((place[name] ??= {}), rest, value); else place[name] = value;
  }
  function theme(name) {
    root.dataset.theme = name;
    for (const view of views) Plotly.relayout(view, { ...look(view.layout), shapes: shapes(view) });
  }
  root.dataset.theme = kept() || (dark.matches ? "dark" : "light");
  dark.addEventListener("change", (event) => { if (!kept()) theme(event.matches ? "dark" : "light"); });
  let before = null; // paper is light, and as wide as it is
  matchMedia("print").addEventListener("change", ({ matches }) => {
    if (matches) before = root.dataset.theme;
    theme(matches ? "light" : before);
    for (const view of views) Plotly.relayout(view, matches ? { width: 980 } : { width: null, autosize: true });
  });
  document.getElementById("theme").addEventListener("click", () => theme(kept(root.dataset.theme === "dark" ? "light" : "dark") || (root.dataset.theme === "dark" ? "light" : "dark")));

  // ---- marks: a layer's bars, points and lines, outlined
  function marksOf(data) {
    const found = new Map();
    const add = (layer, shape) => {
      if (!found.has(layer)) found.set(layer, []);
      if (found.get(layer).length < MOST) found.get(layer).push(shape);
    };
    for (const trace of data) {
      const axes = { xref: trace.xaxis || "x", yref: trace.yaxis || "y" };
      (trace.customdata || []).forEach((layer, i) => {
        const x = trace.x[i], y = trace.y[i];
        if (trace.mode === "lines") {
          if (layer !== null && trace.x[i + 1] !== null && i + 1 < trace.x.length)
            for (const each of layer) add(each, { ...axes, type: "line", x0: x, y0: y, x1: trace.x[i + 1], y1: trace.y[i + 1] });
        } else if (trace.type === "bar") {
          const base = trace.base ? trace.base[i] : 0, half = trace.width[i] / 2;
          add(layer, trace.orientation === "h"
            ? { ...axes, type: "rect", x0: base, x1: base + x, y0: y - half, y1: y + half }
            : { ...axes, type: "rect", x0: x - half, x1: x + half, y0: base, y1: base + y });
        } else {
          const size = (Array.isArray(trace.marker.size) ? trace.marker.size[i] : trace.marker.size) / 2 + 4;
          add(layer, { ...axes, type: "circle", xsizemode: "pixel", ysizemode: "pixel", xanchor: x, yanchor: y, x0: -size, x1: size, y0: -size, y1: size });
        }
      });
    }
    return found;
  }
  function shapes(view) {
    const found = [...view.borders];
    for (const [layer, width] of [[chosen, 2.5], [hinted, 1.5]])
      for (const shape of (layer !== null && view.marks.get(layer)) || [])
        found.push({ ...shape, line: { color: color("mark"), width }, opacity: layer === chosen ? 1 : 0.8 });
    return found;
  }
  const visible = (view) => { const box = view.getBoundingClientRect(); return box.bottom > 0 && box.top < innerHeight; };
  function mark(all) { // what is out of sight is drawn when a layer is chosen, or to take away what was only pointed at
    for (const view of views.filter((view) => all || view.pointed || visible(view))) {
      view.pointed = view.marks.has(hinted);
      Plotly.relayout(view, { shapes: shapes(view) });
    }
  }

  // ---- choosing and pointing
  const told = document.querySelector("#chosen span"), clear = document.querySelector("#chosen button");
  function choose(layer, scroll) {
    rows.get(chosen)?.classList.remove("chosen");
    chosen = layer === chosen ? null : layer;
    const row = rows.get(chosen);
    row?.classList.add("chosen");
    told.textContent = row ? `marked: ${row.querySelector("th").textContent} (${row.dataset.told}) ` : "";
    clear.hidden = !row;
    if (row && scroll) { const box = row.closest(".scroll"); box.scrollTop = row.offsetTop - box.clientHeight / 2; }
    mark(true);
  }
  let waiting = false;
  function hint(layer) {
    if (layer === hinted) return;
    rows.get(hinted)?.classList.remove("hinted");
    hinted = layer;
    rows.get(hinted)?.classList.add("hinted");
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; mark(false); });
  }
  clear.addEventListener("click", () => choose(null));
  addEventListener("keydown", (event) => { if (event.key === "Escape") choose(null); });
  addEventListener("scroll", () => { if (hinted !== null) hint(null); }, { passive: true });

  // ---- the table
  const table = document.querySelector("table.layers"), body = table.tBodies[0];
  for (const row of body.rows) {
    const layer = Number(row.dataset.layer);
    rows.set(layer, row);
    row.addEventListener("click", () => choose(layer));
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(layer); });
    row.addEventListener("mouseenter", () => hint(layer));
    row.addEventListener("mouseleave", () => hint(null));
    for (const cell of row.cells) if (!cell.title) cell.title = cell.classList.contains("n") ? "" : cell.textContent;
  }
  const box = table.closest(".scroll");
  const edge = () => box.parentElement.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
  box.addEventListener("scroll", edge, { passive: true });
  addEventListener("resize", edge);
  edge();
  const value = (row, column) => { const cell = row.cells[column]; return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent; };
  table.tHead.querySelectorAll("button").forEach((button, column) => button.addEventListener("click", () => {
    const head = button.parentElement, now = head.getAttribute("aria-sort");
    const numbers = [...body.rows].some((row) => "value" in row.cells[column].dataset); // of which the largest matter
    const down = now === "none" ? numbers : now === "ascending";
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sign = down ? -1 : 1;
    const order = [...body.rows].sort((one, two) => {
      const a = value(one, column), b = value(two, column);
      if (a === "" || b === "") return (a === "") - (b === ""); // what is empty comes last
      return typeof a === typeof b ? sign * (typeof a === "number" ? a - b : a.localeCompare(b)) : typeof a === "number" ? -1 : 1;
    });
    body.append(...order);
  }));
  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase(); // re2na finds Re²Na
  const search = document.getElementById("search"), count = document.getElementById("found");
  search.addEventListener("input", () => {
    const words = plain(search.value).split(/\s+/).filter(Boolean);
    let left = 0;
    for (const row of body.rows) {
      const text = plain([...row.cells].map((cell) => cell.textContent).join(" "));
      row.hidden = !words.every((word) => text.includes(word));
      left += !row.hidden;
    }
    table.tFoot.hidden = left > 0;
    count.textContent = `${left} of ${body.rows.length}`;
  });

  // ---- the pictures, one after the other, so that the page answers meanwhile
  function labels(view, most) {
    const [low, high] = view._fullLayout.xaxis.range, mode = high - low <= most ? "markers+text" : "markers";
    const which = view.data.flatMap((trace, i) => (trace.text && trace.mode !== mode ? [i] : []));
    if (which.length) Plotly.restyle(view, { mode }, which);
  }
  function follow(view) { // zooming one picture over time zooms the others
    const range = view._fullLayout.xaxis.range.map(Number);
    for (const other of views.filter((other) => other !== view && other.overTime)) {
      const now = other._fullLayout.xaxis.range.map(Number);
      if (range.some((end, i) => Math.abs(end - now[i]) > 1)) Plotly.relayout(other, { "xaxis.range": range });
    }
  }
  async function draw({ name, data, layout, labelsBelow, overTime }) {
    const view = document.getElementById(`chart-${name}`);
    view.marks = marksOf(data);
    view.borders = layout.shapes || [];
    const options = { responsive: true, displaylogo: false, scrollZoom: labelsBelow !== null, ...ALONE };
    for (const [path, value] of Object.entries(look(layout))) put(layout, path.split("."), value);
    await Plotly.newPlot(view, data, layout, options);
    views.push(view);
    const layerAt = (event) => { const layer = event.points[0].customdata; return typeof layer === "number" ? layer : null; };
    view.on("plotly_click", (event) => { const layer = layerAt(event); if (layer !== null) choose(layer, true); });
    view.on("plotly_hover", (event) => hint(layerAt(event)));
    view.on("plotly_unhover", () => hint(null));
    view.overTime = overTime;
    if (overTime) view.on("plotly_relayout", () => follow(view));
    if (labelsBelow !== null) {
      labels(view, labelsBelow);
      view.on("plotly_relayout", () => labels(view, labelsBelow));
    }
  }
  (async () => {
    for (const figure of figures) {
      await draw(figure);
      await new Promise((next) => setTimeout(next));
    }
    root.dataset.drawn = String(figures.length);
  })();
})();
