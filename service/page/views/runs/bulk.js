/** Cancel, pause or resume all runs that the filters match, after a dry run that says how many. */
import { html, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { count, plural, short } from "../../lib/format.js";
import { href } from "../../lib/router.js";
import { Choice, Dialog, Fault } from "../../parts/basics.js";
import { useLoad } from "../../lib/load.js";

const ALLOWED = { cancel: ["queued", "running", "waiting", "paused"], pause: ["queued", "running", "waiting"], resume: ["paused", "failed"] };

/** The filters as the call wants them: those that may be repeated are lists; without a status, those that the action is for. */
function whereOf(filters, action) {
  const where = { ...filters };
  where.status ??= ALLOWED[action];
  return where;
}

const act = (action, filters, isDry) => post("runs/actions", { action, where: whereOf(filters, action), dry_run: isDry });

function Result({ result }) {
  return html`<p role="status">${plural(result.done, "run")} done${result.refused.length ? `, ${count(result.refused.length)} refused` : ""}${result.more ? "; there are more that match" : ""}.</p>
    ${result.refused.length ? html`<ul class="list">${result.refused.slice(0, 20).map(({ run_id, reason }) => html`<li key=${run_id}><a class="id" href=${href(["runs", run_id])}>${short(run_id)}</a> ${reason}</li>`)}</ul>` : null}`;
}

export function Bulk({ filters, onClose }) {
  const [action, setAction] = useState("cancel");
  const [result, setResult] = useState(null);
  const [fault, setFault] = useState(null);
  const { data: dry, error } = useLoad(() => act(action, filters, true), [action]);
  const go = () => act(action, filters, false).then(setResult, setFault);
  const matched = dry ? `${count(dry.matched)}${dry.more ? "+" : ""}` : "…";
  const said = Object.entries(filters).map(([name, value]) => `${name.replaceAll("_", " ")} ${[value].flat().join(" or ")}`).join(", ");
  return html`<${Dialog} title="Act on all that match" onClose=${onClose}>
    <${Choice} label="Action" value=${action} onChange=${(next) => (setAction(next), setResult(null))} options=${Object.keys(ALLOWED).map((one) => [one, one])} />
    <p>The filter: <bdi>${said || "none, so all runs"}</bdi>. ${filters.status ? "" : `Of these, the ${ALLOWED[action].join(", ")} ones.`}</p>
    ${result ? html`<${Result} result=${result} />` : html`<p class="big" role="status">${matched} ${dry?.matched === 1 ? "run" : "runs"} would be ${{ cancel: "cancelled", pause: "paused", resume: "resumed" }[action]}.</p>`}
    <${Fault} error=${fault ?? error} />
    <footer>
      <button onClick=${onClose}>${result && !result.more ? "Close" : "Leave them"}</button>
      ${!result || result.more ? html`<button class=${action === "cancel" ? "danger" : "primary"} disabled=${!dry?.matched} onClick=${go}>${action} ${result ? "more" : matched}</button>` : null}
    </footer>
  <//>`;
}
