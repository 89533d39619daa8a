// How a plot of the report works: one over time shares its cursor and its zoom with all others. Text is put in as text.
"use strict";

const run = JSON.parse(document.getElementById("outcome").textContent);
const step = run.moment_s;
const times = run.moments.map((each) => each.second + step / 2); // a second is drawn at its middle, marks where they were
const end = Math.max(run.played_s, ...run.moments.slice(-1).map((each) => each.second + step), 1);
const whole = { min: 0, max: end };
const plots = []; // every plot over time: { u, box }
const curves = []; // the others: { u }
const HEIGHT = 230;

// Words.

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function clock(seconds) {
  const all = Math.max(0, Math.floor(seconds));
  const two = (value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(all / 3600), Math.floor(all / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
}

function digits(value) {
  const size = Math.abs(value);
  const places = Number.isInteger(value) || size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return value.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
}

const written = {
  number: digits,
  ms: (value) => (value >= 1000 ? `${digits(value / 1000)} s` : `${digits(value)} ms`),
  share: (value) => `${digits(value * 100)} %`,
  bytes: (value) => (value >= 1e9 ? `${digits(value / 1e9)} GB` : `${digits(value / 1e6)} MB`),
};

const short = (unit) => (value) => {
  if (value === null) return "";
  if (unit === "number") return value >= 10000 ? `${+(value / 1000).toPrecision(4)}k` : `${+value.toPrecision(6)}`;
  if (unit === "ms") return value >= 1000 ? `${+(value / 1000).toPrecision(4)} s` : `${+value.toPrecision(4)} ms`;
  if (unit === "share") return `${+(value * 100).toPrecision(4)} %`;
  return value >= 1e9 ? `${+(value / 1e9).toPrecision(4)} GB` : `${+(value / 1e6).toPrecision(4)} MB`;
};

// Colours come from the style sheet, so that they follow light, dark and paper.

let styles = getComputedStyle(document.documentElement);
const colour = (name) => styles.getPropertyValue(`--${name}`).trim();
const hue = (nth) => `c${nth % 10}`;

function recolour() {
  styles = getComputedStyle(document.documentElement);
  for (const { u } of [...plots, ...curves]) u.redraw(false);
}

// One plot: { title, why, unit, series: [{ name, values, hue?, dash? }], stacked, log, wide, at }.

function card({ title, why, wide }) {
  const canvas = make("div", { className: "canvas", tabIndex: 0 });
  canvas.setAttribute("role", "group");
  canvas.setAttribute("aria-label", `${title}. Arrow keys go through time.`);
  const box = make("div", { className: `plot${wide ? " wide" : ""}` }, make("h3", { textContent: title }));
  if (why) box.append(make("p", { className: "why", textContent: why }));
  box.append(canvas);
  document.getElementById("plots").append(box);
  return { box, canvas };
}

/** Lay each shown series on those before it; the topmost comes first, so that the lower ones are painted over it. */
function stack(series, shown) {
  const sums = times.map(() => 0);
  const layers = series.map(({ values }, nth) => {
    if (shown[nth]) values.forEach((value, at) => (sums[at] += value ?? 0));
    return [...sums];
  });
  return layers.reverse();
}

function drawn(each, nth, unit, stacked, raw) {
  const name = each.hue ?? hue(nth);
  return {
    label: each.name,
    stroke: () => colour(name),
    fill: stacked ? () => colour(name) : undefined,
    width: stacked ? 0 : 1.6,
    dash: each.dash,
    spanGaps: false,
    points: { size: 6, fill: () => colour(name), ...(stacked && { show: times.length === 1 }) },
    value: (u, value, series, at) => {
      const real = raw ? (at === null ? null : raw[series - 1][at]) : value;
      return real === null || real === undefined ? "–" : written[unit](real);
    },
  };
}

const tens = (u, splits) => splits.map((value) => (Number.isInteger(+Math.log10(value).toFixed(6)) ? value : null));

function axes(unit, xValues, log) {
  const grid = { stroke: () => colour("line"), width: 1 };
  const look = { stroke: () => colour("soft"), grid, ticks: { show: false } };
  const font = '12px system-ui, -apple-system, "Segoe UI", sans-serif';
  const wide = (u, values) => 16 + 7 * Math.max(3, ...(values ?? []).map((each) => (each ?? "").length));
  return [
    { ...look, font, size: 26, gap: 4, ...xValues },
    { ...look, font, size: wide, ...(log && { grid: { ...grid, filter: tens } }), values: (u, splits) => splits.map(short(unit)) },
  ];
}

const timeAxis = {
  space: 60,
  incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400],
  values: (u, splits) => splits.map(clock),
};

const linear = { range: (u, low, high) => [0, high > 0 ? high * 1.08 : 1] };
const logarithmic = {
  distr: 3,
  range: (u, low, high) => [10 ** Math.floor(Math.log10(low || 1)), 10 ** Math.ceil(Math.log10((high || 10) * 1.01))],
};

function options({ canvas, unit, series, scales, xAxis, cursor, hooks, markers }) {
  return {
    width: canvas.clientWidth || 600,
    height: HEIGHT,
    series: [{ label: "at", value: (u, value) => (value === null ? "–" : xAxis.one(value)) }, ...series],
    scales,
    axes: axes(unit, xAxis, scales.y.distr === 3),
    padding: [22, null, 0, 0], // above, for the words of marks
    cursor: { y: false, points: { size: 7 }, ...cursor },
    legend: { markers: { width: 0, fill: (u, nth) => `var(--${markers[nth - 1]})` } },
    hooks,
  };
}

/** Have the names in the legend work like buttons; they hide and show their line. */
function reachable(u) {
  u.root.querySelectorAll(".u-legend th").forEach((name, nth) => {
    if (nth === 0) return;
    name.tabIndex = 0;
    name.setAttribute("role", "button");
    const tell = () => name.setAttribute("aria-pressed", String(u.series[nth].show));
    name.addEventListener("click", tell);
    name.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      name.click();
    });
    tell();
  });
}

const widths = new ResizeObserver((entries) => {
  for (const { target } of entries) target.plot?.setSize({ width: target.clientWidth, height: HEIGHT });
});

function put(u, canvas) {
  canvas.plot = u;
  reachable(u);
  widths.observe(canvas);
}

// Over time.

function overTime(plot) {
  const { box, canvas } = card(plot);
  draw(plot, box, canvas);
  return { box, canvas };
}

function draw(plot, box, canvas) {
  const { unit = "number", stacked, log, at = times } = plot;
  const shown = plot.series.map(() => true);
  const order = stacked ? [...plot.series].reverse() : plot.series;
  const hues = plot.series.map((each, nth) => each.hue ?? hue(nth));
  const markers = stacked ? [...hues].reverse() : hues;
  const raw = stacked ? order.map((each) => each.values) : null;
  const data = () => [at, ...(stacked ? stack(plot.series, shown) : plot.series.map((each) => each.values))];
  const made = options({
    canvas,
    unit,
    markers,
    series: order.map((each, nth) => drawn({ ...each, hue: markers[nth] }, nth, unit, stacked, raw)),
    scales: { x: { time: false, range: (u, low, high) => (low === null ? [0, end] : [low, high]) }, y: log ? logarithmic : linear },
    xAxis: { ...timeAxis, one: clock },
    cursor: {
      drag: { x: true, y: false, setScale: false },
      sync: { key: "time", scales: ["x", null], filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
      bind: { dblclick: () => () => zoom(whole) },
    },
    hooks: {
      setSelect: [select],
      setCursor: [tell],
      draw: [flags],
      setSeries: [
        (u, nth, change) => {
          if (!stacked || change.show === undefined || nth === null) return;
          shown[plot.series.length - nth] = change.show;
          u.setData(data(), false);
          u.setScale("x", { min: u.scales.x.min, max: u.scales.x.max });
        },
      ],
    },
  });
  const u = new uPlot(made, data(), canvas);
  u.setScale("x", plots.length ? plots[0].u.scales.x : whole);
  const known = plots.find((each) => each.box === box);
  if (known) known.u = u;
  else plots.push({ u, box });
  put(u, canvas);
  if (!known) canvas.addEventListener("keydown", (event) => press(event, canvas.plot));
}

let zoomed = whole;

function zoom(limits) {
  zoomed = limits;
  for (const { u } of plots) u.setScale("x", limits);
  document.getElementById("whole").hidden = limits === whole;
}

function select(u) {
  if (!u.select.width) return;
  const [min, max] = [u.select.left, u.select.left + u.select.width].map((left) => u.posToVal(left, "x"));
  u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  if (max - min >= 1) zoom({ min: Math.max(0, min), max: Math.min(end, max) });
}

function tell(u) {
  const at = u.cursor.idx === null || u.cursor.left < 0 ? null : u.data[0][u.cursor.idx];
  if (at === null || at === undefined) return;
  const near = run.marks.findLast((mark) => mark.at_ms / 1000 <= at + step / 2);
  const after = near ? `, ${clock(at - near.at_ms / 1000 + 0.5)} after “${near.says}”` : "";
  document.getElementById("at").textContent = `At ${clock(at)}${after}`;
}

/** The marks of the run, as elements over the plot: each line has its number, and its words where there is room. */
function flags(u) {
  u.over.querySelectorAll(".mark").forEach((each) => each.remove());
  const places = run.marks.map((mark) => u.valToPos(mark.at_ms / 1000, "x"));
  run.marks.forEach((mark, nth) => {
    if (places[nth] < 0 || places[nth] > u.over.clientWidth) return;
    const room = Math.min(places[nth + 1] ?? Infinity, u.over.clientWidth) - places[nth] - 3;
    const words = room > 60 ? `${nth + 1} ${mark.says}` : `${nth + 1}`;
    const line = make("div", { className: "mark" }, make("span", { className: "flag", textContent: words }));
    line.style.left = `${places[nth]}px`;
    line.style.width = `${Math.max(room, 16)}px`;
    u.over.append(line);
  });
}

function press(event, u) {
  const last = u.data[0].length - 1;
  const now = u.cursor.idx ?? -1;
  const by = event.shiftKey ? 10 : 1;
  const moves = { ArrowLeft: now - by, ArrowRight: now + by, Home: 0, End: last };
  if (event.key in moves && last >= 0) {
    const at = u.data[0][Math.min(last, Math.max(0, moves[event.key]))];
    for (const each of plots) each.u.setCursor({ left: each.u.valToPos(at, "x"), top: HEIGHT / 3 });
    tell(u);
  } else if (event.key === "+" || event.key === "-") {
    const middle = now >= 0 ? u.data[0][now] : (zoomed.min + zoomed.max) / 2;
    const half = ((zoomed.max - zoomed.min) / 2) * (event.key === "+" ? 0.5 : 2);
    const limits = { min: Math.max(0, middle - half), max: Math.min(end, middle + half) };
    zoom(limits.min === 0 && limits.max === end ? whole : limits.max - limits.min >= 1 ? limits : zoomed);
  } else if (event.key === "Escape") zoom(whole);
  else return;
  event.preventDefault();
}
