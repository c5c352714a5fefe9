// What a check comes to, in words. Pure functions.
import type { Checked } from "../protocol";

/** An error above the tolerance that is no larger than what rounding makes at this h. */
export const blurred = (error: number | null, found: Checked): boolean => error !== null && error > found.tolerance;

export function verdict(found: Checked): string {
  if (found.n_checked === 0) return "Nothing could be compared";
  if (!found.ok) return "Beyond the tolerance";
  return blurred(found.largest_error, found)
    ? "h is too small for a verdict: rounding explains every error"
    : "The gradient is right";
}

/** How many characters two numbers have in common, from the first on. */
export function sameDigits(text: string, other: string): number {
  let same = 0;
  while (same < text.length && text[same] === other[same]) same += 1;
  return same;
}
