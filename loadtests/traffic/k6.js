// A caucus night for k6: k6 run -e PINS=$PWD/pins.csv night.js
// Everybody is signed in first; then requests go out at the night's rate, in the night's order.
// k6 keeps rates, not due times: within a few seconds the order is the night's, the moments are k6's own.
import http from "k6/http";
import exec from "k6/execution";
import { check, sleep } from "k6";
import { SharedArray } from "k6/data";

const settings = __SETTINGS__;
const events = new SharedArray("events", () => JSON.parse(open("./events.json")));
const people = new SharedArray("people", () => JSON.parse(open("./people.json")));
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

// What the mapping takes from the environment, so does this; a name that is not there stays as it is, and will be refused.
function valueOf(name, values) {
  return name.startsWith("secret.") ? __ENV[`CAUCUS_TARGET_${name.slice(7)}`] : values[name];
}

// In a path or a form a name stands quoted, and so must what it stands for.
function filled(text, values) {
  return text
    .replace(/@([a-z_]+|secret\.\w+)@/g, (whole, name) => valueOf(name, values) ?? whole)
    .replace(/%40([a-z_]+|secret\.\w+)%40/g, (whole, name) => {
      const value = valueOf(name, values);
      return value === undefined ? whole : encodeURIComponent(value);
    });
}

// No cell of the list holds a comma; a spreadsheet may have put quotes around them, and a mark before the first one.
function accounts() {
  if (!__ENV.PINS) return {};
  const cells = (line) => line.split(",").map((cell) => cell.trim().replace(/^"(.*)"$/, "$1").trim());
  const [head, ...rows] = open(__ENV.PINS).replace(/^\uFEFF/, "").trim().split(/\r?\n/).map(cells);
  const [user, pin, secret] = ["user", "pin", "totp_secret"].map((name) => head.indexOf(name));
  if (user < 0 || pin < 0) {
    throw new Error(`PINS ${__ENV.PINS}: no column ${user < 0 ? "user" : "pin"}: expected user,role,site,pin,totp_secret`);
  }
  return Object.fromEntries(rows.map((row) => [row[user], { pin: row[pin] || "", secret: row[secret] || "" }]));
}
const known = accounts();

function pinOf(user) {
  return user in known ? known[user].pin : "";
}

// Wrong log-ins would lock people out: better not to begin.
function demandPins() {
  if (!/(@|%40)pin\1/.test(JSON.stringify(settings.login))) return;
  const without = [];
  const withSecret = [];
  for (const { user } of people) {
    if (!pinOf(user)) without.push(user);
    else if (known[user].secret) withSecret.push(user);
  }
  const named = (users) => users.slice(0, 5).join(", ") + (users.length > 5 ? ` and ${users.length - 5} more` : "");
  if (without.length) {
    throw new Error(`PINS ${__ENV.PINS || "(not given)"}: no PIN for ${named(without)}: k6 run -e PINS=$PWD/pins.csv night.js`);
  }
  if (withSecret.length) {
    throw new Error(`PINS ${__ENV.PINS}: k6 plays no second factors, and these need one: ${named(withSecret)}`);
  }
}

function headersOf(row, values) {
  return Object.fromEntries(Object.entries(row.headers).map(([name, value]) => [name, filled(value, values)]));
}

// What a log-in gives; who is told to come back later does so.
function signedIn(person) {
  const values = { ...person, pin: pinOf(person.user) };
  const { method, path, body, extract } = settings.login;
  for (let tries = 0; tries < 6; tries += 1) {
    const answer = http.request(method, target + filled(path, values), filled(body, values), {
      headers: headersOf(settings.login, values), tags: { name: "signing in" },
    });
    if (answer.status === 429 || answer.status === 503) {
      sleep(Math.min(30, Number(answer.headers["Retry-After"]) || 1));
    } else if (answer.status < 200 || answer.status >= 300) {
      return {};
    } else {
      const found = {};
      for (const [name, pointer] of Object.entries(extract)) {
        found[name] = pointer.slice(1).split("/").reduce((at, part) => (at == null ? at : at[part]), answer.json());
      }
      return found;
    }
  }
  return {};
}

export function setup() {
  const sessions = {};
  if (!settings.login) return sessions;
  demandPins();
  const writers = new Set();
  for (const event of events) if (event.user && event.name !== "login") writers.add(event.user);
  for (const person of people) if (writers.has(person.user)) sessions[person.user] = signedIn(person);
  return sessions;
}

const renewed = {}; // of this virtual user: sessions end before a slow night does

function sent(event, sessions) {
  const values = { ...(renewed[event.user] || sessions[event.user] || {}), pin: pinOf(event.user) };
  const body = event.photo ? photo : event.body ? filled(event.body, values) : null;
  return http.request(event.method, target + filled(event.path, values), body, {
    headers: headersOf(event, values), tags: { name: event.name },
  });
}

export default function night(sessions) {
  const number = exec.scenario.iterationInTest;
  if (number >= events.length) return;
  const event = events[number];
  let answer = sent(event, sessions);
  if (answer.status === 401 && event.user && event.name !== "login" && settings.login) {
    for (const person of people) if (person.user === event.user) renewed[event.user] = signedIn(person);
    answer = sent(event, sessions);
  }
  const good = (answer.status >= 200 && answer.status < 300) || answer.status === 304;
  check(answer, { "answered well": () => good !== Boolean(event.must_fail) });
}
