// The panel "Coordinate by coordinate": a table.
import { Formula, Panel } from "../ui/controls";
import { fixed, shown } from "../ui/numbers";
import { Scroll } from "../ui/scroll";
import { checked, coordinate, state } from "./state";
import { blurred, sameDigits } from "./words";

export function Coordinates() {
  const found = checked.value;
  return (
    <Panel title="Coordinate by coordinate">
      <Scroll label="Table of the coordinates">
        <table aria-label="coordinates">
          <thead>
            <tr>
              <th>coordinate</th>
              <th>value</th>
              <th>analytic</th>
              <th>forward</th>
              <th>centred</th>
              <th title="|analytic − centred| / max(|analytic|, |centred|)">relative error</th>
              <td />
            </tr>
          </thead>
          <tbody>
            {found?.coordinates.map((row, i) => (
              <tr
                class={i === coordinate.value ? "chosen" : ""}
                onClick={() => {
                  state.c.value = i;
                }}
              >
                <th scope="row">{row.name}</th>
                <td>{fixed([...found.W.flat(), ...found.b][i])}</td>
                <td>{fixed(row.analytic, 9)}</td>
                <td>
                  <Digits value={row.forward} like={row.analytic} />
                </td>
                <td>
                  <Digits value={row.centred} like={row.analytic} />
                </td>
                <td>{row.kink ? "" : shown(row.error, 2)}</td>
                <td>
                  {row.kink ? (
                    <span class="kink" title={row.kink}>
                      ○ kink: {row.kink}
                    </span>
                  ) : row.ok ? (
                    blurred(row.error, found) ? (
                      "≈ rounding"
                    ) : (
                      "✓"
                    )
                  ) : (
                    "✗ off"
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <small>
        Relative error: <Formula>|analytic − centred| / max(|analytic|, |centred|)</Formula>. Digits that differ from
        the analytic gradient are underlined. L(W, b) = {shown(found?.objective, 6)}.
      </small>
    </Panel>
  );
}

/** A number whose digits, from the first that differs from another number's, are underlined. */
function Digits({ value, like }: { value: number; like: number }) {
  const text = fixed(value, 9);
  const same = sameDigits(text, fixed(like, 9));
  return (
    <>
      {text.slice(0, same)}
      <u>{text.slice(same)}</u>
    </>
  );
}
