// Gradient check: the analytic gradient against differences, and what h does to them.
import { useSignalEffect } from "@preact/signals";
import { Coordinates } from "../gradient/coordinates";
import { Errors } from "../gradient/errors";
import { OneWeight } from "../gradient/moved";
import { Settings, Step } from "../gradient/settings";
import { failure, watchCheck, watchMove, watchSweep } from "../gradient/state";
import { Failure } from "../ui/controls";
import "./gradient.css";

export default function Gradient() {
  useSignalEffect(watchCheck);
  useSignalEffect(watchSweep);
  useSignalEffect(watchMove);
  return (
    <>
      <div class="page-head">
        <h1>Gradient check</h1>
        <p class="lead">
          The analytic gradient is fast and exact, but easy to get wrong; differences are slow and approximate, but hard
          to get wrong. So compare the two.
        </p>
      </div>
      <Failure message={failure} />
      <div class="columns gradient">
        <div class="column">
          <Step />
          <Settings />
        </div>
        <div class="column">
          <OneWeight />
          <Errors />
          <Coordinates />
        </div>
      </div>
    </>
  );
}
