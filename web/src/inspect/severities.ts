// The severities of the challenges: in the address, and in words. Pure functions.

/** Those that an address names, "rotation.3_patch.2"; what is no severity of 1 to 5 is left out. */
export function severitiesIn(text: string): Record<string, number> {
  const parsed: Record<string, number> = {};
  for (const part of text.split("_")) {
    const [name, value] = part.split(".");
    if (name && /^[1-5]$/.test(value ?? "")) parsed[name] = Number(value);
  }
  return parsed;
}

/** As an address names them, those at 0 left out. */
export const severitiesAs = (severities: Record<string, number>): string =>
  Object.entries(severities)
    .filter(([, value]) => value > 0)
    .map(([name, value]) => `${name}.${value}`)
    .join("_");

/** Amounts of a challenge, short enough for the place next to its slider. */
const UNITS: Record<string, (amount: number) => string> = {
  rotation: (a) => `${a}°`,
  scale: (a) => `x ${a} or 1/${a}`,
  perspective: (a) => `${Math.round(100 * a)}% closer`,
  mirror: (a) => `${Math.round(100 * a)}% of pictures`,
  brightness: (a) => `${a} grey levels`,
  contrast: (a) => `${Math.round(100 * a)}% left`,
  gamma: (a) => `exponent ${a}`,
  shadow: (a) => `${Math.round(100 * a)}% darker`,
  elastic: (a) => `${(100 * a).toFixed(1)}% of the side`,
  patch: (a) => `${Math.round(100 * a)}% of the side`,
  rim: (a) => `${Math.round(100 * a)}% at the rim`,
};

/** What a severity of a kind of challenge means, as short as the place next to its slider. */
export function meaningOf(kind: { name: string; unit: string; amounts: number[] }, severity: number): string {
  const amount = kind.amounts[severity - 1];
  if (severity === 0 || amount === undefined) return "as it is";
  return UNITS[kind.name]?.(amount) ?? `${amount} ${kind.unit}`;
}

const LIKENESS = ["the picture itself", "nearest", "near", "further", "far", "furthest"] as const;

/** What a severity of intraclass variation means: which of five groups of its class, by likeness, stands in. */
export const likenessOf = (severity: number): string => LIKENESS[severity] ?? LIKENESS[0];
