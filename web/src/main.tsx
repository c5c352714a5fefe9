import { render } from "preact";
import "./style/theme.css";
import "./style/base.css";
import "./style/controls.css";
import "./style/tables.css";
import "./style/narrow.css";
import "./style/chart.css";
import { App } from "./app";

const root = document.getElementById("app");
if (root) render(<App />, root);
