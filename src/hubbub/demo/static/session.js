// A client of the Centrifuge protocol, as far as this page needs it: commands and replies in JSON, one on a line.
// It comes back by itself after a lost connection, and enters its channels again where it stood.

const FIRST_PAUSE = 250, LONGEST_PAUSE = 10_000; // milliseconds before connecting again
const PATIENCE = 10_000; // milliseconds for an answer to connect, and for a ping that is late

export class Refused extends Error {} // the server will not do it; its message is the server's, `code` says why
export class Lost extends Error {} // the connection was lost before the answer

class Subscription {
  position = null; // where in the channel's history this page stands, {offset, epoch}; null: nowhere yet

  constructor(session, channel, on) {
    Object.assign(this, { session, channel, on });
  }

  enter() {
    const before = this.position;
    const request = { channel: this.channel, ...(before && { recover: true, ...before }) };
    this.session.send("subscribe", request, (error, reply) => {
      if (error) return this.#refused(error);
      if (reply.recoverable) this.position = { offset: reply.offset ?? 0, epoch: reply.epoch };
      const missed = reply.publications ?? [];
      this.on.entered?.({ again: before !== null, recovered: Boolean(reply.recovered), missed: missed.length });
      missed.forEach((publication) => this.take(publication));
    });
  }

  take(publication) {
    if (publication.offset) this.position.offset = publication.offset;
    this.on.publication?.(publication);
  }

  #refused(error) {
    if (error instanceof Lost) return; // it enters again with the next connection
    if (error.temporary) return setTimeout(() => this.session.knows(this) && this.enter(), 1000 + Math.random() * 1000);
    this.session.forget(this.channel);
    this.on.refused?.(error);
  }
}

export class Session {
  onstate = () => {}; // "connecting", "online", "offline" (it tries again), or "over", with a code and a reason
  onserver = () => {}; // a publication in a channel that the server has subscribed us to

  #socket = null;
  #subscriptions = new Map();
  #asked = new Map(); // number of a command -> what to call with its answer
  #waiting = []; // commands that leave together at the end of this turn
  #number = 0;
  #failures = 0;
  #again = 0; // the timer of the next attempt
  #heard = 0; // when the server last said something
  #silence = PATIENCE; // milliseconds without a word after which the connection counts as lost
  online = false;

  hello = {}; // what the server's connect handler is told

  constructor(url) {
    this.url = url;
    setInterval(() => this.#socket && performance.now() - this.#heard > this.#silence && this.#lost(), 2000);
    const hurry = () => this.#again && !document.hidden && this.connect();
    addEventListener("online", hurry);
    document.addEventListener("visibilitychange", hurry);
  }

  connect() {
    if (this.#socket) return;
    clearTimeout(this.#again);
    this.#again = 0;
    this.#heard = performance.now();
    this.#silence = PATIENCE;
    this.onstate("connecting");
    const socket = (this.#socket = new WebSocket(this.url));
    socket.onopen = () => this.send("connect", { data: this.hello }, (error, reply) => this.#connected(error, reply));
    socket.onmessage = ({ data }) => this.#take(data);
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
  }

  subscribe(channel, on) {
    const made = new Subscription(this, channel, on);
    this.#subscriptions.set(channel, made);
    if (this.online) made.enter();
  }

  unsubscribe(channel) {
    if (this.forget(channel) && this.online) this.send("unsubscribe", { channel });
  }

  knows(subscription) {
    return this.online && this.#subscriptions.get(subscription.channel) === subscription;
  }

  forget(channel) {
    return this.#subscriptions.delete(channel);
  }

  // A promise of the answer; rejected with Refused or Lost.
  ask(command, request) {
    return new Promise((resolve, reject) =>
      this.online
        ? this.send(command, request, (error, reply) => (error ? reject(error) : resolve(reply)))
        : reject(new Lost("not connected")));
  }

  // `done` is called while the frame with the answer is read, before what follows in it: so nothing overtakes.
  send(command, request, done = () => {}) {
    const id = ++this.#number;
    this.#asked.set(id, { command, done });
    this.#waiting.push(JSON.stringify({ id, [command]: request }));
    if (this.#waiting.length === 1) queueMicrotask(() => this.#flush());
  }

  #flush() {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(this.#waiting.join("\n"));
    this.#waiting = [];
  }

  #connected(error, reply) {
    if (error) return error instanceof Lost || (error.temporary ? this.#lost() : this.#end(error.code, error.message));
    this.online = true;
    this.#failures = 0;
    if (reply.ping) this.#silence = reply.ping * 1000 + PATIENCE;
    this.#subscriptions.forEach((subscription) => subscription.enter());
    this.onstate("online", 0, "", reply.data);
    for (const [channel, { publications = [] }] of Object.entries(reply.subs ?? {}))
      publications.forEach((publication) => this.onserver(channel, publication));
  }

  #take(frame) {
    this.#heard = performance.now();
    if (typeof frame !== "string") return; // binary is another dialect, which we did not ask for
    for (const line of frame.split("\n")) {
      let message;
      try {
        message = JSON.parse(line);
      } catch {
        continue;
      }
      if (message.id) this.#answered(message);
      else if (message.push) this.#pushed(message.push);
      else this.#socket?.send("{}"); // an empty message is a ping, and so is its answer
    }
  }

  #answered(message) {
    const asked = this.#asked.get(message.id);
    this.#asked.delete(message.id);
    const { error } = message;
    if (error) asked?.done(Object.assign(new Refused(error.message), { code: error.code, temporary: error.temporary }));
    else asked?.done(null, message[asked.command] ?? {});
  }

  #pushed({ channel, pub, join, leave, unsubscribe }) {
    const subscription = this.#subscriptions.get(channel);
    if (!subscription) return pub && this.onserver(channel, pub);
    if (pub) subscription.take(pub);
    else if (join) subscription.on.join?.(join.info);
    else if (leave) subscription.on.leave?.(leave.info);
    else if (unsubscribe?.code >= 2500) subscription.enter(); // something was lost, and is fetched
    else if (unsubscribe) this.forget(channel) && subscription.on.refused?.(unsubscribe);
  }

  #lost(code = 1006, reason = "") {
    if ((code >= 3500 && code < 4000) || code >= 4500) return this.#end(code, reason);
    this.#drop();
    // Full jitter: after a restart of the server, the pages come back spread out instead of all at once.
    const pause = Math.random() * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#failures++);
    this.#again = setTimeout(() => this.connect(), pause);
    this.onstate("offline", code, reason);
  }

  #end(code, reason) {
    this.#drop();
    this.onstate("over", code, reason);
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.online = false;
    this.#waiting = [];
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    asked.forEach(({ done }) => done(new Lost("the connection is lost")));
  }
}
