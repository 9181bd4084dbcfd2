// Branches beside each other: their parameters, sizes and usage, as a table and as a plot.
import { choice, drawn, el, fill, table } from "../dom.js";
import { number, oneLine } from "../text.js";
import { link, worded } from "./commit.js";

const MEASURES = [
  ["tokens", "Tokens"],
  ["entries", "Entries"],
  ["prompt", "Prompt tokens since the fork"],
  ["completion", "Completion tokens since the fork"],
];
const [WIDE, HIGH, LEFT, BELOW] = [640, 320, 70, 50];
const MOST_NAMES = 14;

export async function comparePanel(app) {
  const { branches, left_out, why } = await app.source.compare(app.tract);
  if (!branches.length) return [el("h2", {}, "Branches"), el("p.note", {}, why ?? "There are no branches.")];
  const names = [...new Set(branches.flatMap((each) => Object.keys(each.parameters)))].sort();
  return [
    el("h2", {}, "Branches"),
    left_out > 0 && el("p.note", {}, `These are the ${branches.length} that moved last; ${left_out} are not shown.`),
    names.length > 0 ? plotOf(app, branches, names) : el("p.note", {}, "No branch has generation configs of its own."),
    table(
      "Parameters, sizes and usage of branches, since they parted",
      ["Branch", ...names, ...MEASURES.map(([, text]) => text), "Last message"],
      branches.map((each) => [
        each.head ? link(app, each.head, each.branch) : each.branch,
        ...names.map((name) => (each.parameters[name] ?? []).map(worded).join(", ")),
        ...MEASURES.map(([measure]) => number(each[measure])),
        oneLine(each.last).slice(0, 120),
      ]),
    ),
  ];
}

function plotOf(app, branches, names) {
  const values = (name) => new Set(branches.flatMap((each) => each.parameters[name] ?? []).map(worded)).size;
  const { x, y } = app.chosen;
  const chosen = { x: names.includes(x) ? x : names.toSorted((a, b) => values(b) - values(a))[0], y: y ?? "tokens" };
  const box = el("div.plot");
  const draw = () => fill(box, plot(branches, chosen.x, chosen.y));
  const change = (axis) => (value) => {
    chosen[axis] = app.chosen[axis] = value;
    draw();
  };
  draw();
  return el(
    "div",
    {},
    el(
      "p.bar",
      {},
      choice("Parameter", names.map((each) => [each, each]), chosen.x, change("x")),
      choice("Measure", MEASURES, chosen.y, change("y")),
    ),
    box,
  );
}

function plot(branches, name, measure) {
  const points = branches.flatMap((each) =>
    (each.parameters[name] ?? []).map((value) => ({ branch: each.branch, value, y: each[measure] })),
  );
  const x = scaleOf(points.map((each) => each.value));
  const top = Math.max(1, ...points.map((each) => each.y));
  const y = (value) => HIGH - BELOW - (value / top) * (HIGH - BELOW - 24);
  const title = MEASURES.find(([each]) => each === measure)[1];
  const said = points.map((each) => `${each.branch}: ${worded(each.value)}, ${number(each.y)}`).join("; ");
  return drawn(
    "svg",
    { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${title} over ${name}. ${said}` },
    drawn("path", { class: "axis", d: `M${LEFT} 12V${HIGH - BELOW}H${WIDE - 12}` }),
    [0, top / 2, top].map((each) =>
      drawn("text", { x: LEFT - 8, y: y(each) + 4, "text-anchor": "end" }, number(Math.round(each))),
    ),
    x.ticks.map(([at, text]) => drawn("text", { x: at, y: HIGH - BELOW + 20, "text-anchor": "middle" }, text)),
    drawn("text", { x: (WIDE + LEFT) / 2, y: HIGH - 8, "text-anchor": "middle" }, name),
    points.map((each, at) => [
      drawn("circle", { class: `dot hue-${at % 8}`, cx: x.at(each.value), cy: y(each.y), r: 6 }),
      points.length <= MOST_NAMES && drawn("text", { x: x.at(each.value) + 10, y: y(each.y) + 4 }, each.branch),
    ]),
  );
}

/** Return where values stand on the axis: by their size if all are numbers, else one beside the other. */
function scaleOf(values) {
  const room = WIDE - LEFT - 120;
  const numbers = values.length > 0 && values.every((each) => typeof each === "number");
  const several = [...new Set(values.map((each) => (numbers ? each : worded(each))))];
  if (numbers) {
    const [least, most] = [Math.min(...several), Math.max(...several)];
    const at = (value) => LEFT + 40 + (most > least ? ((value - least) / (most - least)) * room : room / 2);
    return { at, ticks: several.slice(0, 10).map((each) => [at(each), String(each)]) };
  }
  const at = (value) => LEFT + 40 + (several.length > 1 ? (several.indexOf(worded(value)) / (several.length - 1)) * room : room / 2);
  return { at, ticks: several.map((each, index) => [LEFT + 40 + (several.length > 1 ? (index / (several.length - 1)) * room : room / 2), each.slice(0, 24)]) };
}
