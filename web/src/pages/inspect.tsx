// Inspect: one picture, what the model makes of it and why, its neighbours, and the six challenges live.
import { useSignalEffect } from "@preact/signals";
import { ChallengesPanel } from "../inspect/challenges";
import { ContributionsPanel } from "../inspect/contributions";
import { GridPanel } from "../inspect/grid";
import { ModelPanel } from "../inspect/model";
import { NeighboursPanel } from "../inspect/neighbours";
import { watchGrid, watchLook, watchNeighbours, watchOpened, watchRuns } from "../inspect/requests";
import { ScoresPanel } from "../inspect/scores";
import { VerdictPanel } from "../inspect/verdict";
import "../ui/pixels.css";
import "./inspect.css";

export default function Inspect() {
  useSignalEffect(watchRuns);
  useSignalEffect(watchOpened);
  useSignalEffect(watchGrid);
  useSignalEffect(watchLook);
  useSignalEffect(watchNeighbours);
  return (
    <>
      <div class="page-head">
        <h1>Inspect</h1>
        <p class="lead">
          What a trained model makes of one picture, which pixels speak for which class, what it looks like to its
          neighbours, and how little it takes to change the answer.
        </p>
      </div>
      <div class="columns inspect">
        <div class="stack">
          <ModelPanel />
          <GridPanel />
        </div>
        <div class="stack">
          <div class="two">
            <div class="stack">
              <VerdictPanel />
              <ScoresPanel />
            </div>
            <ChallengesPanel />
          </div>
          <ContributionsPanel />
          <NeighboursPanel />
        </div>
      </div>
    </>
  );
}
