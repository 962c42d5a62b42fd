import { CsvTable, Fault, Hint, Table, at, bytes, dateTime, enc, get, head, html, rowsOf, useLoad, useState, zone } from "parts";

const SHOWN_BYTES = 400_000;
const READABLE = /\.(csv|tsv|txt|log|sql|jsonl?|ya?ml|md)$/i;
const IMAGE = /\.(png|jpe?g)$/i;

function Content({ path, name }) {
	const isImage = IMAGE.test(name);
	const { data, error } = useLoad(async () => !isImage && head(path, SHOWN_BYTES), [path]);
	if (isImage) return html`<img class="preview" alt=${name} src=${at(path, { inline: 1 })} />`;
	if (!data) return html`<${Fault} error=${error} />`;
	const delimiter = { csv: ",", tsv: "\t" }[name.slice(-3).toLowerCase()];
	return html`${delimiter ? html`<${CsvTable} rows=${rowsOf(data.text, delimiter, data.isAll)} label=${name} />` : html`<pre class="file" tabindex="0" dir="auto">${data.text}</pre>`}
		${!data.isAll && html`<${Hint}>The first ${bytes(SHOWN_BYTES)}. Download the file for all of it.<//>`}`;
}

export function Files({ model, step }) {
	const { data, error } = useLoad(() => get(`${model.base}/files`), [step]);
	const [open, setOpen] = useState(null);
	const pathOf = (name) => `${model.base}/files/${name.split("/").map(enc).join("/")}`;
	const row = ({ name, bytes: size, modified_at }) => html`<tr key=${name} class=${name === open && "is-at"}>
		<td>${READABLE.test(name) || IMAGE.test(name) ? html`<button class="link" aria-expanded=${name === open} onClick=${() => setOpen(name === open ? null : name)}><bdi>${name}</bdi></button>` : html`<bdi>${name}</bdi>`}</td>
		<td class="num">${bytes(size)}</td><td class="num">${dateTime(modified_at)}</td><td><a href=${at(pathOf(name))} download aria-label=${`Download ${name}`}>Download</a></td></tr>`;
	return html`<div class="files"><${Fault} error=${error} />${data && !data.items.length && html`<${Hint}>The run has left no files.<//>`}
		${data?.items.length > 0 && html`<${Table} head=${["Name", "#Size", `#Changed (${zone()})`, ""]}>${data.items.map(row)}<//>`}
		${open && html`<${Content} key=${open} path=${pathOf(open)} name=${open} />`}</div>`;
}
