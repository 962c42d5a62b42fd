import { DemoButton, Elapsed, Empty, Fault, Start, Status, Table, Tags, Time, Where, count, get, href, html, listGraphs, recall, route, setQuery, short, useEffect, useInterval, useKeyed, useKeys, useLoad, useRef, useState } from "parts";
import { Bulk } from "./bulk.js";
import { Filters, filtersOf } from "./filters.js";

const PAGE = 50;
const LIVE_MAX = 500;
const REFRESH_MS = 2000;

const Row = ({ run }) => html`<tr>
	<td class="c-status"><${Status} status=${run.status} /></td>
	<td class="c-run"><a data-row href=${href(["runs", run.run_id])} title=${run.run_id}><span class="id">${short(run.run_id)}</span> <bdi class="name">${run.graph_name || "unnamed"}</bdi></a>${" "}
		${run.parent && html`<a class="rel" href=${href(["runs", run.parent.run_id], { step: run.parent.step })}>child</a>`}
		${run.forked_from && html`<a class="rel" href=${href(["compare"], { a: run.forked_from.run_id, b: run.run_id })}>fork</a>`}
		${run.children > 0 && html`<a class="rel" href=${href(["runs"], { parent_id: run.run_id })}>${run.children >= 1000 ? "1,000+" : run.children} ${run.children === 1 ? "child" : "children"}</a>`}
		<${Tags} tags=${run.tags} /></td>
	<td class="c-where"><${Where} run=${run} /></td>
	<td class="num c-step">${count(run.step)}</td><td class="num c-time"><${Elapsed} run=${run} /></td><td class="num c-age"><${Time} iso=${run.created_at} ago /></td></tr>`;

function useRuns(filters) {
	const key = JSON.stringify(filters);
	const [{ items = null, next, error }, put] = useKeyed(key);
	const pending = useRef();
	const load = async (cursor, limit) => {
		const mine = (pending.current = {});
		const found = await get("runs", { ...filters, limit, cursor }).then((page) => ({ items: [...(cursor ? items : []), ...page.items], next: page.next_cursor, error: null }), (error) => ({ error }));
		if (pending.current === mine) put(found), (pending.current = null);
	};
	const shown = items?.length ?? 0;
	const refresh = () => !pending.current && shown <= LIVE_MAX && load(null, Math.max(PAGE, shown));
	useEffect(() => void load(null, PAGE), [key]);
	useInterval(refresh, REFRESH_MS);
	return { items, next, error, refresh, more: () => load(next, 200) };
}

export function Runs() {
	const filters = filtersOf(route.value.query);
	const { status: _, ...others } = filters;
	const { items, next, error, refresh, more } = useRuns(filters);
	const { data: graphs } = useLoad(listGraphs, []);
	const { data: counts, reload } = useLoad(() => get("runs/counts", others), [JSON.stringify(others)]);
	useInterval(reload, 3 * REFRESH_MS);
	const [dialog, setDialog] = useState(null);
	const close = () => (setDialog(null), refresh());
	useEffect(() => !location.search && !location.pathname.endsWith("/runs") && setQuery(recall("filters", {})), []);
	const start = () => setDialog(html`<${Start} onClose=${close} />`);
	useKeys({ n: start });
	return html`<div class="title"><h1>Runs</h1><i></i><${DemoButton} />${items?.length > 0 && html`<button onClick=${() => setDialog(html`<${Bulk} filters=${filters} onClose=${close} />`)}>Act on all…</button>`}<button class="primary" onClick=${start}>Start a run</button></div>
		<${Filters} filters=${filters} counts=${counts} graphs=${[...new Set((graphs ?? []).map(({ name }) => name).filter(Boolean))]} />
		<${Fault} error=${error} retry=${refresh} />
		${items?.length > 0 && html`<${Table} class="runs" head=${["Status", "Run", "At", "#Step", "#Duration", "#Age"]}>${items.map((run) => html`<${Row} key=${run.run_id} run=${run} />`)}<//>`}
		${items?.length === 0 && (Object.keys(filters).length ? html`<${Empty} title="No run matches.">Take a filter away, or look at <a href=${href(["runs"])}>all runs</a>.<//>` : html`<${Empty} title="No runs yet.">Start one, run the demo, or drop a CSV file anywhere on this page.<//>`)}
		${next && html`<p class="after"><button onClick=${more}>Show more</button> <small>${count(items.length)} shown</small></p>`}${dialog}`;
}
