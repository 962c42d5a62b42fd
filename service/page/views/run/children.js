/** The child runs of a step, or of a run. */
import { html, useState } from "../../lib/html.js";
import { maybe } from "../../lib/api.js";
import { own, short } from "../../lib/format.js";
import { useInterval, useLoad } from "../../lib/load.js";
import { href } from "../../lib/router.js";
import { Elapsed, Status, isOver } from "../../parts/basics.js";

const SHOWN = 100;

export function Children({ run, definition, step }) {
  const hasGraphs = Object.values(definition.nodes).some(({ graph }) => graph !== undefined);
  const [isOpen, setOpen] = useState(true);
  const { data, reload } = useLoad(async () => (hasGraphs ? maybe("runs", { parent_id: run.run_id, limit: SHOWN }) : null), [run.run_id, run.step]);
  useInterval(reload, hasGraphs && !isOver(run.status) ? 3000 : 0);
  if (!data?.items.length) return null;
  const isOfStep = step && own(definition.nodes, step.node)?.graph !== undefined;
  const shown = isOfStep ? data.items.filter(({ parent }) => parent?.step === step.step) : data.items;
  return html`<section class="children">
    <h2><button class="fold" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>${isOfStep ? `Child runs of step ${step.step}` : "Child runs"}</button></h2>
    ${isOpen ? html`<table><tbody>${shown.map((child) => html`<tr key=${child.run_id}><td><${Status} status=${child.status} /></td><td><a data-row href=${href(["runs", child.run_id])}>${short(child.run_id)}</a></td><td class="hint">step ${child.parent.step}</td><td><bdi>${child.current_node ?? ""}</bdi></td><td class="num"><${Elapsed} run=${child} /></td></tr>`)}</tbody></table>` : null}
    ${data.next_cursor ? html`<p class="hint">The newest ${SHOWN}. <a href=${href(["runs"], { parent_id: run.run_id })}>All of them</a></p>` : null}
  </section>`;
}
