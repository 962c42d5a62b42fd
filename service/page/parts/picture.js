/** The graph as a picture: nodes in layers, edges with their conditions, visits, the way taken. */
import { html, useLayoutEffect, useMemo, useRef } from "../lib/html.js";
import { PICTURE_MAX, layoutOf } from "../lib/graphs.js";
import { count, cut, own } from "../lib/format.js";
import { END, edgesOf, kindOf } from "../lib/edges.js";
import { useLoad } from "../lib/load.js";
import { Fault } from "./basics.js";

export const edgeKey = (from, index) => `${from}\0${index}`;
const n1 = (value) => Math.round(value * 10) / 10;

function curve(points) {
  const [first, ...rest] = points;
  let d = `M${n1(first.x)} ${n1(first.y)}`;
  rest.forEach((point, at) => {
    const next = rest[at + 1];
    d += next ? `Q${n1(point.x)} ${n1(point.y)} ${n1((point.x + next.x) / 2)} ${n1((point.y + next.y) / 2)}` : `L${n1(point.x)} ${n1(point.y)}`;
  });
  return d;
}

function head(points) {
  const [a, b] = points.slice(-2);
  const angle = Math.atan2(b.y - a.y, b.x - a.x);
  const corner = (turn) => `${n1(b.x - 8 * Math.cos(angle + turn))} ${n1(b.y - 8 * Math.sin(angle + turn))}`;
  return `M${n1(b.x)} ${n1(b.y)}L${corner(0.42)}L${corner(-0.42)}Z`;
}

function outline(kind, { x, y, w, h }) {
  const [l, r, t, b] = [x - w / 2, x + w / 2, y - h / 2, y + h / 2];
  if (kind === "signal") return html`<path class="shape" d=${`M${l} ${y}L${l + 12} ${t}H${r - 12}L${r} ${y}L${r - 12} ${b}H${l + 12}Z`} />`;
  const rect = (inset, rx) => html`<rect class="shape" x=${l + inset} y=${t + inset} width=${w - 2 * inset} height=${h - 2 * inset} rx=${rx} />`;
  if (kind === "graph") return html`${rect(0, 5)}${rect(3.5, 3)}`;
  return rect(0, kind === "sleep" ? h / 2 : 7);
}

const activate = (act) => ({
  role: "button", tabindex: 0, onClick: act,
  onKeyDown: (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), act()),
});

function Node({ name, node, place, visits, isStart, classes, onNode }) {
  const [kind, does] = kindOf(node);
  const facts = visits ? `, ${count(visits.visits)} visits${visits.failures ? `, ${count(visits.failures)} failures` : ""}` : "";
  const label = `${name}: ${does}${facts}`;
  return html`<g class=${`node k-${kind} ${classes}`} aria-label=${label} ...${onNode ? activate(() => onNode(name)) : { role: "img" }}>
    <title>${label}</title>
    ${outline(kind, place)}
    ${isStart ? html`<path class="start" d=${`M${place.x - place.w / 2 - 11} ${place.y - 4.5}l7 4.5-7 4.5Z`} />` : null}
    <text x=${place.x} y=${place.y - 2.5} class="title">${cut(name, 26)}</text>
    <text x=${place.x} y=${place.y + 11.5} class="sub">${cut(does === name ? "" : does, 28)}${visits?.visits ? `${does === name ? "" : " · "}×${count(visits.visits)}` : ""}</text>
    ${visits?.failures ? html`<g class="failures"><circle cx=${place.x + place.w / 2 - 2} cy=${place.y - place.h / 2 + 2} r="7" /><text x=${place.x + place.w / 2 - 2} y=${place.y - place.h / 2 + 5}>${visits.failures > 9 ? "9+" : visits.failures}</text></g>` : null}
  </g>`;
}

function Edge({ edge, taken, classes, onEdge }) {
  const label = edge.label + (taken && edge.label ? ` ×${count(taken)}` : "");
  const title = `${edge.from} → ${edge.to === END ? "end" : edge.to}${edge.title ? `: ${edge.title}` : ""}${taken ? `, taken ${count(taken)} times` : ""}`;
  const d = curve(edge.points);
  const act = onEdge && edge.index !== null ? activate(() => onEdge(edge)) : { role: "img" };
  return html`<g class=${`edge ${edge.isError ? "on-error" : ""} ${edge.index === null ? "implied" : ""} ${classes}`} aria-label=${title} ...${act}>
    <title>${title}</title>
    <path class="reach" d=${d} /><path class="way" d=${d} /><path class="head" d=${head(edge.points)} />
    ${label ? html`<rect class="plate" x=${edge.x - label.length * 3.1 - 3} y=${edge.y - 8} width=${label.length * 6.2 + 6} height="16" /><text x=${edge.x} y=${edge.y + 4}>${label}</text>` : null}
  </g>`;
}

/** More nodes than a picture can show: the same facts as a list. */
function List({ definition, stats, classOf, onNode }) {
  const byNode = useMemo(() => Map.groupBy(edgesOf(definition), ({ from }) => from), [definition]);
  return html`<div class="nodelist"><table><thead><tr><th>Node</th><th>Does</th><th class="num">Visits</th><th>Goes to</th></tr></thead><tbody>
    ${Object.entries(definition.nodes).map(([name, node]) => html`<tr key=${name} class=${classOf(name)}>
      <td><button class="link" onClick=${() => onNode?.(name)}><bdi>${name}</bdi></button></td><td>${kindOf(node)[1]}</td>
      <td class="num">${own(stats?.nodes, name)?.visits ?? ""}</td>
      <td>${byNode.get(name)?.map((edge) => html`<div><bdi>${edge.to === END ? "end" : edge.to}</bdi> <span class="hint">${edge.label}</span></div>`)}</td></tr>`)}
  </tbody></table></div>`;
}

/**
 * `stats`: visits by node and counts by edge (`GET /runs/{id}/path`); `current`: the node that runs next, `status`: how; `at`: the node of the cursor's step; `taken`: the key of the edge that this step took; `selected`: a
 * node; `tones`: classes of edges by key.
 */
export function Picture({ definition, stats, current, status, at, taken, selected, tones, onNode, onEdge }) {
  const names = Object.keys(definition.nodes);
  const isLarge = names.length > PICTURE_MAX;
  const { data: placed, error } = useLoad(async () => (isLarge ? null : layoutOf(definition)), [definition]);
  const box = useRef();
  const counts = useMemo(() => new Map((stats?.edges ?? []).map((edge) => [edgeKey(edge.from, edge.index), edge.count])), [stats]);
  useLayoutEffect(() => box.current?.querySelector(".node.current, .node.at")?.scrollIntoView?.({ block: "nearest", inline: "nearest" }), [placed]);
  const classOf = (name) =>
    [name === current && (status === "failed" ? "failed" : `current ${status === "running" ? "alive" : ""}`), name === at && "at", name === selected && "selected", stats && !own(stats.nodes, name) && name !== current && "unvisited"].filter(Boolean).join(" ");
  if (isLarge) return html`<${List} definition=${definition} stats=${stats} classOf=${classOf} onNode=${onNode} />`;
  if (!placed) return html`<div class="picture loading"><${Fault} error=${error} /></div>`;
  const edgeClass = (edge) => {
    const key = edgeKey(edge.from, edge.index);
    return [tones?.get(key), key === taken && "taken", stats && (counts.has(key) ? "walked" : "unwalked")].filter(Boolean).join(" ");
  };
  const end = own(placed.nodes, END);
  return html`<div class="picture" ref=${box}>
    <svg viewBox=${`0 0 ${placed.width} ${placed.height}`} width=${placed.width} height=${placed.height} role="group" aria-label="The graph">
      ${placed.edges.map((edge) => html`<${Edge} key=${edgeKey(edge.from, edge.index)} edge=${edge} taken=${counts.get(edgeKey(edge.from, edge.index))} classes=${edgeClass(edge)} onEdge=${onEdge} />`)}
      ${names.map((name) => html`<${Node} key=${name} name=${name} node=${definition.nodes[name]} place=${placed.nodes[name]} visits=${own(stats?.nodes, name)} isStart=${name === definition.start_node} classes=${classOf(name)} onNode=${onNode} />`)}
      ${end ? html`<g class="end" role="img" aria-label="the run ends"><title>the run ends</title><circle cx=${end.x} cy=${end.y} r="9" /><circle class="dot" cx=${end.x} cy=${end.y} r="5" /></g>` : null}
    </svg>
  </div>`;
}
