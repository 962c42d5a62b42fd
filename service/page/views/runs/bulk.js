/** Cancel, pause or resume all runs that the filters match, after a dry run that says how many. */
import { count, href, html, plural, post, short, useLoad, useState } from "lib";
import { Choice, Dialog, Fault } from "parts";

/** The statuses that each action is for. */
const FOR = { cancel: ["queued", "running", "waiting", "paused"], pause: ["queued", "running", "waiting"], resume: ["paused", "failed"] };
const DONE = { cancel: "cancelled", pause: "paused", resume: "resumed" };

const act = (action, filters, isDry) => post("runs/actions", { action, where: { status: FOR[action], ...filters }, dry_run: isDry });

const Result = ({ done, refused, more }) => html`<p role="status">${plural(done, "run")} done${refused.length > 0 && `, ${count(refused.length)} refused`}${more && "; there are more that match"}.</p>
	<ul class="plain">${refused.slice(0, 20).map(({ run_id, reason }) => html`<li key=${run_id}><a class="id" href=${href(["runs", run_id])}>${short(run_id)}</a> ${reason}</li>`)}</ul>`;

export function Bulk({ filters, onClose }) {
	const [action, setAction] = useState("cancel");
	const [result, setResult] = useState(null);
	const [fault, setFault] = useState(null);
	const { data: dry, error } = useLoad(() => act(action, filters, true), [action]);
	const matched = dry ? count(dry.matched) + (dry.more ? "+" : "") : "…";
	const said = Object.entries(filters).map(([name, value]) => `${name.replaceAll("_", " ")} ${[value].flat().join(" or ")}`).join(", ");
	const button = (!result || result.more) && html`<button class=${action === "cancel" ? "danger" : "primary"} disabled=${!dry?.matched} onClick=${() => act(action, filters, false).then(setResult, setFault)}>${action} ${result ? "more" : matched}</button>`;
	return html`<${Dialog} title="Act on all that match" onClose=${onClose} leave=${result ? "Done" : "Leave them"} footer=${button || " "}>
		<${Choice} label="Action" value=${action} onChange=${(next) => (setAction(next), setResult(null))} options=${Object.keys(FOR).map((one) => [one, one])} />
		<p>The filter: <bdi>${said || "none, so all runs"}</bdi>. ${!filters.status && `Of these, the ${FOR[action].join(", ")} ones.`}</p>
		${result ? html`<${Result} ...${result} />` : html`<p class="big" role="status">${matched} ${dry?.matched === 1 ? "run" : "runs"} would be ${DONE[action]}.</p>`}
		<${Fault} error=${fault ?? error} /><//>`;
}
