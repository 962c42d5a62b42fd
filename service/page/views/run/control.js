/** Why a run is where it is, the button that answers it, and what else its status allows. */
import { html, useState } from "../../lib/html.js";
import { enc, post } from "../../lib/api.js";
import { localised, plural } from "../../lib/format.js";
import { mergePatch, text } from "../../lib/json.js";
import { useLoad } from "../../lib/load.js";
import { Dialog, Fault, isOver, say } from "../../parts/basics.js";
import { JsonEditor, placed, readJson } from "../../parts/json.js";
import { PatchPreview } from "./fork.js";

function useCommand(model, onDone) {
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const run = async (path, body, done) => {
    setBusy(true);
    setProblem(null);
    try {
      await post(`${model.base}/${path}`, body);
      if (done) say(done);
      onDone?.();
    } catch (error) {
      setProblem(error);
      if (!onDone) say(error.message);
    }
    setBusy(false);
    model.changed();
  };
  return { problem, isBusy, run, clear: () => setProblem(null) };
}

function SignalDialog({ model, definition, name: first, onClose }) {
  const names = [...new Set(Object.values(definition.nodes).map(({ signal }) => signal).filter((name) => name !== undefined))];
  const [name, setName] = useState(first ?? names[0]);
  const [source, setSource] = useState("true");
  const { problem, isBusy, run, clear } = useCommand(model, onClose);
  const { value, fault } = readJson(source, { needsObject: false });
  return html`<${Dialog} title="Send a signal" onClose=${onClose}>
    <label class="field">Signal <select value=${name} onChange=${({ target }) => setName(target.value)}>${names.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select></label>
    <${JsonEditor} label="Payload, any JSON" rows=${6} value=${source} faults=${fault ? [fault] : placed(source, problem?.errors ?? [], "")} onInput=${(next) => (setSource(next), clear())} />
    <p class="hint">The run's next node that waits for ${name} takes it. It waits in the mailbox until then.</p>
    <${Fault} error=${problem?.errors.length ? null : problem} />
    <footer><button onClick=${onClose}>Cancel</button><button class="primary" disabled=${isBusy || Boolean(fault)} onClick=${() => run(`signals/${enc(name)}`, value, `Signal ${name} sent.`)}>Send</button></footer>
  <//>`;
}

function ResumeDialog({ model, run: record, onClose }) {
  const { data: state, error } = useLoad(() => model.stateAt(record.step), [record.step]);
  const [source, setSource] = useState(null);
  const [limit, setLimit] = useState("");
  const { problem, isBusy, run, clear } = useCommand(model, onClose);
  const current = source ?? (state ? text(state, 2) : "");
  const { value, fault } = state ? readJson(current) : {};
  let patch = null, refusal = fault;
  try {
    if (value) patch = mergePatch(state, value);
  } catch (reason) {
    refusal = { message: reason.message, start: 0, end: 0 };
  }
  const isPatched = patch && Object.keys(patch).length > 0;
  const body = { ...(isPatched ? { patch } : {}), ...(limit ? { max_steps: Number(limit) } : {}) };
  const faults = refusal ? [refusal] : placed(current, (problem?.errors ?? []).filter(({ pointer }) => pointer.startsWith("/patch")), "/patch");
  return html`<${Dialog} wide title=${record.status === "failed" ? "Retry with changes" : "Resume with changes"} onClose=${onClose}>
    <${JsonEditor} label="State" value=${current} faults=${faults} onInput=${(next) => (setSource(next), clear())} />
    <${PatchPreview} patch=${patch} none="The state stays as it is." />
    <label class="field inline">New limit of steps <input type="number" min="1" value=${limit} placeholder="as it is" onInput=${({ target }) => setLimit(target.value)} /></label>
    <${Fault} error=${error ?? (faults.length ? null : problem)} />
    <footer><button onClick=${onClose}>Cancel</button><button class="primary" disabled=${isBusy || Boolean(refusal) || !state} onClick=${() => run("resume", body)}>${record.status === "failed" ? "Retry" : "Resume"}</button></footer>
  <//>`;
}

const CancelDialog = ({ model, onClose }) => {
  const { problem, isBusy, run } = useCommand(model, onClose);
  return html`<${Dialog} title="Cancel this run?" onClose=${onClose}>
    <p>It ends at once, whatever a tool is doing, and its unfinished child runs with it. It cannot be resumed; it can be forked.</p>
    <${Fault} error=${problem} />
    <footer><button onClick=${onClose}>Leave it</button><button class="danger" disabled=${isBusy} onClick=${() => run("cancel", {})}>Cancel the run</button></footer>
  <//>`;
};

/** The button that answers why: the one thing that moves the run on. */
function answerOf(why, run) {
  if (run.status === "paused") return ["Resume", "resume"];
  if (run.status === "failed") return ["Retry", "resume"];
  if (why?.waiting_for?.kind === "signal") return [`Send ${why.waiting_for.name}…`, "signal"];
  return null;
}

export function Headline({ model, onFork, onStartLike }) {
  const [dialog, setDialog] = useState(null);
  const [run, why, graph] = [model.run.value, model.why.value, model.graph.value];
  const command = useCommand(model);
  const answer = answerOf(why, run);
  const { status } = run;
  const hasSignals = graph && Object.values(graph.definition.nodes).some(({ signal }) => signal !== undefined);
  const close = () => setDialog(null);
  const attempts = why?.attempts.filter(({ error }) => error) ?? [];
  const button = (text, act, kind = "") => html`<button class=${kind} disabled=${command.isBusy} onClick=${act}>${text}</button>`;
  return html`<section class=${`headline h-${status}`} aria-label="Why the run is where it is">
    <p class="because" dir="auto">${localised(why?.because ?? "")}</p>
    <div class="actions">
      ${answer ? button(answer[0], () => (answer[1] === "signal" ? setDialog("signal") : command.run("resume", {})), "primary") : null}
      ${["paused", "failed"].includes(status) ? button(`${status === "failed" ? "Retry" : "Resume"} with changes…`, () => setDialog("resume")) : null}
      ${["queued", "running", "waiting"].includes(status) ? button("Pause", () => command.run("pause", {})) : null}
      ${hasSignals && !["completed", "cancelled"].includes(status) && answer?.[1] !== "signal" ? button("Signal…", () => setDialog("signal")) : null}
      ${button("Fork…", onFork)}
      ${isOver(status) ? button("Start like this…", onStartLike) : null}
      ${!isOver(status) ? button("Cancel…", () => setDialog("cancel"), "danger-quiet") : null}
    </div>
    ${attempts.length ? html`<details class="attempts"><summary>${plural(attempts.length, "failed attempt")}</summary><ol>${attempts.slice(-10).map(({ attempt, error, finished_at }) => html`<li key=${attempt} value=${attempt}><b>${error.type}</b> <bdi>${error.message}</bdi> <span class="hint">${localised(finished_at)}</span></li>`)}</ol></details>` : null}
    ${dialog === "signal" ? html`<${SignalDialog} model=${model} definition=${graph.definition} name=${why?.waiting_for?.name} onClose=${close} />` : null}
    ${dialog === "resume" ? html`<${ResumeDialog} model=${model} run=${run} onClose=${close} />` : null}
    ${dialog === "cancel" ? html`<${CancelDialog} model=${model} onClose=${close} />` : null}
  </section>`;
}
