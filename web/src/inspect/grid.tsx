// The panel "Test images": thumbnails, a page at a time, by class and by what they were taken for.
import { asText } from "../fields";
import type { GridPage } from "../protocol";
import { Button, Choice, Failure, Panel, Select } from "../ui/controls";
import { className, grid, gridFailure, opened } from "./live";
import { Shown } from "./picture";
import { choose, SHOWN, state } from "./state";

export function GridPanel() {
  const subject = opened.value;
  const now = grid.value;
  if (!subject?.n_test) return null;
  const names = subject.class_names.map((name, k) => [String(k), name] as const);
  const any = [["-1", "any"], ...names] as const;
  const back = () => {
    state.page.value = 0;
  };
  return (
    <Panel title="Test images">
      <Choice label="Show those classified" value={state.show} choices={SHOWN} onChange={back} />
      <Select label="of class" value={asText(state.label)} choices={any} onChange={back} />
      <Select label="taken for" value={asText(state.found)} choices={any} onChange={back} />
      <Failure message={gridFailure} />
      {!now && (
        <p class="muted" role="status">
          classifying the test images ...
        </p>
      )}
      {now && (
        <>
          <Pager now={now} />
          <Thumbnails now={now} />
          {now.total === 0 && <p class="muted">none</p>}
        </>
      )}
    </Panel>
  );
}

function Pager({ now }: { now: GridPage }) {
  return (
    <div class="pager">
      <span>
        {now.total.toLocaleString("en")} of {now.n_test.toLocaleString("en")}
        {state.show.value === "wrong" ? ", surest first" : ""}
      </span>
      <span class="row">
        <Button
          label="Previous page"
          disabled={now.page === 0}
          onClick={() => {
            state.page.value = now.page - 1;
          }}
        >
          ‹
        </Button>
        <span>
          {now.page + 1} / {now.pages}
        </span>
        <Button
          label="Next page"
          disabled={now.page + 1 >= now.pages}
          onClick={() => {
            state.page.value = now.page + 1;
          }}
        >
          ›
        </Button>
      </span>
    </div>
  );
}

function Thumbnails({ now }: { now: GridPage }) {
  return (
    <ul class="thumbs">
      {now.items.map((item) => (
        <li key={item.index}>
          <button
            type="button"
            aria-pressed={!state.own.value && state.index.value === item.index}
            onClick={() => choose(item.index)}
            aria-label={`test image ${item.index}: ${className(item.label)}${item.found === item.label ? "" : ` ✗ ${className(item.found)}`}, classified ${item.found === item.label ? "right" : "wrong"}`}
          >
            <Shown picture={item.picture} label="" />
            <span>{className(item.label)}</span>{" "}
            {item.found !== item.label && <span class="miss">✗ {className(item.found)}</span>}
          </button>
        </li>
      ))}
    </ul>
  );
}
