import { count, html, useState } from "lib";
import { Json } from "./json.js";
import { Virtual } from "./virtual.js";

export const Table = ({ head, children, ...rest }) => html`<table ...${rest}><thead><tr>
	${head.map((one) => (one ? html`<th class=${one[0] === "#" && "num"}>${one.replace("#", "")}</th>` : html`<td></td>`))}</tr></thead><tbody>${children}</tbody></table>`;

const CHANGES_SHOWN = 40;
const SIGNS = { added: "+", changed: "~", removed: "−" };
const pathText = (path) => path.map((key) => (/^[\w-]+$/.test(key) ? key : JSON.stringify(key))).join(".");

export function Changes({ changes }) {
	const [isAll, setAll] = useState(false);
	const shown = isAll ? changes : changes.slice(0, CHANGES_SHOWN);
	return html`<table class="changes"><tbody>${shown.map(({ path, kind, before, after }) => html`<tr key=${path.join("\0")} class=${kind}>
		<td class="sign"><span aria-label=${kind} role="img">${SIGNS[kind]}</span></td><th scope="row" title=${pathText(path)}><bdi>${pathText(path).split(/(?<=\.)/).map((part) => [part, html`<wbr />`])}</bdi></th>
		<td>${before !== undefined && html`<span class="old"><${Json} value=${before} /></span>`}${kind === "changed" && " → "}${after !== undefined && html`<${Json} value=${after} />`}</td></tr>`)}</tbody></table>
		${changes.length > shown.length && html`<button class="more" onClick=${() => setAll(true)}>all ${count(changes.length)} changes</button>`}`;
}

const COLUMNS_MAX = 60;

export function CsvTable({ rows: [header = [], ...body], label }) {
	const columns = Math.min(COLUMNS_MAX, header.length);
	const style = { gridTemplateColumns: `repeat(${columns}, minmax(70px, 1fr))`, minWidth: `${columns * 84}px` };
	const isNumber = header.map((_, at) => body.slice(0, 200).every((cells) => !isNaN(cells[at] ?? "")));
	const row = (cells, kind) => html`<div class=${`csvrow ${kind ?? ""}`} style=${style}>${cells.slice(0, columns).map((cell, at) => html`<span title=${cell} dir="auto" class=${isNumber[at] && "num"}>${cell.slice(0, 200)}</span>`)}</div>`;
	return html`<${Virtual} class="csv" label=${label} count=${body.length} height=${22} rowsMax=${15} head=${row(header, "head")} render=${(index) => row(body[index])} />`;
}
