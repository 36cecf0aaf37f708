// A small client, where the published one is not installed: enough for the page of `hubbub serve --dev`, in JSON.
"use strict";

class Emitter {
  #listeners = {};
  on(event, listener) { (this.#listeners[event] ||= []).push(listener); }
  removeAllListeners() { this.#listeners = {}; }
  emit(event, ctx) { for (const listener of this.#listeners[event] || []) listener(ctx); }
}

class Subscription extends Emitter {
  position = null;
  wanted = false;
  constructor(client, channel, options) {
    super();
    this.client = client;
    this.channel = channel;
    this.options = options;
  }

  subscribe() {
    this.wanted = true;
    if (this.client.open) this.begin();
  }

  async begin() {
    const request = { channel: this.channel, join_leave: this.options.joinLeave, recoverable: this.options.recoverable };
    if (this.position) Object.assign(request, { recover: true, ...this.position });
    try {
      const found = await this.client.ask("subscribe", request);
      this.emit("subscribed", { recovered: found.recovered, wasRecovering: found.was_recovering });
      if (found.recoverable) this.position = { offset: found.offset || 0, epoch: found.epoch };
      for (const publication of found.publications || []) this.take(publication);
    } catch (error) {
      this.emit("error", { error });
    }
  }

  take(publication) {
    if (this.position && publication.offset) this.position.offset = publication.offset;
    this.emit("publication", publication);
  }

  unsubscribe() {
    this.wanted = false;
    if (this.client.open) this.client.ask("unsubscribe", { channel: this.channel }).catch(() => {});
  }

  publish(data) { return this.client.ask("publish", { channel: this.channel, data }); }

  async presence() {
    return { clients: (await this.client.ask("presence", { channel: this.channel })).presence };
  }
}

class Centrifuge extends Emitter {
  static ownOfHubbub = true;
  open = false;
  #subscriptions = new Map();
  #waiting = new Map();
  #last = 0;
  #pause = 200;

  constructor(url) {
    super();
    this.url = url;
  }

  newSubscription(channel, options) {
    const made = new Subscription(this, channel, options || {});
    this.#subscriptions.set(channel, made);
    return made;
  }

  removeSubscription(subscription) { this.#subscriptions.delete(subscription.channel); }

  ask(method, request) {
    return new Promise((resolve, reject) => {
      if (!this.socket || this.socket.readyState !== WebSocket.OPEN) return reject(new Error("not connected"));
      const id = ++this.#last;
      this.#waiting.set(id, { method, resolve, reject });
      this.socket.send(JSON.stringify({ id, [method]: request }));
    });
  }

  connect(code, reason) {
    this.emit("connecting", { code, reason });
    this.socket = new WebSocket(this.url);
    this.socket.onopen = async () => {
      try {
        const found = await this.ask("connect", {});
        this.open = true;
        this.#pause = 200;
        this.emit("connected", found);
        for (const subscription of this.#subscriptions.values()) if (subscription.wanted) subscription.begin();
      } catch (error) {
        this.socket.close();
      }
    };
    this.socket.onmessage = (event) => event.data.split("\n").forEach((line) => line && this.#take(JSON.parse(line)));
    this.socket.onclose = (event) => this.#closed(event);
  }

  #take(reply) {
    if (reply.id) {
      const asked = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if (reply.error) asked?.reject(new Error(`${reply.error.message} (${reply.error.code})`));
      else asked?.resolve(reply[asked.method] || {});
    } else if (reply.push) {
      const subscription = this.#subscriptions.get(reply.push.channel);
      if (reply.push.pub) subscription?.take(reply.push.pub);
      else if (reply.push.join) subscription?.emit("join", reply.push.join);
      else if (reply.push.leave) subscription?.emit("leave", reply.push.leave);
      else if (reply.push.unsubscribe?.code >= 2500) subscription?.begin();
    } else {
      this.socket.send("{}");
    }
  }

  #closed(event) {
    this.open = false;
    for (const { reject } of this.#waiting.values()) reject(new Error("the connection is lost"));
    this.#waiting.clear();
    const { code, reason } = event;
    if ((code >= 3500 && code < 4000) || code >= 4500) return this.emit("disconnected", { code, reason });
    setTimeout(() => this.connect(code, reason || "transport closed"), this.#pause);
    this.#pause = Math.min(this.#pause * 2, 5000);
    this.emit("connecting", { code: 0 });
  }
}

window.Centrifuge = Centrifuge;
