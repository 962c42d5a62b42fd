import { bytes, go, href, html, post, useEffect, useState } from "lib";
import { Dialog, Fault, say, submits } from "./basics.js";

async function startDemo(file, query) {
	const { run_id } = await post("demo/run_data_quality", file ?? {}, query, file && "text/csv");
	go(href(["runs", run_id]));
}

export const DemoButton = () => html`<button onClick=${() => startDemo().catch(say)}>Run the demo</button>`;

function DroppedFile({ file, onClose }) {
	const [error, setError] = useState(null);
	const start = submits((query) => startDemo(file, query).then(onClose, setError));
	return html`<form onSubmit=${start}><${Dialog} title="Check this table" onClose=${onClose} word="Start">
		<p><bdi>${file.name}</bdi>, ${bytes(file.size)}. The data quality graph finds what is wrong with it and mends what evidence supports. The file stays as it is.</p>
		<div class="fields">
			<label class="inline">Mode <select name="mode"><option>mend</option><option>report</option></select></label>
			<label class="inline">Delimiter <input name="delimiter" size="6" placeholder="found out" /></label>
			<label class="inline">Encoding <input name="encoding" size="8" placeholder="found out" /></label>
		</div><${Fault} error=${error} /><//></form>`;
}

export function DropTarget() {
	const [isOver, setOver] = useState(false);
	const [file, setFile] = useState(null);
	useEffect(() => {
		const handle = (event) => {
			if (!event.dataTransfer?.types.includes("Files")) return;
			event.preventDefault();
			setOver(event.type === "dragover" || (event.type === "dragleave" && event.relatedTarget !== null));
			if (event.type === "drop") setFile(event.dataTransfer.files[0] ?? null);
		};
		for (const name of ["dragover", "dragleave", "drop"]) addEventListener(name, handle);
	}, []);
	return html`${isOver && html`<div class="drop"><p>Drop a CSV file to check it</p></div>`}
		${file && html`<${DroppedFile} file=${file} onClose=${() => setFile(null)} />`}`;
}
