// Uses what the published client offers; where that is not installed, hubbub's small one does, too.
"use strict";

const byId = (id) => document.getElementById(id);
const url = location.origin.replace(/^http/, "ws") + "/connection/websocket";
const centrifuge = new Centrifuge(url);
let subscription = null;

function note(text, kind) {
  const line = document.createElement("li");
  line.textContent = text;
  line.className = kind || "note";
  byId("log").append(line);
  while (byId("log").childElementCount > 200) byId("log").firstChild.remove();
  line.scrollIntoView({ block: "nearest" });
}

async function showWhoIsHere() {
  try {
    const found = Object.keys((await subscription.presence()).clients);
    byId("here").textContent = `${found.length} here: ${found.map((id) => id.slice(0, 8)).join(", ")}`;
  } catch (error) {
    byId("here").textContent = "";
  }
}

function subscribe(channel) {
  if (subscription && subscription.channel === channel) return;
  if (subscription) {
    subscription.unsubscribe();
    subscription.removeAllListeners();
    centrifuge.removeSubscription(subscription);
  }
  subscription = centrifuge.newSubscription(channel, { joinLeave: true, recoverable: true });
  subscription.on("publication", (ctx) => note(`${channel} ${ctx.offset || ""}: ${JSON.stringify(ctx.data)}`, "said"));
  subscription.on("subscribed", (ctx) => {
    note(`subscribed to ${channel}${ctx.wasRecovering ? (ctx.recovered ? ", and nothing was missed" : ", with a gap") : ""}`);
    showWhoIsHere();
  });
  subscription.on("error", (ctx) => note(`${channel}: ${ctx.error.message}`));
  subscription.on("join", showWhoIsHere);
  subscription.on("leave", showWhoIsHere);
  subscription.subscribe();
}

centrifuge.on("connecting", (ctx) => {
  byId("state").textContent = "connecting ...";
  byId("state").className = "";
  if (ctx.code) note(`connecting again: ${ctx.reason}`);
});
centrifuge.on("connected", (ctx) => {
  byId("state").textContent = `connected as ${ctx.client.slice(0, 8)}`;
  byId("state").className = "connected";
});
centrifuge.on("disconnected", (ctx) => {
  byId("state").textContent = `disconnected: ${ctx.reason} (${ctx.code})`;
  byId("state").className = "";
});

byId("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  subscribe(byId("channel").value);
  try {
    await subscription.publish({ text: byId("text").value });
    byId("text").value = "";
  } catch (error) {
    note(`not published: ${error.message}`);
  }
});
byId("channel").addEventListener("change", () => subscribe(byId("channel").value));
byId("client").textContent = Centrifuge.ownOfHubbub
  ? "It speaks with a few lines of its own; with `npm install centrifuge` in the server's folder, with that client."
  : "It speaks with the published centrifuge client.";
byId("shell").textContent =
  `curl -d '{"channel": "room", "data": {"text": "hi"}}' ${location.origin}/api/publish`;
subscribe(byId("channel").value);
centrifuge.connect();
