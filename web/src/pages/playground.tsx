// Playground: points in the plane, a line per class, the loss of every point, and optimizers that walk.
import { useSignalEffect } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Beside } from "../playground/beside";
import { listen, record } from "../playground/history";
import { Landscape } from "../playground/landscape";
import { watch } from "../playground/look";
import { Total } from "../playground/loss";
import { Optimizer } from "../playground/optimizer";
import { Plot } from "../playground/plot";
import { Points } from "../playground/sets";
import { failure, state } from "../playground/state";
import { Table } from "../playground/table";
import { Edits, Legend, Tools } from "../playground/tools";
import { Weights } from "../playground/weights";
import { Failure, Formula, More, Panel } from "../ui/controls";
import "./playground.css";

export default function Playground() {
  useSignalEffect(watch);
  useSignalEffect(record);
  useEffect(listen, []);
  return (
    <>
      <div class="page-head">
        <h1>Playground</h1>
        <p class="lead">
          Each class k has a line, <Formula>{"s_k = W_k x + b_k = 0"}</Formula>, and an arrow, <Formula>W_k</Formula>; a
          point gets the class of its highest score. Drag points, lines and arrows.
        </p>
      </div>
      <Failure message={failure} />
      <div class={`columns playground ${state.beside.value ? "with-sides" : ""}`}>
        <div class="column plane-column">
          <Panel title="The plane" name="plane-panel">
            <Edits />
            <Plot />
            <Legend />
            <Tools />
            <More title="Keys">
              <p>
                A point: arrows move it (<kbd>Shift</kbd> far, <kbd>Alt</kbd> fine), <kbd>n</kbd> and <kbd>p</kbd> go to
                the next and the previous one, <kbd>0</kbd> to <kbd>5</kbd> give it a class, <kbd>a</kbd> adds one next
                to it, <kbd>Delete</kbd> removes it.
              </p>
              <p>
                A line: arrows move its square; at the tip of its arrow left and right turn, up and down lengthen. A
                double press on the plane adds a point. <kbd>Ctrl</kbd> <kbd>Z</kbd> undoes an edit, with{" "}
                <kbd>Shift</kbd> redoes it.
              </p>
            </More>
          </Panel>
        </div>
        {state.beside.value && <Beside />}
        <div class="column">
          <Total />
          <Points />
          <Weights />
        </div>
        <div class="column">
          <Optimizer />
          <Landscape />
        </div>
        <Table />
      </div>
    </>
  );
}
