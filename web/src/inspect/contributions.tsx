// The panel "Contributions": what each pixel adds to the scores of two classes.
import { asText } from "../fields";
import { Formula, Panel, Select } from "../ui/controls";
import { fixed, shown } from "../ui/numbers";
import { bytesOf, Pixels } from "../ui/pixels";
import { className, found, opened } from "./live";
import { state } from "./state";

export function ContributionsPanel() {
  const now = found.value;
  const subject = opened.value;
  if (!now || !subject) return null;
  const { contributions } = now;
  const choice = (start: string) =>
    [["-1", start], ...subject.class_names.map((name, k) => [String(k), name] as const)] as const;
  const size = (contributions.height ?? 0) * (contributions.width ?? 0);
  const bytes = contributions.why ? new Uint8Array() : bytesOf(contributions.bytes);
  const [a, b] = [contributions.first, contributions.second];
  const parts = contributions.why
    ? []
    : [
        { title: className(a), sum: contributions.sums[0], bias: now.bias[a]! },
        { title: className(b), sum: contributions.sums[1], bias: now.bias[b]! },
        {
          title: "the difference",
          sum: contributions.sums[0] - contributions.sums[1],
          bias: now.bias[a]! - now.bias[b]!,
        },
      ];
  return (
    <Panel
      title="Contributions, class against class"
      help={
        <>
          Each pixel's part of <Formula>W_k x</Formula>
          {subject.features === "pixels" ? "" : ", x being features: each is shared by the pixels it comes from"}: blue
          raises the score of the class, red lowers it; their sum and the bias are the score.
          {!contributions.why && <> The ends of the colours stand for ±{shown(contributions.limit, 2)}.</>}
        </>
      }
    >
      <div class="pair">
        <Select label="Class" value={asText(state.first)} choices={choice("the highest score")} />
        <Select label="against" value={asText(state.second)} choices={choice("the next highest")} />
      </div>
      {contributions.why ? (
        <p class="muted">{contributions.why}</p>
      ) : (
        <div class="maps">
          {parts.map((part, i) => (
            <figure>
              <Pixels
                height={contributions.height}
                width={contributions.width}
                bytes={bytes.subarray(i * size, (i + 1) * size)}
                kind="signed"
                label={`what each pixel adds to ${part.title}`}
              />
              <figcaption>
                <b>{part.title}</b>
                <br />
                {fixed(part.sum)} {part.bias < 0 ? "−" : "+"} {fixed(Math.abs(part.bias))} ={" "}
                <b>{fixed(part.sum + part.bias)}</b>
              </figcaption>
            </figure>
          ))}
        </div>
      )}
    </Panel>
  );
}
