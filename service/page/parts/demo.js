/** The data quality demo: by a click, or with a CSV file that is dropped on the page. */
import { html, useEffect, useState } from "../lib/html.js";
import { post } from "../lib/api.js";
import { bytes } from "../lib/format.js";
import { go, href } from "../lib/router.js";
import { Dialog, Fault, say } from "./basics.js";

/** Start the demo over the bundled data set, or over a CSV file, and go to its run. */
export async function startDemo(file, query) {
  const options = file ? { type: "text/csv", query } : {};
  const { run_id } = await post("demo/run_data_quality", file ?? {}, options);
  go(href(["runs", run_id]));
}

export function DemoButton() {
  const [isBusy, setBusy] = useState(false);
  const start = () => {
    setBusy(true);
    startDemo().catch((error) => say(error.message)).finally(() => setBusy(false));
  };
  return html`<button disabled=${isBusy} onClick=${start}>Run the demo</button>`;
}

function DroppedFile({ file, onClose }) {
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const start = async (event) => {
    event.preventDefault();
    const { mode, delimiter, encoding } = event.target.elements;
    setBusy(true);
    try {
      await startDemo(file, { mode: mode.value, delimiter: delimiter.value, encoding: encoding.value });
      onClose();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return html`<${Dialog} title="Check this table" onClose=${onClose}>
    <form onSubmit=${start}>
      <p><bdi class="name">${file.name}</bdi>, ${bytes(file.size)}. The data quality graph finds what is wrong with it and mends what evidence supports. The file itself stays as it is.</p>
      <div class="fields">
        <label>Mode <select name="mode"><option value="mend">mend</option><option value="report">report only</option></select></label>
        <label>Delimiter <input name="delimiter" size="6" placeholder="found out" /></label>
        <label>Encoding <input name="encoding" size="10" placeholder="found out" /></label>
      </div>
      <${Fault} error=${error} />
      <footer><button type="button" onClick=${onClose}>Cancel</button><button class="primary" disabled=${isBusy}>Start</button></footer>
    </form>
  <//>`;
}

/** All of the page takes a dropped file. */
export function DropTarget() {
  const [isOver, setOver] = useState(false);
  const [file, setFile] = useState(null);
  useEffect(() => {
    const hasFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    const over = (event) => hasFile(event) && (event.preventDefault(), setOver(true));
    const leave = (event) => event.relatedTarget === null && setOver(false);
    const drop = (event) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      setOver(false);
      setFile(event.dataTransfer.files[0] ?? null);
    };
    const handlers = { dragover: over, dragleave: leave, drop };
    for (const [name, handler] of Object.entries(handlers)) addEventListener(name, handler);
    return () => Object.entries(handlers).forEach(([name, handler]) => removeEventListener(name, handler));
  }, []);
  return html`
    ${isOver ? html`<div class="drop"><p>Drop a CSV file to check it</p></div>` : null}
    ${file ? html`<${DroppedFile} file=${file} onClose=${() => setFile(null)} />` : null}`;
}
