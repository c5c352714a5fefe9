// What is minimised, on every page that lets its user choose: the fields in the address, and those of a request.
import { ownOptions } from "./choices";
import { type Field, nameField, numberField, recordField } from "./fields";

interface Start {
  loss: string;
  beta: number;
  reg: number;
  /** The least margin that the page has. */
  delta: number;
}

/** The fields of the loss and the penalty, with what a page starts with. */
export const objectiveFields = ({ loss, beta, reg, delta }: Start) => ({
  loss: nameField(loss),
  delta: numberField(1, delta, 1000),
  loss_options: recordField(),
  penalty: nameField("l2"),
  beta: numberField(beta, 0, 100),
  reg: numberField(reg, 0, 100),
  penalty_options: recordField(),
});

type Fields = ReturnType<typeof objectiveFields>;
type Cells = { [K in keyof Fields]: { value: Fields[K] extends Field<infer T> ? T : never } };

/** The loss and the penalty as every request holds them. */
export const objectiveOf = ({ loss, delta, loss_options, penalty, beta, reg, penalty_options }: Cells) => ({
  loss: loss.value,
  delta: delta.value,
  loss_options: ownOptions("loss", loss.value, loss_options.value),
  penalty: penalty.value,
  beta: beta.value,
  reg: reg.value,
  penalty_options: ownOptions("penalty", penalty.value, penalty_options.value),
});
