/** One run. One cursor, the step in the URL, drives the picture, the state and the decisions. */
import { html, useEffect, useMemo, useState } from "../../lib/html.js";
import { count, own, short } from "../../lib/format.js";
import { takenIndex } from "../../lib/conditions.js";
import { useLoad } from "../../lib/load.js";
import { href, route, setQuery } from "../../lib/router.js";
import { RunModel } from "../../lib/run.js";
import { Choice, Elapsed, Empty, Fault, Status, Tags, Time, isOver } from "../../parts/basics.js";
import { Children } from "./children.js";
import { Headline } from "./control.js";
import { DecisionLine, Decisions } from "./decisions.js";
import { Files } from "./files.js";
import { ForkDialog, MakeTrue } from "./fork.js";
import { useKeys } from "../../parts/keys.js";
import { Log } from "./log.js";
import { Picture, edgeKey } from "../../parts/picture.js";
import { Quality, isQuality } from "./quality.js";
import { Start } from "../../parts/start.js";
import { StatePane } from "./state.js";
import { Timeline } from "./timeline.js";

function Head({ run, graph, link }) {
  return html`<div class="title run-title">
    <h1><a href=${href(["graphs", run.graph_id])}><bdi>${graph.name || "unnamed graph"}</bdi></a> <span class="id" title=${run.run_id}>${short(run.run_id)}</span></h1>
    <${Status} status=${run.status} />
    ${!isOver(run.status) ? html`<span class=${`link-state ${link}`} role="status">${link === "live" ? "live" : "connecting…"}</span>` : null}
    <span class="meta"><span>created <${Time} iso=${run.created_at} /></span>
      ${run.started_at ? html`<span>${isOver(run.status) ? "took" : "for"} <${Elapsed} run=${run} /></span>` : null}
      ${run.parent ? html`<span>child of <a href=${href(["runs", run.parent.run_id], { step: run.parent.step })}>${short(run.parent.run_id)}</a></span>` : null}
      ${run.forked_from ? html`<span>fork of <a href=${href(["runs", run.forked_from.run_id], { step: run.forked_from.step })}>${short(run.forked_from.run_id)} step ${run.forked_from.step}</a>, <a href=${href(["compare"], { a: run.forked_from.run_id, b: run.run_id })}>compare</a></span>` : null}
      <${Tags} tags=${run.tags} /></span>
  </div>`;
}

function Cursor({ step, total, isLive, isEnded, onStep }) {
  return html`<div class="cursor" role="group" aria-label="Step">
    <button aria-label="One step back" disabled=${step <= 0} onClick=${() => onStep(step - 1)}>←</button>
    <input type="range" min="0" max=${total} value=${step} aria-label="Step" aria-valuetext=${`step ${step} of ${total}`} onInput=${({ target }) => onStep(Number(target.value))} />
    <button aria-label="One step on" disabled=${step >= total} onClick=${() => onStep(step + 1)}>→</button>
    <span class="where num">${step === 0 ? "initial state" : `step ${count(step)}`} of ${count(total)}</span>
    <button aria-pressed=${isLive} onClick=${() => onStep(null)} title="Stay at the last step (End)">${isEnded ? "last" : "live"}</button>
  </div>`;
}

/** The record of the cursor's step, once it is loaded. */
function useStep(model, step) {
  useEffect(() => void (step && model.steps.want(step, step)), [step]);
  return model.steps.version.value >= 0 && step ? model.steps.get(step) : undefined;
}

export function Run({ id }) {
  const model = useMemo(() => new RunModel(id), [id]);
  useEffect(() => {
    model.open();
    return () => model.close();
  }, [model]);
  const run = model.run.value;
  if (!run) {
    const error = model.error.value;
    if (error?.status === 404) return html`<${Empty} title="There is no such run.">It may be of another server or database. Look at <a href=${href(["runs"])}>the runs</a>.<//>`;
    return html`<${Fault} error=${error} retry=${() => model.open()} />`;
  }
  return html`<${Loaded} model=${model} run=${run} graph=${model.graph.value} />`;
}

function Loaded({ model, run, graph }) {
  const { definition } = graph;
  const query = route.value.query;
  const total = run.step;
  const asked = query.has("step") ? Number(query.get("step")) : null;
  const isLive = asked === null || !Number.isInteger(asked) || asked < 0;
  const step = isLive ? total : Math.min(asked, total);
  const record = useStep(model, step);
  const [dialog, setDialog] = useState(null);
  const goTo = (next) => setQuery({ step: next === null ? null : Math.max(0, Math.min(total, next)) });
  const { data: last } = useLoad(() => model.stateAt(total), [total]);
  const hasQuality = isQuality(last);
  const node = query.get("node") ?? (isLive && run.current_node ? run.current_node : record?.node) ?? definition.start_node;
  const tabs = [["state", "State"], ["decisions", "Decisions"], ["log", "Log", count(model.lastSeq.value)], ["files", "Files"], ...(hasQuality ? [["quality", "Quality"]] : [])];
  const tab = tabs.some(([key]) => key === query.get("tab")) ? query.get("tab") : "state";
  const setTab = (next) => setQuery({ tab: next });
  const setNode = (name) => setQuery({ node: name, tab: "decisions" });
  const make = (visit, index) => setDialog({ kind: "make", visit, index });
  const onEdge = ({ from, index }) => {
    setNode(from);
    if (record?.node === from && index !== takenIndex(own(definition.edges, from) ?? [], record.decision) && definition.edges[from][index].to !== null && definition.edges[from][index].on_error == null) make(record, index);
  };
  useKeys({
    ArrowLeft: () => goTo(step - 1), ArrowRight: () => goTo(step + 1 >= total && !isOver(run.status) ? null : step + 1), Home: () => goTo(0), End: () => goTo(null),
    ...Object.fromEntries(tabs.map(([key], at) => [String(at + 1), () => setTab(key)])),
  });
  const taken = record && takenIndex(own(definition.edges, record.node) ?? [], record.decision);
  const close = () => setDialog(null);
  return html`
    <${Head} run=${run} graph=${graph} link=${model.link.value} />
    <${Headline} model=${model} onFork=${() => setDialog({ kind: "fork" })} onStartLike=${() => setDialog({ kind: "start" })} />
    <${Cursor} step=${step} total=${total} isLive=${isLive} isEnded=${isOver(run.status)} onStep=${goTo} />
    <div class="columns">
      <div class="left">
        <${Picture} definition=${definition} stats=${model.path.value} current=${isLive ? run.current_node : null} status=${run.status} at=${isLive && run.current_node !== null ? null : record?.node}
          taken=${record && taken !== null ? edgeKey(record.node, taken) : null} selected=${query.get("node")} onNode=${setNode} onEdge=${onEdge} />
        ${record ? html`<${DecisionLine} step=${record} />` : null}
        <${Timeline} model=${model} total=${total} step=${step} definition=${definition} onStep=${goTo} />
        <${Children} run=${run} definition=${definition} step=${record} />
      </div>
      <div class="right">
        <${Choice} label="Show" options=${tabs} value=${tab} onChange=${setTab} />
        ${tab === "state" ? html`<${StatePane} model=${model} step=${step} definition=${definition} onStep=${goTo} onFork=${() => setDialog({ kind: "fork" })} />` : null}
        ${tab === "decisions" ? html`<${Decisions} model=${model} node=${node} step=${step} total=${total} definition=${definition} stats=${model.path.value} onStep=${goTo} onNode=${setNode} onMake=${make} />` : null}
        ${tab === "log" ? html`<${Log} model=${model} definition=${definition} onStep=${goTo} />` : null}
        ${tab === "files" ? html`<${Files} model=${model} step=${total} />` : null}
        ${tab === "quality" ? html`<${Quality} model=${model} step=${step} hasEnded=${run.status === "completed"} />` : null}
      </div>
    </div>
    ${dialog?.kind === "fork" ? html`<${ForkDialog} model=${model} step=${step} definition=${definition} onClose=${close} />` : null}
    ${dialog?.kind === "make" ? html`<${MakeTrue} model=${model} step=${dialog.visit} index=${dialog.index} definition=${definition} onClose=${close} onEdit=${() => setDialog({ kind: "fork" })} />` : null}
    ${dialog?.kind === "start" ? html`<${Start} like=${run} onClose=${close} />` : null}`;
}
