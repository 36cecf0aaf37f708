// Rooms on socket.io, on Node: an event enters the room, another is emitted to it.
import { createRequire } from "node:module";
import { createServer } from "node:http";
import { watch } from "./stall.mjs";

const { Server } = createRequire(process.env.PACKAGES + "/")("socket.io");
const http = createServer();
const server = new Server(http, { transports: ["websocket"], pingInterval: 600000, pingTimeout: 600000 });
server.on("connection", (socket) => {
  let room;
  socket.on("join", (name) => {
    room = name;
    socket.join(room);
    socket.emit("joined");
  });
  socket.on("say", (data) => server.to(room).emit("say", data));
});
http.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
watch();
