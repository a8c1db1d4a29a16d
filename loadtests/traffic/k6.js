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
  if (!__ENV.PINS) return [];
  const cells = (line) => line.split(",").map((cell) => cell.trim().replace(/^"(.*)"$/, "$1").trim());
  const [head, ...rows] = open(__ENV.PINS).replace(/^\uFEFF/, "").trim().split(/\r?\n/).map(cells);
  const [user, role, site, pin, secret] = ["user", "role", "site", "pin", "totp_secret"].map((name) => head.indexOf(name));
  if (user < 0 || pin < 0) {
    throw new Error(`PINS ${__ENV.PINS}: no column ${user < 0 ? "user" : "pin"}: expected user,role,site,pin,totp_secret`);
  }
  return rows.map((row) => (
    { user: row[user], role: row[role], site: row[site], pin: row[pin] || "", secret: row[secret] || "" }
  ));
}
const list = new SharedArray("accounts", accounts);

// Where everybody of the night stands in the list: by role and site; in one without them, by our own names.
function placesInList() {
  const [users, chairs, clerks, places] = [{}, {}, [], {}];
  let at = 0;
  for (const { user, role, site } of list) {
    users[user] = at;
    if (role === "chair" && site) chairs[site] = at;
    if (role === "clerk") clerks.push(at);
    at += 1;
  }
  for (const { user, role, sites, number } of people) {
    if (role === "clerk" && clerks.length === 1) {
      throw new Error(`PINS ${__ENV.PINS}: 1 clerk: every result is keyed by two`);
    }
    const found = role === "clerk" ? clerks[number % clerks.length] : chairs[sites.find((site) => site in chairs)];
    places[user] = found ?? users[user];
  }
  return places;
}

function accountAt(place, user) {
  return place === undefined ? { user, pin: "", secret: "" } : list[place];
}

// Wrong log-ins would lock people out: better not to begin.
function demandPins(places) {
  if (!/(@|%40)pin\1/.test(JSON.stringify(settings.login))) return;
  const without = [];
  const withSecret = [];
  for (const { user } of people) {
    const { pin, secret } = accountAt(places[user], user);
    if (!pin) without.push(user);
    else if (secret) withSecret.push(user);
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
function signedIn({ device, address }, { user, pin }) {
  const values = { device, address, user, pin };
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

// By everybody's name in the night: where they stand in the list, and what their log-ins gave.
export function setup() {
  const sessions = {};
  if (!settings.login) return sessions;
  const places = placesInList();
  demandPins(places);
  const writers = new Set();
  for (const event of events) if (event.user && event.name !== "login") writers.add(event.user);
  for (const person of people) {
    const place = places[person.user];
    const values = writers.has(person.user) ? signedIn(person, accountAt(place, person.user)) : {};
    sessions[person.user] = { place, values };
  }
  return sessions;
}

const renewed = {}; // of this virtual user: sessions end before a slow night does

function sent(event, sessions) {
  const { place, values: found } = sessions[event.user] || {};
  const { user, pin } = accountAt(place, event.user);
  const values = event.name === "login" ? { user, pin } : { user, ...(renewed[event.user] || found) };
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
    const account = accountAt(sessions[event.user].place, event.user);
    for (const person of people) if (person.user === event.user) renewed[event.user] = signedIn(person, account);
    answer = sent(event, sessions);
  }
  const { status } = answer;
  const accepted = (status >= 200 && status < 300) || status === 304;
  const refused = status >= 400 && status < 500 && status !== 408; // what is broken has refused nobody
  check(answer, { "answered well": () => (event.must_fail ? refused : accepted) });
}
