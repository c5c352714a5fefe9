// Numbers as the page shows them, and as a hand types them. Pure functions.

/** Four significant digits, or `digits`; "∞" for null, which JSON holds in place of NaN and infinity. */
export const shown = (value: number | null | undefined, digits = 4): string => {
  if (value === null || value === undefined || Number.isNaN(value)) return "∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) {
    return String(Number(value.toPrecision(digits)).toExponential())
      .replace("e+", "e")
      .replaceAll("-", "−");
  }
  return String(Number(value.toPrecision(digits))).replace("-", "−");
};

/** A fixed number of decimals, with a true minus sign: for columns that must not dance. What would look like 0 is not. */
export const fixed = (value: number | null | undefined, decimals = 2): string => {
  if (value === null || value === undefined) return "∞";
  if (value !== 0 && Math.abs(value) < 0.5 * 10 ** -decimals) return shown(value, 2);
  if (Math.abs(value) >= 1e12) return shown(value, 6);
  return value.toFixed(Math.abs(value) >= 1e5 ? 0 : decimals).replace("-", "−");
};

/** The number that was typed, with the minus and the comma of any hand; undefined for an empty field and for no number. */
export const typed = (text: string): number | undefined => {
  const plain = text.trim().replaceAll("−", "-").replace(",", ".");
  const value = Number(plain);
  return plain !== "" && Number.isFinite(value) ? value : undefined;
};

/** A share 0..1 in percent; with more decimals where it would be rounded to 0% or 100% and is not: as in printed.py. */
export function percentText(share: number, decimals = 2): string {
  const percent = 100 * share;
  const whole = (text: string) => [0, 100].some((end) => Number(text) === end && percent !== end);
  let text = percent.toFixed(decimals);
  for (let more = decimals + 1; whole(text) && more <= 12; more += 1) text = percent.toFixed(more);
  return `${text}%`;
}

/** A probability in percent with one decimal, called 0 or 1 only where it is. */
export const probability = (value: number): string => {
  const text = (100 * value).toFixed(1);
  if (text === "0.0" && value > 0) return "<0.1%";
  return text === "100.0" && value < 1 ? ">99.9%" : `${text}%`;
};
