// A small client of the Centrifuge protocol, in JSON, for pages without a build: `/client.js` of where sessions are
// mounted. Its calls are those of the published library, `npm install centrifuge`, which has more of them.
"use strict";

class Emitter {
  #listeners = {};
  on(event, listener) {
    (this.#listeners[event] ||= []).push(listener);
    return this;
  }
  removeAllListeners() { this.#listeners = {}; }
  emit(event, context) { for (const listener of this.#listeners[event] || []) listener(context); }
}

class Subscription extends Emitter {
  state = "unsubscribed";
  #position = null; // {offset, epoch}: where in the channel's history this page stands
  #pause = 500; // milliseconds before the next attempt
  #attempt = 0; // which counts: what an older one still has to say does not

  constructor(client, channel, options) {
    super();
    Object.assign(this, { client, channel, options });
    this.#position = options.since || null;
  }

  subscribe() {
    if (this.state !== "unsubscribed") return;
    this.state = "subscribing";
    this.begin();
  }

  unsubscribe() {
    if (this.state === "unsubscribed") return;
    this.client.ask("unsubscribe", { channel: this.channel }).catch(() => {});
    this.#end(0, "unsubscribe called");
  }

  async begin() { // also of a connection that is a new one
    if (this.state === "unsubscribed" || this.client.state !== "connected") return;
    this.state = "subscribing";
    const attempt = ++this.#attempt;
    const { joinLeave, recoverable, positioned, getToken, tagsFilter, data } = this.options;
    const request = { channel: this.channel, data, recoverable, positioned, join_leave: joinLeave, tf: tagsFilter };
    if (this.#position) Object.assign(request, { recover: true, ...this.#position });
    try {
      if (getToken) request.token = await getToken({ channel: this.channel });
      if (attempt !== this.#attempt) return;
      this.#begun(await this.client.ask("subscribe", request));
    } catch (error) {
      if (attempt !== this.#attempt) return;
      this.emit("error", { channel: this.channel, error });
      if (error.code && !error.temporary && error.code !== 109) return this.#end(error.code, error.message);
      setTimeout(() => attempt === this.#attempt && this.begin(), this.#pause * (0.5 + Math.random()));
      this.#pause = Math.min(this.#pause * 2, 20000);
    }
  }

  #begun(found) {
    const { recoverable, recovered, was_recovering, publications, offset, epoch, data } = found;
    this.state = "subscribed";
    this.#pause = 500;
    if (recoverable) this.#position = { offset: offset || 0, epoch };
    const told = { recovered: Boolean(recovered), wasRecovering: Boolean(was_recovering) };
    this.emit("subscribed", { channel: this.channel, recoverable: Boolean(recoverable), data, ...told });
    for (const publication of publications || []) this.take({ pub: publication });
  }

  #end(code, reason) {
    this.state = "unsubscribed";
    this.#attempt += 1;
    this.emit("unsubscribed", { channel: this.channel, code, reason });
  }

  take({ pub, join, leave, unsubscribe }) { // what the server pushes
    if (pub) {
      if (this.#position && pub.offset) this.#position.offset = pub.offset;
      this.emit("publication", { channel: this.channel, ...pub });
    } else if (join) this.emit("join", { channel: this.channel, ...join });
    else if (leave) this.emit("leave", { channel: this.channel, ...leave });
    else if (unsubscribe?.code >= 2500) this.begin();
    else if (unsubscribe) this.#end(unsubscribe.code, unsubscribe.reason);
  }

  #ask(method, request) { return this.client.ask(method, { channel: this.channel, ...request }); }
  publish(data) { return this.#ask("publish", { data }); }
  async presence() { return { clients: (await this.#ask("presence")).presence || {} }; }
  async presenceStats() {
    const { num_clients, num_users } = await this.#ask("presence_stats");
    return { numClients: num_clients || 0, numUsers: num_users || 0 };
  }
  async history(request) {
    const { publications, offset, epoch } = await this.#ask("history", request);
    return { publications: publications || [], offset: offset || 0, epoch };
  }
}

class Centrifuge extends Emitter {
  static ownOfHubbub = true;
  state = "disconnected";
  #subscriptions = new Map();
  #asked = new Map(); // number of a command -> what to do with its answer
  #number = 0;
  #pause = 250; // milliseconds before connecting again
  #token = "";
  #timers = {};

  constructor(url, options = {}) {
    super();
    this.url = url;
    this.options = options;
    this.#token = options.token || "";
  }

  newSubscription(channel, options) {
    const made = new Subscription(this, channel, options || {});
    this.#subscriptions.set(channel, made);
    return made;
  }

  removeSubscription(subscription) { this.#subscriptions.delete(subscription.channel); }
  async rpc(method, data) { return { data: (await this.ask("rpc", { method, data })).data }; }

  ask(method, request) {
    return new Promise((resolve, reject) => {
      if (this.socket?.readyState !== WebSocket.OPEN) return reject(new Error("not connected"));
      const id = ++this.#number;
      this.#asked.set(id, { method, resolve, reject });
      this.socket.send(JSON.stringify({ id, [method]: request || {} }));
    });
  }

  connect() {
    if (this.state !== "disconnected") return;
    this.#again(0, "connect called");
    this.#dial();
  }

  disconnect() { this.#end(0, "disconnect called"); }

  #again(code, reason) {
    this.state = "connecting";
    this.emit("connecting", { code, reason });
  }

  #dial() {
    const socket = (this.socket = new WebSocket(this.url));
    socket.onopen = () => this.#begin(socket).catch((error) => this.socket === socket && this.#refused(error));
    socket.onmessage = ({ data }) => data.split("\n").forEach((line) => line && this.#take(JSON.parse(line)));
    socket.onclose = ({ code, reason }) => this.socket === socket && this.#closed(code, reason);
  }

  async #begin(socket) {
    const { getToken, data } = this.options;
    if (!this.#token && getToken) this.#token = await getToken();
    if (this.socket !== socket) return; // it was lost meanwhile
    const found = await this.ask("connect", { token: this.#token, data });
    this.state = "connected";
    this.#pause = 250;
    this.#timers.silence = { milliseconds: ((found.ping || 25) + 10) * 1000 };
    this.#heard();
    this.#expires(found);
    this.emit("connected", found);
    for (const subscription of this.#subscriptions.values()) subscription.begin();
  }

  #refused(error) {
    this.emit("error", { error });
    if (error.code === 109 || !this.options.token) this.#token = ""; // another one, the next time
    if (error.code === undefined || error.temporary || error.code === 109) return this.socket?.close();
    this.#end(error.code, error.message);
  }

  #expires({ expires, ttl }) {
    if (!expires || !this.options.getToken) return;
    this.#timers.refresh = setTimeout(async () => {
      try {
        this.#token = await this.options.getToken();
        this.#expires(await this.ask("refresh", { token: this.#token }));
      } catch (error) {
        if (this.state === "connected") this.emit("error", { error }); // without one the server lets it go in time
      }
    }, Math.min(ttl * 1000, 2 ** 31 - 1));
  }

  #heard() { // the server pings: one that says nothing for too long is gone
    const { silence } = this.#timers;
    if (!silence) return;
    clearTimeout(silence.timer);
    silence.timer = setTimeout(() => this.#closed(0, "no ping"), silence.milliseconds);
  }

  #take({ id, error, push, ...reply }) {
    this.#heard();
    if (id) {
      const { method, resolve, reject } = this.#asked.get(id) || {};
      this.#asked.delete(id);
      if (error) reject?.(Object.assign(new Error(error.message), error));
      else resolve?.(reply[method] || {});
    } else if (!push) this.socket.send("{}"); // an answer to a ping
    else if (push.disconnect) this.socket.close();
    else this.#subscriptions.get(push.channel)?.take(push);
  }

  #lose() {
    clearTimeout(this.#timers.silence?.timer);
    clearTimeout(this.#timers.refresh);
    this.#timers = {};
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    for (const { reject } of this.#asked.values()) reject(new Error("the connection is lost"));
    this.#asked.clear();
    for (const one of this.#subscriptions.values()) if (one.state === "subscribed") one.state = "subscribing";
  }

  #closed(code, reason) {
    if ((code >= 3500 && code < 4000) || code >= 4500) return this.#end(code, reason);
    if (code === 3005) this.#token = "";
    this.#lose();
    this.#again(code, reason || "transport closed");
    this.#timers.again = setTimeout(() => this.#dial(), this.#pause * (0.5 + Math.random()));
    this.#pause = Math.min(this.#pause * 2, 10000);
  }

  #end(code, reason) {
    clearTimeout(this.#timers.again);
    this.#lose();
    this.state = "disconnected";
    this.emit("disconnected", { code, reason });
  }
}

window.Centrifuge = Centrifuge;
