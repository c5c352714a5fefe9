import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { writeManifest } from "./manifest.ts";

const web = fileURLToPath(new URL(".", import.meta.url));
// The tests build into a folder of their own, to compare it with the one that is kept in the tree.
const page = process.env.LINPROBE_PAGE ?? fileURLToPath(new URL("../src/linprobe/lab/page", import.meta.url));

export default defineConfig({
  base: "./",
  build: {
    outDir: page,
    emptyOutDir: true,
    assetsDir: "",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    // Names without hashes: the server says "no-cache" and answers with ETags, and a build changes no file names.
    rollupOptions: {
      output: { entryFileNames: "[name].js", chunkFileNames: "[name].js", assetFileNames: "[name][extname]" },
    },
  },
  plugins: [{ name: "manifest", apply: "build", enforce: "post", closeBundle: () => writeManifest(web, page) }],
});
