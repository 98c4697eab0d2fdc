// echo.js -- no library at all: a WebSocket, text out, text in.
import { $, bar, el, server } from "/common.js";

bar("echo");
const url = `${server()}echo`;
$("#python").textContent = `import asyncio
from websockets.asyncio.client import connect

async def hello():
    async with connect("${url}") as websocket:
        await websocket.send("World")
        print(await websocket.recv())

asyncio.run(hello())`;

const note = (kind, text) => $("#log").prepend(el("li", { class: kind }, text));

let socket;
function open() {
  socket = new WebSocket(url);
  socket.onmessage = (message) => note("in", `< ${message.data}`);
  socket.onclose = (event) => note("over", `closed (${event.code})`);
}

function send(text) {
  note("out", `> ${text}`);
  socket.send(text);
}

$("#form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("#message").value;
  if (socket.readyState === WebSocket.OPEN) return send(text);
  open();
  socket.onopen = () => send(text);
});
open();
