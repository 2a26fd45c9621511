import { defineConfig } from "vite";

export default defineConfig({
  base: "./", // the page also works below a proxy's path
  build: {
    assetsDir: "page",
    assetsInlineLimit: 0, // the Content-Security-Policy allows no data: addresses
    target: "es2022",
    modulePreload: { polyfill: false },
    rolldownOptions: {
      // The rule is its own file, so that the tests run the very code of the page.
      input: { index: "index.html", rule: "src/rule.ts" },
      preserveEntrySignatures: "exports-only",
    },
  },
});
