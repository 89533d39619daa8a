// What the report plots, of the outcome that the page carries (loadtest/outcome.py). See plots.js for how.
"use strict";

const STATES = ["online", "connecting", "away", "waiting", "done", "refused", "failed"];
const QUANTILES = { p50: "p50", p90: "p90", p99: "p99", p999: "p99.9", longest: "longest" };
const DASHES = { p50: [2, 3], p90: [4, 4], p99: [], p999: [8, 4], longest: [10, 3, 2, 3] };

const rate = (name, count, tint) => ({
  name,
  hue: tint,
  values: run.moments.map((each) => (each.counts[count] ?? 0) / step),
});
const some = (series) => series.filter(({ values }) => values.some((value) => value !== null && value !== 0));

function drawPlayersAndTraffic() {
  const states = STATES.map((state, nth) => ({
    name: state,
    hue: ["c0", "c2", "c4", "c9", "c6", "c5", "c3"][nth],
    values: run.moments.map((each) => each.players[state] ?? 0),
  }));
  overTime({ title: "Players", why: "By what they are doing, on top of each other", series: some(states), stacked: true });
  const connections = [rate("lost", "lost", "c3"), rate("resumed", "resumed", "c0"), rate("sign-ins", "sign_ins", "c2"),
    rate("dials to nothing", "unreached", "c1")];
  overTime({ title: "Connections a second", series: connections });
  const asked = [rate("asked", "asked", "c2"), rate("answered", "answered", "c0"), rate("of them refused", "refused", "c4"),
    rate("sent again", "sent_again", "c1"), rate("without an answer", "unanswered", "c3")];
  overTime({ title: "Requests a second", series: asked });
  const heard = [rate("durable events", "heard", "c0"), rate("ephemeral events", "told", "c5")];
  overTime({ title: "Deliveries a second", why: "Events that players received", series: heard });
}

function drawErrors() {
  const totals = {};
  for (const { errors } of run.moments) for (const code in errors) totals[code] = (totals[code] ?? 0) + errors[code];
  const codes = Object.keys(totals).filter((code) => totals[code]).sort((a, b) => totals[b] - totals[a]);
  const [named, rest] = [codes.slice(0, 8), codes.slice(8)];
  const series = named.map((code) => ({ name: code, values: run.moments.map((each) => (each.errors[code] ?? 0) / step) }));
  if (rest.length) {
    const sum = (errors) => rest.reduce((all, code) => all + (errors[code] ?? 0), 0) / step;
    series.push({ name: `${rest.length} more codes`, values: run.moments.map((each) => sum(each.errors)) });
  }
  if (series.length) overTime({ title: "Error replies a second", series });
}

// Latencies: kinds and percentiles are chosen, for both plots.

const kinds = run.kinds.map((each) => each.kind);
const frequent = [...run.kinds].sort((a, b) => b.took.count - a.took.count).map((each) => each.kind);
const chosen = { kinds: new Set(frequent.slice(0, 5)), quantiles: new Set(["p99"]) };

function choice(words, names, labels, set, changed) {
  const field = make("fieldset", { className: "choice" }, make("legend", { textContent: words }));
  for (const name of names) {
    const input = make("input", { type: "checkbox", value: name, checked: set.has(name) });
    input.addEventListener("change", () => {
      if (input.checked) set.add(name);
      else set.delete(name);
      changed();
    });
    field.append(make("label", {}, input, labels[name] ?? name));
  }
  return field;
}

function latencySeries() {
  return kinds.filter((kind) => chosen.kinds.has(kind)).flatMap((kind) =>
    Object.keys(QUANTILES).filter((each) => chosen.quantiles.has(each)).map((quantile) => ({
      name: `${kind} ${QUANTILES[quantile]}`,
      hue: hue(kinds.indexOf(kind)),
      dash: DASHES[quantile],
      values: run.moments.map((each) => each.took[kind]?.[quantile] ?? null),
    })));
}

function drawLatencies() {
  if (!kinds.length) return;
  const why = "Of requests by type, and of connecting; on a logarithmic scale";
  const plot = { title: "Latency", why, unit: "ms", log: true, wide: true };
  const { box, canvas } = overTime({ ...plot, series: latencySeries() });
  const curve = card({ title: "Latency by percentile", why: "How slow the slowest are, over the whole run", wide: true });
  const again = () => {
    canvas.plot.destroy();
    draw({ ...plot, series: latencySeries() }, box, canvas);
    drawCurve(curve.canvas);
  };
  canvas.before(choice("Percentile", Object.keys(QUANTILES), QUANTILES, chosen.quantiles, again),
    choice("Of", kinds, {}, chosen.kinds, again));
  drawCurve(curve.canvas);
}

/** (1 / (1 - p), ms) of a kind. What none was slower than stands at the number of latencies: beyond it nothing is known. */
function points({ curve, took }) {
  const found = curve.map(([percent, ms]) => [Math.min(1 / (1 - Math.min(percent, 99.9999999) / 100), took.count), ms]);
  const kept = found.filter(([x], nth) => nth === found.length - 1 || found[nth + 1][0] > x);
  return [kept.map(([x]) => x), kept.map(([, ms]) => ms)];
}

function percentile(x) {
  const percent = 100 - 100 / x;
  return `${+percent.toFixed(Math.max(0, Math.ceil(Math.log10(x)) - 1))} %`;
}

function drawCurve(canvas) {
  canvas.plot?.destroy();
  curves.length = 0;
  const drawnKinds = run.kinds.filter(({ kind, curve }) => chosen.kinds.has(kind) && curve.length);
  const data = drawnKinds.length ? uPlot.join(drawnKinds.map(points)) : [[1, 10]];
  const series = drawnKinds.map(({ kind }) => ({
    ...drawn({ name: kind, hue: hue(kinds.indexOf(kind)) }, 0, "ms"),
    spanGaps: true,
    points: { show: false },
  }));
  const nearest = (u, nth, at) => {
    for (let by = 0; nth && by < u.data[0].length; by++)
      for (const index of [at - by, at + by]) if (u.data[nth][index] != null) return index;
    return at;
  };
  const u = new uPlot(
    options({
      canvas,
      unit: "ms",
      series,
      markers: drawnKinds.map(({ kind }) => hue(kinds.indexOf(kind))),
      scales: { x: { time: false, distr: 3, range: (u, low, high) => [1, Math.max(high ?? 10, 10)] }, y: logarithmic },
      xAxis: { grid: { stroke: () => colour("line"), filter: tens }, values: (u, splits) => tens(u, splits).map((x) => x && percentile(x)), one: percentile },
      cursor: { drag: { x: false, y: false }, dataIdx: nearest },
      hooks: {},
    }),
    data,
    canvas,
  );
  curves.push({ u });
  put(u, canvas);
}

// Servers and the tester itself.

function drawServers() {
  const nodes = run.server.filter((each) => each.moments.length);
  const tables = (field) => nodes.map((node) => [node.moments.map((each) => each.at_ms / 1000), node.moments.map((each) => each[field])]);
  const all = [["Server: processor", "cpu", "share", "Share of a core, by node"], ["Server: memory", "memory_bytes", "bytes", "By node"],
    ["Server: commit", "commit_ms", "ms", "Mean time of a commit, by node"], ["Server: lag of the event loop", "loop_lag_ms", "ms", "By node"],
    ["Server: sessions", "sessions", "number", "By node"]];
  for (const [title, field, unit, why] of all) {
    if (!nodes.some((node) => node.moments.some((each) => each[field] !== null))) continue;
    const [at, ...values] = uPlot.join(tables(field));
    overTime({ title, why, unit, at, series: nodes.map((node, nth) => ({ name: node.url, values: values[nth] })) });
  }
}

function drawTester() {
  const lag = [{ name: "lag", hue: "c1", values: run.moments.map((each) => each.lag_ms) }];
  overTime({ title: "The tester: lag", why: "How late its latest timer was; more than a few ms, and latencies are the tester's", unit: "ms", series: lag });
  const processes = Math.max(0, ...run.moments.map((each) => each.cpu.length));
  const cpu = Array.from({ length: processes }, (_, nth) => ({ name: `process ${nth + 1}`, values: run.moments.map((each) => each.cpu[nth] ?? null) }));
  overTime({ title: "The tester: processor", why: "Share of a core, by process", unit: "share", series: cpu });
}

/** On paper the plots are light, and as wide as a page in portrait has room for; no observer runs while printing. */
function print(printing) {
  document.documentElement.toggleAttribute("data-printing", printing);
  for (const canvas of document.querySelectorAll(".canvas")) {
    const wide = canvas.parentElement.classList.contains("wide");
    const width = printing ? (wide ? 670 : 316) : canvas.clientWidth;
    canvas.plot.setSize({ width, height: printing ? 190 : HEIGHT });
  }
  recolour();
}

function main() {
  if (!run.moments.length) {
    const words = "There is nothing to plot: no second of the run was played.";
    document.getElementById("plots").append(make("p", { className: "plot wide empty", textContent: words }));
    return;
  }
  document.getElementById("controls").hidden = false;
  document.getElementById("whole").addEventListener("click", () => zoom(whole));
  drawPlayersAndTraffic();
  drawLatencies();
  drawErrors();
  drawServers();
  drawTester();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
}

main();
document.documentElement.dataset.drawn = "";
