// Rooms on ws, the WebSocket library of Node: a set of sockets, and a loop over it, for it has no publish.
import { createRequire } from "node:module";
import { watch } from "./stall.mjs";

const { WebSocketServer } = createRequire(process.env.PACKAGES + "/")("ws");
const rooms = new Map();
const server = new WebSocketServer({
  port: Number(process.argv[2]),
  host: "127.0.0.1",
  backlog: 4096,
  perMessageDeflate: Boolean(process.env.DEFLATE),
});
server.on("connection", (socket, request) => {
  const room = request.url;
  if (room === "/echo") {
    socket.on("message", (data) => socket.send(data));
    return;
  }
  if (!rooms.has(room)) rooms.set(room, new Set());
  const members = rooms.get(room);
  members.add(socket);
  socket.on("message", (data) => {
    for (const member of members) member.send(data);
  });
  socket.on("close", () => members.delete(socket));
  socket.on("error", () => members.delete(socket));
});
watch();
