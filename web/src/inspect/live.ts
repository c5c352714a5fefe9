// What this page shows: the runs, the one that is opened, and the answers about its pictures.
import { signal } from "@preact/signals";
import type { ChallengeShown, GridPage, Inspection, Neighbours, Opened, RunShown } from "../protocol";

export const runs = signal<RunShown[] | null>(null);
export const challenges = signal<ChallengeShown[]>([]);
export const opened = signal<Opened | null>(null);
export const grid = signal<GridPage | null>(null);
export const found = signal<Inspection | null>(null);
export const nearest = signal<Neighbours | null>(null);
export const failure = signal("");
export const gridFailure = signal("");
export const lookFailure = signal("");
export const nearestFailure = signal("");
export const ownFailure = signal("");
export const opening = signal(false);
export const className = (k: number): string => opened.value?.class_names[k] ?? String(k);
