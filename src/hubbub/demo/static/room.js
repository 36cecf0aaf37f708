// What a page knows of one room: what was said, who is here, who was, who is typing. It draws nothing.

import { listed, meet } from "./people.js";

const KEPT = 200; // items of a room
const MANY = 4; // people who come and go, from which on their line is added to while others talk
const FOLD = 30_000; // milliseconds for which it is
const CHECK = 8_000; // milliseconds until it is asked who is here: more than the server's grace for lost connections
const TYPING = 4_000; // milliseconds for which somebody types who has said so
const REMEMBERED = 30; // people who were here
const NOT_ALL = "You were away, and not all that was said meanwhile is kept. This is what is:";

export class Room {
  items = []; // {number, said}, {number, traffic} or {number, note}: oldest first
  last = 0; // number of the latest item
  changed = new Set(); // items that were changed after they were added
  reset = true; // everything is to be drawn anew
  here = new Set(); // users
  gone = new Map(); // user -> when they were last seen, in milliseconds; the latest last
  typing = new Map(); // user -> until when
  peopleChanged = true;
  unread = 0; // messages
  read = 0; // offset of the latest message that was seen
  static heard = 0; // messages that have come into any room
  #loaded = false; // the history is there
  #away = 0; // since when the connection is lost
  #absent = new Set(); // users who are here, as was told, but were not found when it was asked last
  #checking = null; // the timer until it is asked again

  constructor(name, session, me, changed) {
    Object.assign(this, { name, session, me, change: changed, channel: `room:${name}` });
  }

  // The ways in and out

  enter(letIn, refused) {
    this.session.subscribe(this.channel, {
      entered: (how) => (letIn(this), this.#entered(how)),
      publication: (publication) => this.#said(publication),
      join: (info) => this.#join(info),
      leave: (info) => this.#leave(info.user),
      refused: (error) => refused(this, error),
    });
    this.session.subscribe(`typing:${this.name}`, { publication: ({ info }) => this.#types(info) });
  }

  leave() {
    this.session.unsubscribe(this.channel);
    this.session.unsubscribe(`typing:${this.name}`);
    this.#stopChecking();
  }

  say(text) {
    return this.session.ask("publish", { channel: this.channel, data: { text } });
  }

  type() {
    this.session.ask("publish", { channel: `typing:${this.name}`, data: true }).catch(() => {});
  }

  seen() {
    this.read = this.items.findLast(({ said }) => said)?.said.offset ?? this.read;
    this.unread = 0;
  }

  disconnected() {
    this.#away ||= Date.now();
    this.#stopChecking();
    this.#absent.clear();
    this.typing.clear();
  }

  #entered({ again, recovered, missed }) {
    const away = this.#away ? Math.round((Date.now() - this.#away) / 1000) : 0;
    this.#away = 0;
    if (again && recovered) this.#note(whatWasMissed(away, missed));
    if (!recovered || !this.#loaded) this.#load(again && this.#loaded ? NOT_ALL : "").catch(() => {});
    this.#seeWhoIsHere(again);
    this.change();
  }

  async #load(note) {
    const before = this.#loaded ? this.last : 0;
    const { publications } = await this.session.ask("history", { channel: this.channel, limit: 100, reverse: true });
    const live = this.items.filter(({ number }) => number > before); // what came while we waited
    const first = live.find(({ said }) => said)?.said.offset ?? Infinity;
    this.items = [];
    this.reset = this.#loaded = true;
    if (note) this.#note(note);
    publications.reverse().forEach((one) => one.offset < first && this.#said(one, true));
    live.forEach((item) => this.#add(item));
    if (!this.read) this.unread = 0; // to whoever is new nothing is old or new
    this.change();
  }

  // What is said

  #said({ offset, data, info }, old = false) {
    if (!info || typeof data?.text !== "string") return; // not from one of these pages
    const { user } = info;
    meet(user, info.conn_info?.name);
    this.typing.delete(user);
    if (!this.here.has(user)) this.#saw(user, data.at * 1000), this.#check();
    Room.heard += !old;
    this.#add({ said: { offset, user, text: data.text, at: data.at * 1000 } });
    if (offset > this.read || !old) this.unread += user !== this.me;
    this.change();
  }

  #note(note) {
    this.#add({ note });
  }

  #add(item) {
    item.number = ++this.last;
    this.items.push(item);
    if (this.items.length > KEPT) this.items.splice(0, this.items.length - KEPT);
  }

  // Who comes and goes

  // Joins and leaves are told as they happen. But whoever came or went while this page was away, or came back so soon
  // that the server told nobody, has to be looked for. Who is not found may be about to come back: twice is enough.
  async #seeWhoIsHere(again) {
    const before = new Set(this.here);
    let presence;
    try {
      ({ presence } = await this.session.ask("presence", { channel: this.channel }));
    } catch {
      return; // it is asked again with the next connection
    }
    const users = new Set(Object.values(presence).map(({ user, conn_info }) => (meet(user, conn_info?.name), user)));
    users.forEach((user) => (again ? this.#join({ user }) : this.here.add(user), this.gone.delete(user)));
    const absent = [...before].filter((user) => this.here.has(user) && !users.has(user));
    absent.forEach((user) => this.#absent.has(user) && this.#leave(user));
    this.#absent = new Set(absent);
    if (absent.length || !again) this.#check();
    this.#peopleChange();
  }

  #check() {
    this.#checking ??= setTimeout(() => (this.#stopChecking(), this.#seeWhoIsHere(true)), CHECK);
  }

  #stopChecking() {
    clearTimeout(this.#checking);
    this.#checking = null;
  }

  #join({ user, conn_info }) {
    meet(user, conn_info?.name);
    if (this.here.has(user)) return;
    this.here.add(user);
    this.gone.delete(user);
    this.#traffic(user, true);
    this.#peopleChange();
  }

  #leave(user) {
    if (!this.here.delete(user)) return;
    this.typing.delete(user);
    this.#saw(user, Date.now());
    this.#traffic(user, false);
    this.#peopleChange();
  }

  // One line for many: for all that come and go while nothing is said, and, where they are many, while something is.
  #traffic(user, came) {
    if (user === this.me) return;
    let item = this.items.findLast(({ traffic }) => traffic);
    const { traffic } = item ?? {};
    const dense = traffic?.joined.size + traffic?.left.size + traffic?.passed.size >= MANY;
    if (!item || (item !== this.items.at(-1) && !(dense && Date.now() - traffic.since < FOLD))) {
      item = { traffic: { joined: new Set(), left: new Set(), passed: new Set(), since: Date.now() } };
      this.#add(item);
    }
    const { joined, left, passed } = item.traffic;
    if (came && !left.delete(user)) joined.add(user), passed.delete(user);
    if (!came) (joined.delete(user) ? passed : left).add(user);
    this.changed.add(item);
  }

  #types({ user, conn_info }) {
    if (user === this.me) return;
    meet(user, conn_info?.name);
    this.typing.set(user, Date.now() + TYPING);
    setTimeout(this.change, TYPING + 50);
    this.change();
  }

  #saw(user, at) {
    if (at < this.gone.get(user)) return;
    this.gone.delete(user);
    this.gone.set(user, at);
    if (this.gone.size > REMEMBERED) this.gone.delete(this.gone.keys().next().value);
    this.peopleChanged = true;
  }

  #peopleChange() {
    this.peopleChanged = true;
    this.change();
  }
}

export function inWords({ joined, left, passed }) {
  const parts = [];
  if (passed.size) parts.push(`${listed([...passed])} came and went.`);
  if (joined.size) parts.push(`${listed([...joined])} joined.`);
  if (left.size) parts.push(`${listed([...left])} left.`);
  return parts.join(" ");
}

function whatWasMissed(away, messages) {
  const came = ["nothing was said", "this message came"][messages] ?? `these ${messages} messages came`;
  return `You were away for ${away < 90 ? `${away || 1} s` : `${Math.round(away / 60)} minutes`}: ${came} meanwhile.`;
}
