// The panel "Error against h": both differences, on logarithmic axes.
import { asText } from "../fields";
import { Chart } from "../ui/chart";
import { Formula, More, Panel, Select } from "../ui/controls";
import { coordinate, state, swept } from "./state";

export function Errors() {
  const found = swept.value;
  const c = coordinate.value;
  const of = (rows: number[][]) => rows.map((row) => row[c] ?? null);
  return (
    <Panel
      title="Error against h"
      help="Absolute error of both differences, on logarithmic axes. Press or drag in the chart to choose h."
    >
      <Select
        label="coordinate"
        value={asText(state.c, () => coordinate.value)}
        choices={(found?.names ?? ["W[0, 0]"]).map((name, i) => [String(i), name] as const)}
      />
      {found && (
        <Chart
          lines={[
            {
              name: "forward",
              color: "var(--class-5)",
              dash: "7 4",
              x: found.h,
              y: of(found.forward),
              rings: found.kinks.map((row) => row[c] ?? false),
            },
            {
              name: "centred",
              color: "var(--class-0)",
              x: found.h,
              y: of(found.centred),
              rings: found.kinks.map((row) => row[c] ?? false),
            },
          ]}
          x={{ label: "h", log: true, low: 1e-12, high: 1 }}
          y={{ label: "error", log: true, low: 1e-15, high: 10 }}
          marker={state.h.value}
          height={330}
          onPick={(h) => {
            state.h.value = Number(h.toPrecision(2));
          }}
          alt={`Error of forward and centred differences of ${found.names[c]} for h from 0.1 to 1e-12`}
        />
      )}
      <small>
        ○ the interval from w − h to w + h crosses a kink, where differences do not approximate the gradient. An error
        of exactly 0 is not drawn.
      </small>
      <More title="Why these slopes?">
        <p>
          Forward: truncation <Formula>{"h f″/2"}</Formula>, so it falls with h; rounding <Formula>ε f / h</Formula>{" "}
          rises as h falls. They are equal at <Formula>{"h ≈ ε^{1/2} ≈ 10^{−8}"}</Formula>. Centred: truncation{" "}
          <Formula>{"h^2 f‴/6"}</Formula>, equal at <Formula>{"h ≈ ε^{1/3} ≈ 10^{−5}"}</Formula>, where it has about
          eleven digits: this is why linprobe checks at 1e−5.
        </p>
        <p>
          The hinge is made of straight pieces: away from its kinks there is no truncation at all, only that of the
          penalty.
        </p>
      </More>
    </Panel>
  );
}
