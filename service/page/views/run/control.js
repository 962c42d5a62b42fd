/** Why a run is where it is, the button that answers it, and what else its status allows. */
import { enc, html, isOver, localised, plural, post, useLoad, useState } from "lib";
import { Dialog, Fault, JsonEditor, Select, placed, readJson, say, usePatch } from "parts";

/** Commands to a run: `{problem, clear, send}`; `onDone` is called after one that was accepted. */
function useCommand(model, onDone) {
	const [problem, setProblem] = useState(null);
	const send = async (path, body = {}) => {
		await post(`${model.base}/${path}`, body).then(() => onDone?.(), onDone ? setProblem : say);
		model.open();
	};
	return { problem, clear: () => setProblem(null), send };
}

const signalsOf = ({ nodes }) => [...new Set(Object.values(nodes).map(({ signal }) => signal).filter((name) => name !== undefined))];

function SignalDialog({ model, waitsFor, onClose }) {
	const names = signalsOf(model.graph.value.definition);
	const [name, setName] = useState(waitsFor ?? names[0]);
	const [source, setSource] = useState("true");
	const { problem, clear, send } = useCommand(model, onClose);
	const { value, faults } = readJson(source, true);
	return html`<${Dialog} title="Send a signal" onClose=${onClose} footer=${html`<button class="primary" disabled=${faults.length > 0} onClick=${() => send(`signals/${enc(name)}`, value)}>Send</button>`}>
		<label class="field">Signal <${Select} value=${name} options=${names} onChange=${setName} /></label>
		<${JsonEditor} label="Payload, any JSON" rows=${6} value=${source} faults=${[...faults, ...placed(source, problem, "")]} onInput=${(next) => (setSource(next), clear())} />
		<p class="hint">The run's next node that waits for ${name} takes it. It waits in the mailbox until then.</p><${Fault} error=${problem} /><//>`;
}

function ResumeDialog({ model, verb, onClose }) {
	const { step } = model.run.value;
	const { data: state, error } = useLoad(() => model.stateAt(step), [step]);
	const [limit, setLimit] = useState("");
	const { problem, clear, send } = useCommand(model, onClose);
	const { patch, isBad, hasFaults, editor } = usePatch(state, problem, clear);
	const resume = () => send("resume", { ...patch, ...(limit && { max_steps: Number(limit) }) });
	return html`<${Dialog} wide title=${`${verb} with changes`} onClose=${onClose} footer=${html`<button class="primary" disabled=${isBad} onClick=${resume}>${verb}</button>`}>${editor}
		<label class="inline">New limit of steps <input type="number" min="1" value=${limit} placeholder="as it is" onInput=${({ target }) => setLimit(target.value)} /></label><${Fault} error=${error ?? (hasFaults ? null : problem)} /><//>`;
}

function CancelDialog({ model, onClose }) {
	const { problem, send } = useCommand(model, onClose);
	return html`<${Dialog} title="Cancel this run?" leave="Leave it" onClose=${onClose} footer=${html`<button class="danger" onClick=${() => send("cancel")}>Cancel the run</button>`}>
		<p>It ends at once, whatever a tool is doing, and its unfinished child runs with it. It cannot be resumed; it can be forked.</p><${Fault} error=${problem} /><//>`;
}

/** `onFork` and `onStartLike` open the dialogs of the view. */
export function Headline({ model, onFork, onStartLike }) {
	const [dialog, setDialog] = useState(null);
	const [{ status }, why, { definition }] = [model.run.value, model.why.value, model.graph.value];
	const { send } = useCommand(model);
	const open = (name) => () => setDialog(name);
	const close = open(null);
	const rests = ["paused", "failed"].includes(status);
	const verb = status === "failed" ? "Retry" : "Resume";
	const waitsFor = why.waiting_for?.kind === "signal" && status === "waiting" ? why.waiting_for.name : undefined;
	const attempts = why.attempts.filter(({ error }) => error);
	const button = (isThere, text, act, kind) => isThere && html`<button class=${kind} onClick=${act}>${text}</button>`;
	return html`<section class=${`headline h-${status}`} aria-label="Why the run is where it is"><p class="because" dir="auto">${localised(why.because)}</p>
		<div class="actions">${button(waitsFor !== undefined, `Send ${waitsFor}…`, open("signal"), "primary")}${button(rests, verb, () => send("resume"), "primary")}${button(rests, `${verb} with changes…`, open("resume"))}
			${button(!rests && !isOver(status), "Pause", () => send("pause"))}${button(waitsFor === undefined && signalsOf(definition).length && !["completed", "cancelled"].includes(status), "Signal…", open("signal"))}
			${button(true, "Fork…", onFork)}${button(isOver(status), "Start like this…", onStartLike)}${button(!isOver(status), "Cancel…", open("cancel"), "danger-quiet")}</div>
		${attempts.length > 0 && html`<details class="attempts"><summary>${plural(attempts.length, "failed attempt")}</summary><ol>${attempts.slice(-10).map(({ attempt, error, finished_at }) => html`<li key=${attempt} value=${attempt}><b>${error.type}</b> <bdi>${error.message}</bdi> <span class="hint">${localised(finished_at)}</span></li>`)}</ol></details>`}
		${dialog === "signal" && html`<${SignalDialog} model=${model} waitsFor=${waitsFor} onClose=${close} />`}${dialog === "resume" && html`<${ResumeDialog} model=${model} verb=${verb} onClose=${close} />`}${dialog === "cancel" && html`<${CancelDialog} model=${model} onClose=${close} />`}</section>`;
}
