/** Start a run: choose a graph, edit the state; faults are shown at their place. */
import { enc, get, go, href, html, listGraphs, post, short, text, useEffect, useLoad, useState } from "lib";
import { Dialog, Fault, Select } from "./basics.js";
import { JsonEditor, placed, readJson } from "./json.js";

/** Return the tags of lines `key: value`. */
const tagsOf = (lines) => Object.fromEntries([...lines.matchAll(/^([^:\n]*):(.*)$/gm)].map(([, key, value]) => [key.trim(), value.trim()]));

/** The state that was started last, by graph. */
const LAST = new Map();

/** `like`: a run whose graph, initial state and tags are the first proposal; `graphId`: a graph alone. */
export function Start({ like, graphId, onClose }) {
	const { data: graphs, error } = useLoad(listGraphs, []);
	const [chosen, setChosen] = useState(like?.graph_id ?? graphId);
	const [source, setSource] = useState(null);
	const [tags, setTags] = useState(Object.entries(like?.tags ?? {}).map((pair) => pair.join(": ")).join("\n"));
	const [problem, setProblem] = useState(null);
	useEffect(() => like && void get(`runs/${enc(like.run_id)}/state`, { step: 0 }).then(({ state }) => setSource(text(state, 2)), setProblem), []);
	const graph = chosen ?? graphs?.[0]?.graph_id;
	const current = source ?? LAST.get(graph) ?? "{\n}";
	const { value, faults } = readJson(current);
	const all = [...faults, ...placed(current, problem, "/initial_state")];
	const start = async () => {
		try {
			const { run_id } = await post("graph/run", { graph_id: graph, initial_state: value, tags: tagsOf(tags) });
			LAST.set(graph, current);
			onClose();
			go(href(["runs", run_id]));
		} catch (refusal) {
			setProblem(refusal);
		}
	};
	const options = (graphs ?? []).map(({ graph_id, name, created_at }) => [graph_id, `${name || "unnamed"} · ${graph_id.slice(0, 8)} · ${created_at.slice(0, 10)}`]);
	return html`<${Dialog} wide title=${like ? `Start like ${short(like.run_id)}` : "Start a run"} onClose=${onClose} footer=${html`<button class="primary" disabled=${!graph || faults.length > 0} onClick=${start}>Start</button>`}>
		${graphs && !graphs.length ? html`<p>This server has no graphs yet. Paste one under <a href=${href(["graphs"])}>Graphs</a>, or run the demo.</p>` : html`
		<label class="field">Graph <${Select} value=${graph} options=${options} onChange=${setChosen} /></label>
		<${JsonEditor} label="Initial state" value=${current} faults=${all} onInput=${(next) => (setSource(next), setProblem(null))} />
		<label class="field">Tags, a line each <textarea rows="2" placeholder="key: value" value=${tags} onInput=${({ target }) => setTags(target.value)}></textarea></label>`}
		<${Fault} error=${error ?? (all.length ? null : problem)} /><//>`;
}
