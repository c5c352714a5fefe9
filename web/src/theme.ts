// Light or dark, as the system has it until the button is pressed; and the size of the text.
import { computed, effect, signal } from "@preact/signals";

export type Theme = "light" | "dark";
const KEY = "linprobe-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

const stored = (): Theme | undefined => {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : undefined;
  } catch {
    return undefined; // a browser that keeps nothing
  }
};

const chosen = stored();
export const theme = signal<Theme>(chosen ?? (system.matches ? "dark" : "light"));
let own = chosen !== undefined;

system.addEventListener("change", () => {
  if (!own) theme.value = system.matches ? "dark" : "light";
});

effect(() => {
  document.documentElement.dataset.theme = theme.value;
});

const SIZE = "linprobe-text";
const LARGE = 1.3;

const storedSize = (): boolean => {
  try {
    return localStorage.getItem(SIZE) === "large";
  } catch {
    return false;
  }
};

/** Larger text, to be read from the last row of a lecture hall. */
export const large = signal(storedSize());
/** By how much text is larger: what is drawn in pixels makes room for it. */
export const textScale = computed(() => (large.value ? LARGE : 1));

effect(() => {
  document.documentElement.style.setProperty("--text", String(textScale.value));
});

export function toggleText(): void {
  large.value = !large.value;
  try {
    localStorage.setItem(SIZE, large.value ? "large" : "normal");
  } catch {
    // it lasts until the page is closed
  }
}

export function toggleTheme(): void {
  own = true;
  theme.value = theme.value === "dark" ? "light" : "dark";
  try {
    localStorage.setItem(KEY, theme.value);
  } catch {
    // it lasts until the page is closed
  }
}
