// Plays a k6 script with Node, one iteration after the other: what a script of ours uses of k6 is made here.
// Not k6: no rates, no virtual users at once. node k6_stand_in.mjs FOLDER; k6's -e NAME=VALUE is the environment.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { MessageChannel, Worker, receiveMessageOnPort } from "node:worker_threads";

const folder = process.argv[2];

// k6 waits for an answer, Node does not: another thread asks, and this one stands still meanwhile.
const ASKS = `
const { parentPort, workerData } = require("node:worker_threads");
const http = require("node:http");
const agent = new http.Agent({ keepAlive: true });
const bell = new Int32Array(workerData.bell);
parentPort.on("message", ({ method, url, body, headers }) => {
  const tell = (answer) => { workerData.port.postMessage(answer); Atomics.store(bell, 0, 1); Atomics.notify(bell, 0); };
  const request = http.request(url, { method, headers, agent }, (answer) => {
    const parts = [];
    answer.on("data", (part) => parts.push(part));
    answer.on("end", () => tell({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts).toString() }));
  });
  request.on("error", () => tell({ status: 0, headers: {}, body: "" }));
  request.end(body === null ? undefined : Buffer.from(body));
});`;
const bell = new SharedArrayBuffer(4);
const rings = new Int32Array(bell);
const { port1, port2 } = new MessageChannel();
const asker = new Worker(ASKS, { eval: true, workerData: { bell, port: port2 }, transferList: [port2] });

const canonical = (name) => name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase());

const told = { setup: {}, night: {}, failed: [] };
let phase = "setup";
let number = 0;

globalThis.__ENV = process.env;
globalThis.open = (name, mode) => {
  const read = fs.readFileSync(path.resolve(folder, name));
  return mode === "b" ? new Uint8Array(read).buffer : read.toString();
};
globalThis.k6 = {
  request(method, url, body, { headers, tags }) {
    Atomics.store(rings, 0, 0);
    asker.postMessage({ method, url, body, headers });
    Atomics.wait(rings, 0, 0);
    const answer = receiveMessageOnPort(port1).message;
    const named = `${tags.name} ${answer.status}`;
    told[phase][named] = (told[phase][named] || 0) + 1;
    return {
      status: answer.status,
      headers: Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [canonical(name), value])),
      json: () => JSON.parse(answer.body),
    };
  },
  exec: { scenario: { get iterationInTest() { return number; } } },
  check(answer, checks) {
    for (const [name, holds] of Object.entries(checks)) {
      if (!holds(answer)) told.failed.push(`${name}: iteration ${number}: ${answer.status}`);
    }
  },
  sleep(seconds) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000 * seconds);
  },
  SharedArray: class {  // only what k6's own has: an index, a length, and `for of`
    constructor(_, make) {
      const rows = make();
      rows.forEach((row, at) => { this[at] = Object.freeze(row); });
      this.length = rows.length;
    }
    *[Symbol.iterator]() { for (let at = 0; at < this.length; at += 1) yield this[at]; }
  },
};
const modules = {
  "k6/http": "export default { request: k6.request };",
  "k6/execution": "export default k6.exec;",
  k6: "export const check = k6.check, sleep = k6.sleep;",
  "k6/data": "export const SharedArray = k6.SharedArray;",
};

let text = fs.readFileSync(path.join(folder, "night.js"), "utf8");
for (const [name, made] of Object.entries(modules)) {
  text = text.replace(`from "${name}"`, `from "data:text/javascript,${encodeURIComponent(made)}"`);
}
const played = path.join(folder, "night.mjs");
fs.writeFileSync(played, text);
const script = await import(pathToFileURL(played));

const iterations = script.options.scenarios.night.stages.reduce(
  (sum, { target, duration }) => sum + (target * parseFloat(duration)) / 5, 0,
);
const sessions = JSON.parse(JSON.stringify(script.setup()));  // k6, too, hands on nothing but data
phase = "night";
for (number = 0; number < iterations + 3; number += 1) script.default(sessions);
console.log(JSON.stringify(told));
process.exit(0);
