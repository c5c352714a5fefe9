// The frame of every page: menu, connection, theme.
import { signal, useSignalEffect } from "@preact/signals";
import type { ComponentType } from "preact";
import "./choices"; // hears the table of choices, the first event of a connection, before any page is loaded
import { Closed, HallBar, isClosed, Unconnected } from "./hall/bar";
import { Lesson, LessonLink } from "./lesson/panel";
import { PAGES } from "./pages";
import { address, currentPage } from "./route";
import { connections, link } from "./socket";
import { large, theme, toggleText, toggleTheme } from "./theme";

const loaded = signal<Record<string, ComponentType>>({});
const failure = signal("");

// A file that misses its place must not take the page's: a browser opens what is dropped elsewhere.
for (const kind of ["dragover", "drop"] as const) {
  addEventListener(kind, (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
}

export function App() {
  useSignalEffect(() => {
    const entry = PAGES.find((page) => page.name === currentPage.value);
    if (!entry) return;
    document.title = `${entry.title} - linprobe lab`;
    // on a narrow screen the menu is longer than the window
    requestAnimationFrame(() =>
      document.querySelector("nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" }),
    );
    failure.value = "";
    void connections.value; // what could not be loaded is tried again
    if (loaded.peek()[entry.name]) return;
    entry.load().then(
      (module) => {
        loaded.value = { ...loaded.peek(), [entry.name]: module.default };
      },
      (error: Error) => {
        if (currentPage.peek() === entry.name) failure.value = `The page cannot be loaded (${error.message}).`;
      },
    );
  });
  const Page = loaded.value[currentPage.value];
  return (
    <>
      {/* biome-ignore lint/a11y/useValidAnchor: a link to a place on this page, whose address holds its state */}
      <a class="skip" href="#main" onClick={skip}>
        To the page
      </a>
      <header class="top">
        <span class="brand">
          linprobe <b>lab</b>
        </span>
        <nav aria-label="Pages">
          {PAGES.filter((page) => !isClosed(page.name)).map((page) => (
            <a href={address(page.name)} aria-current={page.name === currentPage.value ? "page" : undefined}>
              {page.title}
            </a>
          ))}
          <LessonLink />
        </nav>
        <HallBar />
        <span class={`link ${link.value}`} role="status">
          {link.value === "open" ? "connected" : link.value === "closed" ? "no connection" : "connecting"}
        </span>
        <button
          type="button"
          class="quiet text-size"
          onClick={toggleText}
          aria-label="Larger text"
          aria-pressed={large.value}
        >
          A<b>A</b>
        </button>
        <button type="button" class="quiet" onClick={toggleTheme} aria-label={`Switch to ${other()} colours`}>
          {other()}
        </button>
      </header>
      <Unconnected />
      <Lesson />
      <main id="main" tabindex={-1}>
        {failure.value && (
          <p class="error" role="alert">
            {failure.value}
          </p>
        )}
        {isClosed(currentPage.value) ? <Closed /> : Page ? <Page /> : <p class="muted">Loading</p>}
      </main>
    </>
  );
}

const other = () => (theme.value === "dark" ? "light" : "dark");

function skip(event: Event) {
  event.preventDefault(); // the address holds the page's state
  document.getElementById("main")?.focus();
}
