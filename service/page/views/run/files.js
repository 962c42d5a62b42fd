/** Files that a run left: to look at, as text or as a table, or to download. */
import { html, useState } from "../../lib/html.js";
import { at, enc, head, maybe } from "../../lib/api.js";
import { bytes, dateTime, zone } from "../../lib/format.js";
import { rowsOf } from "../../lib/csv.js";
import { useLoad } from "../../lib/load.js";
import { Fault } from "../../parts/basics.js";
import { Virtual } from "../../parts/virtual.js";

const SHOWN_BYTES = 400_000;
const READABLE = /\.(csv|tsv|txt|log|sql|json|jsonl|ya?ml|md)$/i;
const IMAGE = /\.(png|jpe?g)$/i;

export const fileUrl = (model, name, query) => at(`${model.base}/files/${name.split("/").map(enc).join("/")}`, query);

export function Table({ rows, label }) {
  const [header = [], ...body] = rows;
  const columns = Math.min(60, header.length);
  const grid = { gridTemplateColumns: `repeat(${columns}, minmax(90px, 1fr))`, minWidth: `${columns * 110}px` };
  const cells = (row) => row.slice(0, columns).map((cell) => html`<span title=${cell} dir="auto">${cell.slice(0, 200)}</span>`);
  return html`<div class="csv"><div class="csvrow head" style=${grid}>${cells(header)}</div>
    <${Virtual} label=${label} class="csvbody" count=${body.length} height=${22} rowsMax=${15} render=${(index) => html`<div class="csvrow" style=${grid}>${cells(body[index])}</div>`} /></div>`;
}

function Content({ model, name }) {
  const isImage = IMAGE.test(name);
  const { data, error } = useLoad(async () => (isImage ? null : head(`${model.base}/files/${name.split("/").map(enc).join("/")}`, SHOWN_BYTES)), [name]);
  if (isImage) return html`<img class="preview" alt=${name} src=${fileUrl(model, name, { inline: 1 })} />`;
  if (!data) return html`<${Fault} error=${error} />`;
  const isTable = /\.(csv|tsv)$/i.test(name);
  return html`${isTable ? html`<${Table} rows=${rowsOf(data.text, /\.tsv$/i.test(name) ? "\t" : ",", data.isAll)} label=${name} />` : html`<pre class="file" tabindex="0" dir="auto">${data.text}</pre>`}
    ${data.isAll ? null : html`<p class="hint">The first ${bytes(SHOWN_BYTES)}. Download the file for all of it.</p>`}`;
}

export function Files({ model, step }) {
  const { data, error } = useLoad(() => maybe(`${model.base}/files`), [step]);
  const [name, setName] = useState(null);
  const items = data?.items ?? [];
  return html`<div class="files"><${Fault} error=${error} />
    ${data && !items.length ? html`<p class="hint pad">The run has left no files.</p>` : null}
    ${items.length ? html`<table><thead><tr><th>Name</th><th class="num">Size</th><th class="num">Changed (${zone.value})</th><td></td></tr></thead><tbody>
      ${items.map((file) => html`<tr key=${file.name} class=${file.name === name ? "is-at" : ""}>
        <td>${READABLE.test(file.name) || IMAGE.test(file.name) ? html`<button class="link" aria-expanded=${file.name === name} onClick=${() => setName(file.name === name ? null : file.name)}><bdi>${file.name}</bdi></button>` : html`<bdi>${file.name}</bdi>`}</td>
        <td class="num">${bytes(file.bytes)}</td><td class="num">${dateTime(file.modified_at)}</td><td><a href=${fileUrl(model, file.name).href} download aria-label=${`Download ${file.name}`}>Download</a></td></tr>`)}
    </tbody></table>` : null}
    ${name ? html`<${Content} key=${name} model=${model} name=${name} />` : null}</div>`;
}
