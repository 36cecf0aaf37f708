// The chat: its rooms, its connection, and what the user does. What happens is noted at once, and drawn a frame later.

import { Log } from "./log.js";
import { $, complain, drawMe, drawPeople, drawRoom, drawTabs, set } from "./page.js";
import { meet, sharedNames } from "./people.js";
import { Room } from "./room.js";
import { Lost, Session } from "./session.js";
import { refusal, states } from "./words.js";

const REST = 6; // times as long as a frame took, until the next: so all of them take a seventh of the time at the most
const RATE_OVER = 5; // seconds that the rate of messages is the mean of
const READ_ALOUD = 2; // messages a second at most that a screen reader is to read as they come
const TELLS_TYPING = 2_500; // milliseconds

const stored = (key, otherwise) => JSON.parse(sessionStorage.getItem(key)) ?? otherwise;
const store = (key, value) => sessionStorage.setItem(key, JSON.stringify(value));

const chat = {
  rooms: new Map(), // that let us in, by name
  current: null,
  me: "", // the server's id of us
  state: "offline",
  news: { online: "–", rooms: "–", largest: [] },
  enter, show: (name) => show(chat.rooms.get(name)), leave,
};
let wanted = stored("current", "lobby"); // the room to show as soon as it lets us in
let started = false;
const log = new Log($("scroller"), $("messages"), () => chat.me);
const session = new Session(new URL("connection/websocket", location.href.replace(/^http/, "ws")));

// Drawing

let due = false, began = 0, notBefore = 0, shared = 0;
const drawn = new MessageChannel(); // what is posted in a frame arrives when the browser has done its part of it, too
drawn.port1.onmessage = () => (notBefore = performance.now() + (performance.now() - began) * REST);

function change() {
  if (due) return;
  due = true;
  const wait = notBefore - performance.now();
  if (document.hidden) setTimeout(draw, 1000); // frames there are none then
  else if (wait > 0) setTimeout(() => requestAnimationFrame(draw), wait);
  else requestAnimationFrame(draw);
}

document.addEventListener("visibilitychange", () => {
  due = false; // for it may wait for a frame that does not come
  change();
});

function draw() {
  due = false;
  began = performance.now();
  drawn.port2.postMessage("");
  if (shared !== sharedNames()) {
    shared = sharedNames();
    if (chat.current) chat.current.peopleChanged = true;
    log.nameAgain();
    drawMe(chat);
  }
  const focused = document.activeElement;
  log.draw();
  drawTabs(chat);
  drawRoom(chat, log);
  if (!chat.current || chat.current.peopleChanged) drawPeople(chat);
  if (chat.current) chat.current.peopleChanged = false;
  if (!focused?.isConnected) $("text").focus(); // where it was is no more
  const unread = [...chat.rooms.values()].reduce((sum, room) => sum + room.unread, 0);
  set(document, "title", unread ? `(${unread}) hubbub` : "hubbub");
}

const heard = Array(RATE_OVER + 1).fill(0); // how many messages had come, in each of the last seconds

setInterval(() => {
  heard.shift();
  heard.push(Room.heard);
  const rate = (heard.at(-1) - heard[0]) / RATE_OVER;
  set($("rate"), "textContent", Math.round(rate * 10) / 10);
  set($("scroller"), "ariaLive", rate > READ_ALOUD ? "off" : "polite");
}, 1000);

// Rooms

function enter(name) {
  complain("");
  wanted = name;
  if (chat.rooms.has(name)) return show(chat.rooms.get(name));
  const room = new Room(name, session, chat.me, change);
  room.read = stored("read", {})[name] ?? 0;
  room.enter(letIn, refused);
}

function letIn(room) {
  if (chat.rooms.has(room.name)) return;
  chat.rooms.set(room.name, room);
  if (room.name === wanted || !chat.current) show(room);
  remember();
}

function refused(room, error) {
  complain(`\u2068${room.name}\u2069 cannot be entered. ${refusal(error)}`);
  forget(room);
}

function leave(name) {
  forget(chat.rooms.get(name));
  $("text").focus();
}

function forget(room) {
  room.leave();
  chat.rooms.delete(room.name);
  if (room === chat.current) show(chat.rooms.values().next().value ?? null);
  remember();
  change();
}

function show(room) {
  if (chat.current) chat.current.draft = $("text").value;
  $("text").value = room?.draft ?? "";
  chat.current = room;
  if (room) room.peopleChanged = true;
  wanted = room?.name ?? wanted;
  showPeople(false);
  log.show(room);
  remember();
  change();
}

function remember() {
  store("rooms", [...chat.rooms.keys()]);
  store("current", wanted);
  store("read", Object.fromEntries([...chat.rooms.values()].map(({ name, read }) => [name, read])));
}

addEventListener("pagehide", () => started && remember());

// The connection

session.onstate = (state, code, reason, data) => {
  chat.state = document.body.dataset.state = state;
  $("state").textContent = states[state];
  $("again").hidden = state !== "offline" && state !== "over";
  if (state === "online") complain("");
  if (state === "online") greeted(data.user);
  else if (state !== "connecting") chat.rooms.forEach((room) => room.disconnected());
  if (state === "over" && !started) ask(refusal({ code, message: reason }));
  else if (state === "over") complain(refusal({ code, message: reason }));
  change();
};

session.onserver = (channel, { data }) => {
  if (channel === "news:rooms") chat.news = data;
  change();
};

function greeted(user) {
  chat.me = user;
  meet(user, stored("name"));
  drawMe(chat);
  if (!started) stored("rooms", ["lobby"]).forEach((name) => enterAgain(name));
  started = true;
}

function enterAgain(name) {
  const last = wanted;
  enter(name);
  wanted = last;
}

function connect() {
  session.hello = { name: stored("name"), secret: stored("secret") };
  session.connect();
}

// What the user does

$("say").onsubmit = async (event) => {
  event.preventDefault();
  const room = chat.current, box = $("text"), text = box.value;
  complain("");
  if (!text.trim() || !room) return;
  if (chat.state !== "online") return complain("You are not connected. What you wrote stays here until you are.");
  box.value = "";
  log.forgetNew();
  log.jump();
  try {
    await room.say(text);
  } catch (error) {
    complain(error instanceof Lost ? "The connection was lost before this was sent." : refusal(error));
    if (chat.current === room && !box.value) box.value = text;
  }
};

$("text").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("say").requestSubmit();
};

let toldTyping = -Infinity;

$("text").oninput = () => {
  if (!$("text").value || !chat.current || performance.now() - toldTyping < TELLS_TYPING) return;
  toldTyping = performance.now();
  chat.current.type();
};

$("join").onsubmit = (event) => {
  event.preventDefault();
  const name = $("room").value.trim().replace(/^#+\s*/, "").replace(/\s+/g, " ");
  $("room").value = "";
  if (chat.state !== "online") complain("You are not connected. Try again when you are.");
  else if (name) enter(name);
};

$("newest").onclick = () => {
  log.jump();
  $("scroller").focus();
  change();
};

// The list of people, which on a narrow page is over the rest.
function showPeople(shown) {
  $("people").ariaExpanded = String(shown);
  const toggled = document.body.classList.contains("people") !== shown;
  document.body.classList.toggle("people", shown);
  if (toggled) $(shown ? "close" : "people").focus();
}

$("people").onclick = () => showPeople(true);
$("close").onclick = $("scroller").onclick = () => showPeople(false);
$("dismiss").onclick = () => complain("");
$("again").onclick = () => session.connect();

addEventListener("keydown", (event) => {
  if (event.key === "Escape") showPeople(false);
  const step = event.altKey && { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!step || !chat.current) return;
  event.preventDefault();
  const rooms = [...chat.rooms.values()];
  show(rooms.at((rooms.indexOf(chat.current) + step) % rooms.length));
});

function ask(complaint = "") {
  $("unwelcome").textContent = complaint;
  $("unwelcome").hidden = !complaint;
  $("name").value = stored("name", "");
  $("welcome").showModal();
}

$("welcome").oncancel = (event) => event.preventDefault();

$("welcome").onclose = () => {
  store("name", $("name").value.trim() || "somebody");
  connect();
};

if (!stored("secret")) store("secret", crypto.getRandomValues(new Uint8Array(16)).join("-"));
if (stored("name")) connect();
else ask();
