/** A small plot: numbers over steps, with the threshold that they are compared with. */
import { html } from "../lib/html.js";

const W = 260, H = 84, PAD = 6;
const tidy = (value) => (Number.isInteger(value) ? value.toLocaleString("en-US") : +value.toPrecision(4));

/** `points` and `limits` are `[[step, value]]`; a click on a point goes to its step. */
export function Curve({ label, points, limits = [], step, onStep }) {
  const xs = points.map(([x]) => x);
  const ys = [...points, ...limits].map(([, y]) => y);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const px = (x) => PAD + ((x - x0) / (x1 - x0 || 1)) * (W - 2 * PAD);
  const py = (y) => H - PAD - ((y - y0) / (y1 - y0 || 1)) * (H - 2 * PAD);
  const line = (list) => list.map(([x, y]) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`).join(" ");
  const [, lastValue] = points.at(-1);
  const lastLimit = limits.at(-1)?.[1];
  const saying = `${label}: from ${tidy(points[0][1])} to ${tidy(lastValue)}${lastLimit === undefined ? "" : `, threshold ${tidy(lastLimit)}`}`;
  return html`<figure class="curve"><figcaption title=${label}><bdi>${label}</bdi></figcaption>
    <svg viewBox=${`0 0 ${W} ${H}`} role="img" aria-label=${saying}>
      ${limits.length ? html`<polyline class="limit" points=${line(limits.length > 1 ? limits : [[x0, limits[0][1]], [x1, limits[0][1]]])} />` : null}
      <polyline class="values" points=${line(points)} />
      ${points.length <= 60 ? points.map(([x, y]) => html`<circle key=${x} class=${x === step ? "is-at" : ""} cx=${px(x)} cy=${py(y)} r=${x === step ? 4 : 2.5} onClick=${() => onStep?.(x)}><title>step ${x}: ${tidy(y)}</title></circle>`) : null}
    </svg>
    <div class="range"><span>${tidy(points[0][1])}</span><span>→ ${tidy(lastValue)}${lastLimit === undefined ? "" : html` <span class="limit">threshold ${tidy(lastLimit)}</span>`}</span></div>
  </figure>`;
}
