import { cut, html } from "lib";
import { useSome } from "./basics.js";
import { Json } from "./json.js";
import { Virtual } from "./virtual.js";

export const Table = ({ head, children, ...rest }) => html`<table ...${rest}><thead><tr>
	${head.map((one) => (one ? html`<th class=${one[0] === "#" && "num"}>${one.replace("#", "")}</th>` : html`<td></td>`))}</tr></thead><tbody>${children}</tbody></table>`;

const SIGNS = { added: "+", changed: "~", removed: "−" };
const pathText = (path) => path.map((key) => (/^[\w-]+$/.test(key) ? key : JSON.stringify(key))).join(".");

export function Changes({ changes }) {
	const [shown, more] = useSome(changes, 40);
	return html`<table class="changes"><tbody>${shown.map(({ path, kind, before, after }) => html`<tr key=${path.join("\0")} class=${kind}>
		<td class="sign"><span aria-label=${kind} role="img">${SIGNS[kind]}</span></td><th scope="row" title=${pathText(path)}><bdi>${pathText(path).split(/(?<=\.)/).map((part) => [part, html`<wbr />`])}</bdi></th>
		<td>${before !== undefined && html`<span class="old"><${Json} value=${before} /></span>`}${kind === "changed" && " → "}${after !== undefined && html`<${Json} value=${after} />`}</td></tr>`)}</tbody></table>${more}`;
}

const COLUMNS_MAX = 60;
const SAMPLE = 200;
const shown = (cell = null) => (cell === null ? "" : /^$|^\s|\s$/.test(cell) ? `"${cell}"` : cut(cell, 200));

export function CsvTable({ rows, label }) {
	const [header = [], ...body] = rows;
	const columns = header.slice(0, COLUMNS_MAX).map((_, at) => rows.slice(0, SAMPLE).map((cells) => shown(cells[at])));
	const isNumber = columns.map(([, ...cells]) => cells.every((cell) => !isNaN(Number(cell))));
	const widths = columns.map((cells) => 3 + Math.min(30, Math.max(...cells.map(({ length }) => length))));
	const style = { gridTemplateColumns: widths.map((width) => `minmax(${width}ch, ${width}fr)`).join(" "), minWidth: `${widths.reduce((sum, width) => sum + width, 0)}ch` };
	const row = (cells, kind) => html`<div class=${`csvrow ${kind ?? ""}`} style=${style}>${columns.map((_, at) => html`<span title=${cells[at]} dir="auto" class=${isNumber[at] && "num"}>${shown(cells[at])}</span>`)}</div>`;
	return html`<${Virtual} class="csv" label=${label} count=${body.length} height=${22} rowsMax=${15} head=${row(header, "head")} render=${(index) => row(body[index])} />`;
}
