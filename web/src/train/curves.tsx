// A chart of lines that grow with a training.
import { classColor } from "../classes";
import { Chart, type Line } from "../ui/chart";
import { percentText, shown } from "../ui/numbers";
import { thinned } from "./rows";

export interface Series {
  name: string;
  /** Number of its colour and its dash. */
  k: number;
  x: readonly number[];
  y: readonly number[];
  /** A single point: a value that is known once. */
  dot?: boolean;
}

const DASHES = ["", "7 4", "2 3", "9 3 2 3", "4 2", "1 4", "", "7 4"];
/** Points of a line that are drawn, at most. */
const MOST_POINTS = 400;

/** A chart of lines that grow: evenly thinned, with the last value of each in the legend. */
export function Curves({
  title,
  over,
  series,
  log,
  percent,
  aim,
  height = 200,
}: {
  title: string;
  over: string;
  series: readonly Series[];
  log?: boolean;
  percent?: boolean;
  aim?: { name: string; value: number } | undefined;
  height?: number;
}) {
  const lines: Line[] = [];
  const said: string[] = [];
  let [first, last] = [Infinity, -Infinity];
  series.forEach(({ name, k, x, y, dot }) => {
    const drawn = thinned(x, y, MOST_POINTS, log);
    if (!drawn.length) return;
    const end = y[drawn.at(-1)!]!;
    const text = percent ? percentText(end, 1) : shown(end, 3);
    said.push(`${name} ${text}`);
    [first, last] = [Math.min(first, x[drawn[0]!]!), Math.max(last, x[drawn.at(-1)!]!)];
    lines.push({
      name: `${name} ${text}`,
      color: classColor(k),
      dash: DASHES[k % DASHES.length]!,
      x: drawn.map((i) => x[i]!),
      y: drawn.map((i) => (percent ? 100 : 1) * y[i]!),
      ...(dot ? { rings: [true] } : {}),
    });
  });
  if (aim && lines.length)
    lines.push({
      name: `${aim.name} ${shown(aim.value)}`,
      color: "var(--muted)",
      dash: "1 5",
      x: [first, last],
      y: [aim.value, aim.value],
    });
  return (
    <div class="curves">
      <h3>
        {title}
        {percent ? ", %" : ""}
      </h3>
      <Chart
        lines={lines}
        x={{ label: over }}
        y={{ label: "", log: log ?? false }}
        height={height}
        alt={`${title} over ${over}; at the end: ${said.join(", ") || "nothing yet"}`}
      />
    </div>
  );
}
