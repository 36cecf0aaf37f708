// Rooms on Bun, which is uWebSockets: a topic, and one `publish` to it.
import { watch } from "./stall.mjs";

const deflate = Boolean(process.env.DEFLATE);
const pem = process.env.CERTIFICATE; // key and certificate, if TLS is asked for
const server = Bun.serve({
  port: Number(process.argv[2]),
  hostname: "127.0.0.1",
  tls: pem && { key: Bun.file(pem), cert: Bun.file(pem) },
  fetch(request, server) {
    const room = new URL(request.url).pathname;
    return server.upgrade(request, { data: { room } }) ? undefined : new Response("not found", { status: 404 });
  },
  websocket: {
    perMessageDeflate: deflate,
    idleTimeout: 0,
    backpressureLimit: 1 << 24,
    open(socket) {
      if (socket.data.room !== "/echo") socket.subscribe(socket.data.room);
    },
    message(socket, data) {
      if (socket.data.room === "/echo") socket.send(data);
      else server.publish(socket.data.room, data, deflate);
    },
  },
});
watch();
