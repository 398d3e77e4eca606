// Opens TLS, and leads each call to the plain port on this machine that it names. It says its own port once it listens.
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";

const pair = readFileSync(process.argv[2]);
const front = https.createServer({ key: pair, cert: pair }, (call, answer) => {
  const { "x-port": port, ...headers } = call.headers;
  if (headers.host === call.socket.servername) headers.host = `localhost:${port}`;
  const way = { host: "localhost", port, method: call.method, path: call.url, headers };
  const led = http.request(way, (said) => {
    answer.writeHead(said.statusCode, said.rawHeaders);
    answer.flushHeaders();
    said.pipe(answer);
    said.on("error", () => answer.destroy());
  });
  led.on("error", () => answer.destroy());
  answer.on("close", () => led.destroy());
  call.pipe(led);
});
front.listen(0, "127.0.0.1", () => console.log(front.address().port));
