import { get, go, href, html, listGraphs, post, short, text, useLoad, useState } from "lib";
import { Dialog, Fault, Select } from "./basics.js";
import { useJson } from "./json.js";

const tagsOf = (lines) => Object.fromEntries([...lines.matchAll(/^([^:\n]*):(.*)$/gm)].map(([, key, value]) => [key.trim(), value.trim()]));

const LAST = new Map();

export function Start({ like, graphId, onClose }) {
	const { data: graphs, error } = useLoad(listGraphs, []);
	const [chosen, setChosen] = useState(like?.graph_id ?? graphId);
	const [tags, setTags] = useState(Object.entries(like?.tags ?? {}).map((pair) => pair.join(": ")).join("\n"));
	const { data: first, error: lost } = useLoad(async () => like && get(`runs/${like.run_id}/state`, { step: 0 }), []);
	const graph = chosen ?? graphs?.[0]?.graph_id;
	const { value, source, isBad, editor, refuse, fault } = useJson(first ? text(first.state, 2) : like ? "" : (LAST.get(graph) ?? "{\n}"), { prefix: "/initial_state" });
	const start = async () => {
		try {
			const { run_id } = await post("graph/run", { graph_id: graph, initial_state: value, tags: tagsOf(tags) });
			LAST.set(graph, source);
			onClose();
			go(href(["runs", run_id]));
		} catch (refusal) {
			refuse(refusal);
		}
	};
	const options = (graphs ?? []).map(({ graph_id, name, created_at }) => [graph_id, `${name || "unnamed"} · ${graph_id.slice(0, 8)} · ${created_at.slice(0, 10)}`]);
	return html`<${Dialog} wide title=${like ? `Start like ${short(like.run_id)}` : "Start a run"} onClose=${onClose} word="Start" act=${start} isBad=${!graph || isBad}>
		${graphs && !graphs.length ? html`<p>This server has no graphs yet. <a href=${href(["graphs"])}>Make one.</a></p>` : html`
		<label class="field">Graph <${Select} value=${graph} options=${options} onChange=${setChosen} /></label>
		${(!like || first) && editor("Initial state")}
		<label class="field">Tags, a line each <textarea rows="2" placeholder="key: value" value=${tags} onInput=${({ target }) => setTags(target.value)}></textarea></label>`}
		<${Fault} error=${error ?? lost} />${fault}<//>`;
}
