// Light or dark: as the system has it, until the button says otherwise.
import { effect, signal } from "@preact/signals";

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

export function toggleTheme(): void {
  own = true;
  theme.value = theme.value === "dark" ? "light" : "dark";
  try {
    localStorage.setItem(KEY, theme.value);
  } catch {
    // it lasts until the page is closed
  }
}
