// The panel "Scores": a row and a bar for each class.
import { classColor } from "../classes";
import { Formula, Panel } from "../ui/controls";
import { fixed, probability } from "../ui/numbers";
import { Scroll } from "../ui/scroll";
import { className, found, opened } from "./live";

const MOST_ROWS = 20;

function Bar({ value, low, high, k }: { value: number; low: number; high: number; k: number }) {
  const scale = 100 / Math.max(high - low, 1e-12);
  const zero = -low * scale;
  const end = (value - low) * scale;
  return (
    <svg viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true">
      <rect x={Math.min(zero, end)} y="2" width={Math.abs(end - zero)} height="12" fill={classColor(k)} />
      <line class="zero" x1={zero} x2={zero} y1="0" y2="16" />
    </svg>
  );
}

export function ScoresPanel() {
  const now = found.value;
  const subject = opened.value;
  if (!now || !subject) return null;
  const order = now.scores.map((_, k) => k);
  const many = order.length > MOST_ROWS;
  const rows = many ? [...order].sort((a, b) => now.scores[b]! - now.scores[a]!).slice(0, MOST_ROWS) : order;
  const low = Math.min(0, ...now.scores);
  const high = Math.max(0, ...now.scores);
  return (
    <Panel
      title={now.probabilities ? "Scores and probabilities" : "Scores"}
      help={
        <>
          <Formula>s = W x + b</Formula>
          {now.probabilities ? (
            <>
              , <Formula>{"p_k = e^{s_k} / Σ e^{s_j}"}</Formula>
            </>
          ) : (
            <>; a model of the {subject.loss} loss gives no probabilities</>
          )}
        </>
      }
    >
      <Scroll label="Table of the scores">
        <table class="scores" data-test="scores">
          <thead>
            <tr>
              <th scope="col">class</th>
              <th scope="col" class="bar">
                <span class="muted">score</span>
              </th>
              <th scope="col">s</th>
              {now.probabilities && <th scope="col">p</th>}
            </tr>
          </thead>
          <tbody>
            {rows.map((k) => (
              <tr key={k} class={k === now.found ? "chosen" : ""}>
                <th scope="row">
                  {className(k)}
                  {k === now.label ? " (true)" : ""}
                  {k === now.found ? " ←" : ""}
                </th>
                <td class="bar">
                  <Bar value={now.scores[k]!} low={low} high={high} k={k} />
                </td>
                <td>{fixed(now.scores[k], 3)}</td>
                {now.probabilities && <td>{probability(now.probabilities[k]!)}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      {many && (
        <small>
          the {MOST_ROWS} highest of {now.scores.length}
        </small>
      )}
    </Panel>
  );
}
