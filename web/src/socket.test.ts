import { expect, test } from "vitest";
import { Server } from "./testing";

const server = new Server();
const { call, link, request, stream } = await import("./socket");
const ignore = () => undefined;

test("a call waits for the first connection", async () => {
  const answer = call("train.report", { run: "early" });
  expect(await server.received("train.report")).toHaveLength(0);
  server.open();
  const [sent] = await server.received("train.report");
  await server.answer(sent!, { address: "there" });
  expect(await answer).toEqual({ address: "there" });
});

test("a refusal rejects with the sentence of the server", async () => {
  const answer = call("inspect.open", { run: "refused" }).catch((error: Error) => error.message);
  await server.refuse((await server.received("inspect.open"))[0]!, "W has shape (2, 3)");
  expect(await answer).toBe("W has shape (2, 3)");
});

test("a request that was replaced neither answers nor fails", async () => {
  const seen: unknown[] = [];
  const ask = (n: number) =>
    request(
      "train.templates",
      { run: String(n) },
      (result) => seen.push(result),
      (error) => seen.push(error.message),
    );
  const drops = [ask(0), ask(1), ask(2)];
  const sent = await server.received("train.templates");
  drops[0]!();
  drops[1]!();
  await server.answer(sent[2]!, "third");
  await server.answer(sent[0]!, "first");
  await server.refuse(sent[1]!, "second");
  expect(seen).toEqual(["third"]);
});

test("a stream has one request in flight, and of those that wait it sends the last", async () => {
  const seen: unknown[] = [];
  const ask = stream(
    "train.traces",
    (result, note: string) => seen.push([result, note]),
    (error) => seen.push(error.message),
  );
  ask({ runs: "0" }, "a");
  ask({ runs: "1" }, "b");
  ask({ runs: "2" }, "c");
  expect(await server.received("train.traces")).toHaveLength(1);
  await server.answer((await server.received("train.traces"))[0]!, 10);
  const sent = await server.received("train.traces");
  expect(sent.map((one) => one.params)).toEqual([{ runs: "0" }, { runs: "2" }]);
  await server.refuse(sent[1]!, "no such n");
  expect(seen).toEqual([[10, "a"], "no such n"]);
});

test("a lost connection rejects what waits, and refuses what comes; a stream stays silent", async () => {
  const seen: string[] = [];
  stream("train.runs", ignore, (error) => seen.push(error.message))({});
  const waits = call("train.stop", {}).catch((error: Error) => error.message);
  await server.received("train.stop");
  server.close();
  expect(await waits).toContain("nothing was done");
  await expect(call("train.finish", {})).rejects.toThrow("nothing was done");
  expect(link.value).toBe("closed");
  expect(seen).toEqual([]);
});
