import { Choice, Dialog, Fault, count, html, plural, post, useLoad, useState } from "parts";

const FOR = { Cancel: ["queued", "running", "waiting", "paused"], Pause: ["queued", "running", "waiting"], Resume: ["paused", "failed"] };
const DONE = { Cancel: "cancelled", Pause: "paused", Resume: "resumed" };

const act = (action, filters, isDry) => post("runs/actions", { action: action.toLowerCase(), where: { status: FOR[action], ...filters }, dry_run: isDry });

export function Bulk({ filters, onClose }) {
	const [action, setAction] = useState("Cancel");
	const [result, setResult] = useState(null);
	const [fault, setFault] = useState(null);
	const { data: dry, error } = useLoad(() => act(action, filters, true), [action]);
	const matched = dry ? count(dry.matched) + (dry.more ? "+" : "") : "…";
	const said = Object.entries(filters).map(([name, value]) => `${name.replaceAll("_", " ")} ${[value].flat().join(" or ")}`).join(", ");
	const word = (!result || result.more) && `${action} ${result ? "more" : matched}`;
	return html`<${Dialog} title="Act on all that match" onClose=${onClose} leave=${result ? "Done" : "Leave them"} kind=${action === "Cancel" ? "danger" : "primary"} word=${word} act=${() => act(action, filters, false).then(setResult, setFault)} isBad=${!dry?.matched}>
		<${Choice} label="Action" value=${action} onChange=${(next) => (setAction(next), setResult(null))} options=${Object.keys(FOR).map((one) => [one, one])} />
		<p>The filter: <bdi>${said || "none, so all runs"}</bdi>. ${!filters.status && `Of these, the ${FOR[action].join(", ")} ones.`}</p>
		${result ? html`<p role="status">${plural(result.done, "run")} done${result.refused.length > 0 && `, ${count(result.refused.length)} refused, the first because ${result.refused[0].reason}`}${result.more && "; there are more that match"}.</p>` : html`<p class="big" role="status">${matched} ${dry?.matched === 1 ? "run" : "runs"} would be ${DONE[action]}.</p>`}
		<${Fault} error=${fault ?? error} /><//>`;
}
