"use strict";
const GROUPS = JSON.parse(document.getElementById("data").textContent);
const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const TOUCH = matchMedia("(pointer: coarse)").matches;  // a finger on a chart scrolls the page

// Tables: a click on a heading sorts, another one the other way round; what is missing comes last.
function sort(head) {
  const row = head.parentElement, body = row.closest("table").tBodies[0];
  const column = [...row.children].indexOf(head), up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of row.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = (line) => line.children[column].dataset.value;
  const order = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const found = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
    return up ? found : -found;
  };
  body.append(...[...body.rows].sort((a, b) => order(value(a), value(b))));
}
for (const head of document.querySelectorAll("table.board thead th")) head.firstElementChild.onclick = () => sort(head);

// Charts: colours are those of the page.
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const faint = (name, share) => `color-mix(in srgb, ${colour(name)} ${100 * share}%, ${colour("paper")})`;

function rgb(text) {  // plotly does not know color-mix: the browser mixes
  const probe = document.createElement("i");
  probe.style.color = text;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  const parts = found.match(/color\(srgb ([\d.]+) ([\d.]+) ([\d.]+)/);
  return parts ? `rgb(${parts.slice(1).map((x) => Math.round(255 * x)).join(",")})` : found;
}

function plot(place, traces, layout) {
  const axis = { gridcolor: colour("line"), linecolor: colour("line"), zerolinecolor: colour("line"), automargin: true };
  const base = {
    paper_bgcolor: colour("paper"), plot_bgcolor: colour("paper"), font: { color: colour("ink"), size: 12 },
    margin: { l: 10, r: 10, t: 10, b: 10 }, legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0 },
    hoverlabel: { bgcolor: colour("sunk"), bordercolor: colour("line"), font: { color: colour("ink") } },
    dragmode: TOUCH ? false : "zoom", ...layout,
  };
  base.xaxis = { ...axis, ...layout.xaxis };
  base.yaxis = { ...axis, ...layout.yaxis };
  Plotly.react(place, traces, base, { responsive: true, displaylogo: false, displayModeBar: TOUCH ? false : "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
}

// A line with a hole before each of the steps `at`, so that nothing is drawn where no forecast is.
function broken(values, at, hole) {
  const found = [];
  const begins = new Set(at);
  values.forEach((value, i) => {
    if (i && begins.has(i)) found.push(hole === undefined ? value : hole);
    found.push(value);
  });
  return found;
}

// A band as one outline for each piece between breaks and missing values.
function band(x, low, high, at) {
  const xs = [], ys = [], begins = new Set(at);
  let piece = [];
  const close = () => {
    const back = [...piece].reverse();
    if (xs.length && piece.length) { xs.push(null); ys.push(null); }
    xs.push(...piece.map((i) => x[i]), ...back.map((i) => x[i]));
    ys.push(...piece.map((i) => low[i]), ...back.map((i) => high[i]));
    piece = [];
  };
  x.forEach((_, i) => {
    if (begins.has(i) || low[i] === null) close();
    if (low[i] !== null) piece.push(i);
  });
  close();
  return [xs, ys];
}

function forecast(place, group, run, number, beside) {
  const axis = group.series[number], own = run.series[number];
  const line = (y, name, at, style) => ({
    x: broken(axis.x, at), y: broken(y, at, null), name, mode: axis.x.length < 3 ? "markers" : "lines", line: style,
    marker: { color: style.color },
  });
  const layout = { hovermode: "x unified", xaxis: { title: { text: axis.zone } }, showlegend: true, uirevision: `series ${number}` };
  if (typeof axis.x[0] === "string") {
    layout.xaxis.type = "date";
    layout.xaxis.rangeselector = {
      bgcolor: colour("sunk"), activecolor: colour("line"), font: { color: colour("ink") }, x: 0, xanchor: "left",
      buttons: [{ count: 1, step: "day", label: "day" }, { count: 7, step: "day", label: "week" },
                { step: "all", label: "all" }],
    };
  }
  if (group.classes.length) return classes(place, group, own, axis, layout);
  const traces = run.bands.map((name, i) => {
    const [x, y] = band(axis.x, own.spread[2 * i], own.spread[2 * i + 1], axis.breaks);
    return { x, y, name, mode: "lines", line: { width: 0 }, fill: "toself", hoverinfo: "skip",
             fillcolor: rgb(faint("accent", i ? 0.45 : 0.2)) };
  });
  traces.push(line(own.point, "forecast", axis.breaks, { color: colour("accent"), width: 1.8 }));
  if (beside) traces.push(line(beside.series[number].point, "beside", axis.breaks, { color: colour("other"), width: 1.5 }));
  traces.push(line(axis.y, "actual", axis.holes, { color: colour("actual"), width: 1.2 }));
  plot(place, traces, layout);
}

// The probabilities of classes, one upon the other, and above them what came true.
function classes(place, group, own, axis, layout) {
  const tint = (i) => rgb(faint("accent", 0.25 + 0.75 * i / Math.max(1, group.classes.length - 1)));
  const traces = group.classes.map((name, i) => ({
    type: "bar", x: axis.x, y: own.spread[i], name: plain(name), marker: { color: tint(i), line: { width: 0 } } }));
  traces.push({ x: axis.x, y: axis.y.map((y) => y === null ? null : 1.05), mode: "markers", name: "actual",
                text: axis.y.map((y) => y === null ? "" : plain(group.classes[y])), hovertemplate: "%{text}",
                marker: { color: axis.y.map((y) => y === null ? "" : tint(y)), symbol: "square", size: 7,
                          line: { width: 0 } } });
  plot(place, traces, { ...layout, barmode: "stack", bargap: 0, yaxis: { title: { text: "probability" } } });
}

function step(place, group, run) {
  const mode = run.step.length < 60 ? "lines+markers" : "lines", x = run.step.map((_, i) => i + 1);
  const best = group.runs[0], traces = [];
  if (best !== run) traces.push({ x, y: best.step, mode, name: "best run", line: { color: colour("other"), width: 1.2 } });
  traces.push({ x, y: run.step, mode, name: "this run", line: { color: colour("accent"), width: 1.8 } });
  plot(place, traces, { showlegend: best !== run, xaxis: { title: { text: "step" }, range: [0.4, x.length + 0.6] },
    yaxis: { rangemode: "tozero", title: { text: group.classes.length ? "share of wrong classes" : "mean absolute error" } } });
}

function map(place, z, x, y, layout) {
  const scale = [[0, rgb(faint("accent", 0.06))], [1, rgb(faint("accent", layout.most || 1))]];
  plot(place, [{ type: "heatmap", x, y, z, colorscale: scale, xgap: 1, ygap: 1, hoverongaps: false,
                 colorbar: { thickness: 10, outlinewidth: 0 }, ...layout.trace }],
       { xaxis: { showgrid: false, ...layout.xaxis }, yaxis: { showgrid: false, autorange: "reversed", ...layout.yaxis } });
}

function calibration(place, group, run) {
  if (run.confusion) {
    const names = group.classes.map(plain);
    return map(place, run.confusion, names, names, { xaxis: { title: { text: "forecast" }, type: "category" },
      yaxis: { title: { text: "actual" }, type: "category" }, trace: { texttemplate: "%{z}", showscale: false,
        textfont: { color: colour("ink") } }, most: 0.5 });
  }
  const ideal = { x: [0, 1], y: [0, 1], mode: "lines", hoverinfo: "skip", line: { color: colour("quiet"), dash: "dot", width: 1 } };
  const own = { x: run.reliability.level, y: run.reliability.share, mode: "lines+markers", line: { color: colour("accent") } };
  plot(place, [ideal, own], { showlegend: false, xaxis: { title: { text: "level of the quantile" }, range: [0, 1] },
    yaxis: { title: { text: "share of values below" }, range: [0, 1] } });
}

// Pages: the hash names one.
function draw(page) {
  const group = GROUPS[page.dataset.group], run = group.runs[page.dataset.run];
  const place = (name) => page.querySelector(`[data-chart=${name}]`);
  const [series, beside] = ["series", "beside"].map((name) => page.querySelector(`[data-choice=${name}]`));
  if (!series.options.length) {
    group.series.forEach((x, i) => series.add(new Option(x.name, i)));
    beside.add(new Option("no other run", ""));
    group.runs.forEach((x, i) => x === run || beside.add(new Option(x.name, i)));
    beside.parentElement.hidden = group.classes.length > 0 || group.runs.length < 2;
    page.querySelector("[data-note]").textContent = group.shown;
    series.onchange = beside.onchange = () => draw(page);
  }
  forecast(place("forecast"), group, run, Number(series.value), group.runs[beside.value]);
  step(place("step"), group, run);
  const without = (name) => { place(name).parentElement.hidden = true; };
  if (run.week) map(place("week"), run.week.loss, run.week.hours, DAYS,
                    { xaxis: { title: { text: "hour" }, dtick: run.week.hours.length > 1 ? 6 : 1 } });
  else without("week");
  if (run.reliability || run.confusion) calibration(place("calibration"), group, run);
  else without("calibration");
}

function route(event) {
  const target = document.getElementById(location.hash.slice(1)) || document.getElementById("board");
  const page = target.closest("[data-page]");
  for (const other of document.querySelectorAll("[data-page]")) other.hidden = other !== page;
  if (page.dataset.run) draw(page);
  if (event) {
    if (target === page) scrollTo(0, 0);
    else target.scrollIntoView();
    page.querySelector("h1").focus({ preventScroll: true });
  }
}
addEventListener("hashchange", route);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => route());
route();
