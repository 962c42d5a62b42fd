import { Dialog, Fault, Hint, Select, enc, html, isOver, localised, plural, post, say, useJson, useLoad, usePatch, useState } from "parts";

const send = async (model, path, body = {}, done, refuse = say) => {
	await post(`${model.base}/${path}`, body).then(done, refuse);
	model.open();
};

const signalsOf = ({ nodes }) => [...new Set(Object.values(nodes).map(({ signal }) => signal).filter((name) => name !== undefined))];

function SignalDialog({ model, waitsFor, onClose }) {
	const names = signalsOf(model.graph.value.definition);
	const [name, setName] = useState(waitsFor ?? names[0]);
	const { value, isBad, editor, refuse, fault } = useJson("true", { isAny: true });
	return html`<${Dialog} title="Send a signal" onClose=${onClose} word="Send" act=${() => send(model, `signals/${enc(name)}`, value, onClose, refuse)} isBad=${isBad}>
		<label class="field">Signal <${Select} value=${name} options=${names} onChange=${setName} /></label>${editor("Payload, any JSON", 6)}
		<${Hint}>The run's next node that waits for ${name} takes it. It waits in the mailbox until then.<//>${fault}<//>`;
}

function ResumeDialog({ model, word, onClose }) {
	const { step } = model.run.value;
	const { data: state, error } = useLoad(() => model.stateAt(step), [step]);
	const [limit, setLimit] = useState("");
	const { patch, isBad, editor, refuse, fault } = usePatch(state);
	const resume = () => send(model, "resume", { ...patch, ...(limit && { max_steps: Number(limit) }) }, onClose, refuse);
	return html`<${Dialog} wide title=${`${word} with changes`} onClose=${onClose} word=${word} act=${resume} isBad=${isBad}>${editor}
		<label class="inline">New limit of steps <input type="number" min="1" value=${limit} placeholder="as it is" onInput=${({ target }) => setLimit(target.value)} /></label><${Fault} error=${error} />${fault}<//>`;
}

const CancelDialog = ({ model, onClose }) => html`<${Dialog} title="Cancel this run?" leave="Leave it" onClose=${onClose} kind="danger" word="Cancel the run" act=${() => send(model, "cancel", {}, onClose)}>
	<p>It ends at once, whatever a tool is doing, and its unfinished child runs with it. It cannot be resumed; it can be forked.</p><//>`;

export function Headline({ model, onFork, onStartLike }) {
	const [dialog, setDialog] = useState(null);
	const [{ status }, why, { definition }] = [model.run.value, model.why.value, model.graph.value];
	const close = () => setDialog(null);
	const rests = ["paused", "failed"].includes(status);
	const word = status === "failed" ? "Retry" : "Resume";
	const waitsFor = why.waiting_for?.kind === "signal" && status === "waiting" ? why.waiting_for.name : undefined;
	const signal = () => setDialog(html`<${SignalDialog} model=${model} waitsFor=${waitsFor} onClose=${close} />`);
	const change = () => setDialog(html`<${ResumeDialog} model=${model} word=${word} onClose=${close} />`);
	const cancel = () => setDialog(html`<${CancelDialog} model=${model} onClose=${close} />`);
	const attempts = why.attempts.filter(({ error }) => error);
	const button = (isThere, text, act, kind) => isThere && html`<button class=${kind} onClick=${act}>${text}</button>`;
	return html`<section class=${`headline h-${status}`} aria-label="Why the run is where it is"><p class="because" dir="auto" tabindex="0">${localised(why.because)}</p>
		${/^https?:/.test(why.worker?.dashboard ?? "") && html`<${Hint}><a href=${why.worker.dashboard} rel="noreferrer">Cluster dashboard</a><//>`}
		<div class="actions">${button(waitsFor !== undefined, `Send ${waitsFor}…`, signal, "primary")}${button(rests, word, () => send(model, "resume"), "primary")}${button(rests, `${word} with changes…`, change)}
			${button(!rests && !isOver(status), "Pause", () => send(model, "pause"))}${button(waitsFor === undefined && signalsOf(definition).length > 0 && !["completed", "cancelled"].includes(status), "Signal…", signal)}
			${button(true, "Fork…", onFork)}${button(isOver(status), "Start like this…", onStartLike)}${button(!isOver(status), "Cancel…", cancel, "danger-quiet")}</div>
		${attempts.length > 0 && html`<details class="attempts"><summary>${plural(attempts.length, "failed attempt")}</summary><ol>${attempts.slice(-10).map(({ attempt, error, finished_at }) => html`<li value=${attempt}><b>${error.type}</b> <bdi>${error.message}</bdi> <small>${localised(finished_at)}</small></li>`)}</ol></details>`}${dialog}</section>`;
}
