// The pages of the lab, in the order of the menu. A new page is a module in pages/ and a line here.
import type { ComponentType } from "preact";

export interface PageEntry {
  /** As in the address, #/<name>, and the first part of its methods' names. */
  name: string;
  title: string;
  load: () => Promise<{ default: ComponentType }>;
}

export const PAGES: readonly PageEntry[] = [
  { name: "playground", title: "Playground", load: () => import("./pages/playground") },
  { name: "matrix", title: "W times x", load: () => import("./pages/matrix") },
  { name: "scores", title: "Scores to loss", load: () => import("./pages/scores") },
  { name: "gradient", title: "Gradient check", load: () => import("./pages/gradient") },
  { name: "walks", title: "Walks", load: () => import("./pages/walks") },
  { name: "train", title: "Train", load: () => import("./pages/train") },
  { name: "inspect", title: "Inspect", load: () => import("./pages/inspect") },
];
