// A caucus night for k6: k6 run -e PINS=pins.csv night.js
// Everybody is signed in first; then requests go out at the night's rate, in the night's order.
// k6 keeps rates, not due times: within a few seconds the order is the night's, the moments are k6's own.
import http from "k6/http";
import exec from "k6/execution";
import { check } from "k6";
import { SharedArray } from "k6/data";

const settings = __SETTINGS__;
const events = new SharedArray("events", () => JSON.parse(open("./events.json")));
const photo = open("./photo.png", "b");
const target = __ENV.TARGET || settings.target;

export const options = {
  discardResponseBodies: false,
  setupTimeout: "15m",
  scenarios: {
    night: {
      executor: "ramping-arrival-rate",
      startRate: settings.stages[0].target,
      timeUnit: "5s",
      preAllocatedVUs: 200,
      maxVUs: 2000,
      stages: settings.stages,
    },
  },
};

function filled(text, values) {
  return text.replace(/@([a-z_]+)@/g, (whole, name) => (name in values ? values[name] : whole));
}

function pins() {
  if (!__ENV.PINS) return {};
  const [head, ...rows] = open(__ENV.PINS).trim().split(/\r?\n/).map((line) => line.split(","));
  const user = head.indexOf("user");
  const pin = head.indexOf("pin");
  return Object.fromEntries(rows.map((row) => [row[user], row[pin]]));
}
const known = pins();

function device(name) {
  return name.startsWith("clerk") ? name : `chair-${Number(name) - 1}`;
}

export function setup() {
  const sessions = {};
  if (!settings.login) return sessions;
  const wanted = new Set();
  for (let k = 0; k < events.length; k += 1) if (events[k].user && events[k].name !== "login") wanted.add(events[k].user);
  for (const user of wanted) {
    const values = { user, pin: known[user] || "", device: device(user) };
    const headers = {};
    for (const [name, value] of Object.entries(settings.login.headers)) headers[name] = filled(value, values);
    const answer = http.request(
      settings.login.method, target + settings.login.path, filled(settings.login.body, values), { headers },
    );
    const found = {};
    for (const [name, pointer] of Object.entries(settings.login.extract)) {
      found[name] = pointer.slice(1).split("/").reduce((at, part) => (at == null ? at : at[part]), answer.json());
    }
    sessions[user] = found;
  }
  return sessions;
}

export default function night(sessions) {
  const number = exec.scenario.iterationInTest;
  if (number >= events.length) return;
  const event = events[number];
  const values = { ...(sessions[event.user] || {}), pin: known[event.user] || "" };
  const headers = {};
  for (const [name, value] of Object.entries(event.headers)) headers[name] = filled(value, values);
  const body = event.photo ? photo : event.body ? filled(event.body, values) : null;
  const answer = http.request(event.method, target + event.path, body, { headers, tags: { name: event.name } });
  check(answer, { "answered well": (one) => (one.status >= 200 && one.status < 300) || one.status === 304 });
}
