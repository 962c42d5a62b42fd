/** All runs, the newest first; the list is live, and its filters are its URL. */
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { get, maybe } from "../../lib/api.js";
import { count, recall, short } from "../../lib/format.js";
import { useInterval, useLoad } from "../../lib/load.js";
import { href, route, setQuery } from "../../lib/router.js";
import { Elapsed, Empty, Fault, Status, Tags, Time, Waiting } from "../../parts/basics.js";
import { Bulk } from "./bulk.js";
import { DemoButton } from "../../parts/demo.js";
import { Filters, filtersOf } from "./filters.js";
import { useKeys } from "../../parts/keys.js";
import { Start } from "../../parts/start.js";

const PAGE = 50;
const LIVE_MAX = 500;
const REFRESH_MS = 2000;

function Row({ run, names }) {
  const name = run.graph_name ?? names.get(run.graph_id);
  return html`<tr>
    <td class="c-status"><${Status} status=${run.status} /></td>
    <td class="c-run"><a data-row href=${href(["runs", run.run_id])} title=${run.run_id}><span class="id">${short(run.run_id)}</span> <bdi class="name">${name || "unnamed graph"}</bdi></a>
      ${run.parent ? html` <a class="rel" href=${href(["runs", run.parent.run_id], { step: run.parent.step })} title="The run that started this one">child</a>` : null}
      ${run.forked_from ? html` <a class="rel" href=${href(["compare"], { a: run.forked_from.run_id, b: run.run_id })} title="Compare with the run that it was forked from">fork</a>` : null}
      ${run.children ? html` <a class="rel" href=${href(["runs"], { parent_id: run.run_id })}>${run.children >= 1000 ? "1,000+" : run.children} children</a>` : null}
      <${Tags} tags=${run.tags} /></td>
    <td class="c-where">${run.current_node != null ? html`<bdi class="node" title=${run.current_node}>${run.current_node}</bdi>` : null} <${Waiting} wait=${run.waiting_for} />
      ${run.status === "failed" ? html`<span class="error" title=${run.error?.message}>${run.error?.type}</span>` : null}</td>
    <td class="num c-step">${count(run.step)}</td>
    <td class="num c-time"><${Elapsed} run=${run} /></td>
    <td class="num c-age"><${Time} iso=${run.created_at} ago /></td>
  </tr>`;
}

function Table({ runs, names }) {
  return html`<table class="runs">
    <thead><tr><th>Status</th><th>Run</th><th>At</th><th class="num">Step</th><th class="num">Duration</th><th class="num">Age</th></tr></thead>
    <tbody>${runs.map((run) => html`<${Row} key=${run.run_id} run=${run} names=${names} />`)}</tbody>
  </table>`;
}

/** The loaded rows: pages by cursor, refreshed together while they are few. */
function useRuns(filters) {
  const key = JSON.stringify(filters);
  const [state, set] = useState({ key: null, items: null, next: null, error: null });
  const mine = useRef();
  mine.current = key;
  const load = async (cursor, limit) => {
    const before = state.key === key ? state.items : [];
    try {
      const page = await get("runs", { ...filters, limit, cursor });
      if (mine.current !== key) return;
      set({ key, items: cursor ? [...before, ...page.items] : page.items, next: page.next_cursor, error: null });
    } catch (error) {
      if (mine.current === key) set((old) => ({ ...old, key, items: old.key === key ? old.items : null, error }));
    }
  };
  const loaded = state.key === key ? (state.items?.length ?? 0) : 0;
  const refresh = () => loaded <= LIVE_MAX && load(null, Math.max(PAGE, loaded));
  useEffect(() => void load(null, PAGE), [key]);
  useInterval(refresh, REFRESH_MS);
  return { ...state, items: state.key === key ? state.items : null, refresh, more: () => load(state.next, 200) };
}

/** Names of graphs, the newest first, and the name of each. */
function useGraphs() {
  const { data } = useLoad(() => get("graphs", { limit: 1000 }), []);
  const items = data?.items ?? [];
  return { names: [...new Set(items.map(({ name }) => name).filter(Boolean))], byId: new Map(items.map(({ graph_id, name }) => [graph_id, name])) };
}

export function Runs() {
  const filters = filtersOf(route.value.query);
  const isFiltered = Object.keys(filters).length > 0;
  const { items, next, error, refresh, more } = useRuns(filters);
  const { names, byId } = useGraphs();
  const { status, ...others } = filters;
  const { data: counts, reload } = useLoad(() => maybe("runs/counts", others), [JSON.stringify(others)]);
  useInterval(reload, 3 * REFRESH_MS);
  const [dialog, setDialog] = useState(null);
  useEffect(() => {
    const last = recall("filters", {});
    if (!location.search && !location.pathname.endsWith("/runs") && Object.keys(last).length) setQuery(last);
  }, []);
  useKeys({ n: () => setDialog("start") });
  return html`
    <div class="title"><h1>Runs</h1><span class="grow"></span>
      <${DemoButton} />
      ${items?.length ? html`<button onClick=${() => setDialog("bulk")}>Act on all…</button>` : null}
      <button class="primary" onClick=${() => setDialog("start")}>Start a run</button></div>
    <${Filters} filters=${filters} counts=${counts} graphs=${names} />
    <${Fault} error=${error} retry=${refresh} />
    ${items?.length ? html`<${Table} runs=${items} names=${byId} />` : null}
    ${items && !items.length && isFiltered ? html`<${Empty} title="No run matches.">Take a filter away, or look at <a href=${href(["runs"])}>all runs</a>.<//>` : null}
    ${items && !items.length && !isFiltered ? html`<${Empty} title="No runs yet.">Start one, run the demo, or drop a CSV file anywhere on this page.<//>` : null}
    ${next ? html`<p class="after"><button onClick=${more}>Show more</button> <span class="hint">${count(items.length)} shown</span></p>` : null}
    ${dialog === "start" ? html`<${Start} onClose=${() => setDialog(null)} />` : null}
    ${dialog === "bulk" ? html`<${Bulk} filters=${filters} onClose=${() => (setDialog(null), refresh())} />` : null}`;
}
