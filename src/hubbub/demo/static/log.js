// The messages of a room as they are drawn. It follows the newest while the reader is at the end. Whoever has scrolled
// up, or looks at something else, keeps their place: then nothing is drawn, only counted.

import { avatar, element, nameplate } from "./people.js";
import { inWords } from "./room.js";

const KEPT = 200; // items in the document
const NEAR = 48; // pixels from the end that still count as the end
const FEW = 20; // new messages at most that are not worth a stop where they begin
const NOT_KEPT = "More came meanwhile than the page keeps.";
const TOGETHER = 300_000; // milliseconds within which one person's messages need one name

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const dated = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit" });

export class Log {
  room = null;
  following = true;
  #drawn = 0; // number of the latest item in the document
  #elements = new WeakMap(); // of items
  #top = 0; // where the scroller stood
  #above = null; // the message in front of the next one, if nothing stands between them

  constructor(scroller, list, me) {
    Object.assign(this, { scroller, list, me });
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.following && this.#toEnd()).observe(scroller);
    document.addEventListener("visibilitychange", () => !document.hidden && this.following && this.#comeBack());
  }

  show(room) {
    this.room = room;
    this.#redraw();
  }

  draw() {
    if (!this.room || document.hidden) return;
    if (this.room.reset) this.#redraw();
    else if (this.following && (this.room.changed.size || this.#waiting().length)) this.jump();
  }

  // To the end, and on with it.
  jump() {
    this.following = true;
    this.#append();
    this.#trim();
    this.#toEnd();
    this.room.seen();
  }

  forgetNew() {
    this.list.querySelector(".new")?.remove();
  }

  // Somebody has the same name as another one now.
  nameAgain() {
    for (const message of this.list.querySelectorAll(".said"))
      message.querySelector(".name").replaceWith(nameplate(message.user, this.me()));
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    const below = scrollHeight - scrollTop - clientHeight;
    if (scrollTop < this.#top && below > 1) this.following = false;
    else if (scrollTop > this.#top && below < NEAR && !this.following) this.#comeBack();
    this.#top = this.scroller.scrollTop;
    this.room?.change();
  }

  // The reader is at the end of what is drawn again, and more may have come since.
  #comeBack() {
    if (!this.room) return;
    this.following = this.#waiting().length <= FEW;
    if (this.room.unread) this.forgetNew();
    this.#append(true);
    if (this.following) this.jump();
  }

  #redraw() {
    const { room, list } = this;
    list.replaceChildren();
    this.#drawn = 0;
    this.#above = null;
    if (!room) return;
    room.reset = false;
    this.#append(true);
    this.following = room.unread <= FEW;
    if (this.following) this.jump();
    else list.querySelector(".new")?.scrollIntoView({ block: "start" });
  }

  #waiting() {
    const { items } = this.room;
    let at = items.length;
    while (at && items[at - 1].number > this.#drawn) at--;
    return items.slice(at);
  }

  #append(divided = false) {
    const { room } = this;
    room.changed.forEach((item) => this.#elements.has(item) && tell(this.#elements.get(item), item));
    room.changed.clear();
    const waiting = this.#waiting();
    if (!waiting.length) return;
    const made = document.createDocumentFragment();
    if (divided && this.#drawn && waiting[0].number > this.#drawn + 1) made.append(element("li", "note", NOT_KEPT));
    let divide = divided && room.unread > 0;
    for (const item of waiting) {
      if (divide && item.said?.offset > room.read) {
        divide = false;
        this.#above = null;
        made.append(element("li", "new", "new"));
      }
      made.append(this.#made(item));
    }
    this.list.append(made);
    this.#drawn = waiting.at(-1).number;
  }

  #made(item) {
    const { said } = item;
    const above = this.#above;
    this.#above = said ?? null;
    const made = said ? this.#message(said) : element("li", item.traffic ? "note" : "note event");
    this.#elements.set(item, made);
    if (!said) tell(made, item);
    else if (above?.user === said.user && said.at - above.at < TOGETHER) made.classList.add("more");
    return made;
  }

  #message({ user, text, at }) {
    const made = element("li", user === this.me() ? "said mine" : "said");
    made.user = user;
    const head = element("span", "head");
    const time = element("time", "", (Date.now() - at < 43_200_000 ? clock : dated).format(at));
    time.dateTime = new Date(at).toISOString();
    head.append(nameplate(user, this.me()), time);
    const body = element("p", "text", text);
    body.dir = "auto"; // by its own first letter, whoever wrote it
    made.append(avatar(user), head, body);
    return made;
  }

  #trim() {
    while (this.list.childElementCount > KEPT) this.list.firstChild.remove();
    this.list.firstChild?.classList.remove("more");
  }

  #toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#top = this.scroller.scrollTop;
  }
}

function tell(made, { note, traffic }) {
  made.textContent = note ?? inWords(traffic);
  made.hidden = !made.textContent;
}
