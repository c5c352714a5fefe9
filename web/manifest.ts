// The manifest of a build: which sources it was made from, and what was made. A test recomputes both without Node.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const LEFT_OUT = new Set(["node_modules"]);

/** SHA-256 of every file below `folder`, by its path with forward slashes, sorted. */
function hashes(folder: string, inside = ""): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(join(folder, inside), { withFileTypes: true })) {
    const path = inside ? `${inside}/${entry.name}` : entry.name;
    if (entry.isDirectory()) {
      if (!LEFT_OUT.has(entry.name)) Object.assign(found, hashes(folder, path));
    } else {
      found[path] = createHash("sha256")
        .update(readFileSync(join(folder, path)))
        .digest("hex");
    }
  }
  return Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function writeManifest(web: string, page: string): void {
  const built = hashes(page);
  delete built["manifest.json"];
  writeFileSync(join(page, "manifest.json"), `${JSON.stringify({ sources: hashes(web), built }, null, 1)}\n`);
}
