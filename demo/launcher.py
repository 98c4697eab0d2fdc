#!/usr/bin/env python3
"""Keeps the demo's server running, and kills it when the page asks: the button of "Two panes".

    launcher.py --listen HOST:PORT --pages DIR -- COMMAND...

Starts COMMAND, a server of the pages in DIR at HOST:PORT, and again whenever it is killed.  If that is loopback it
answers on a loopback port of its own, which it writes with a token into DIR/launcher.json, where the page reads it:
GET /state, POST /kill.  Only that page may ask: the request must come from its origin and bring the token."""

import argparse
import http.server
import json
import os
import secrets
import signal
import subprocess
import sys
import threading


class Server:
    """The process that is killed and comes back."""

    def __init__(self, command):
        self.command, self.kills, self.ending = command, 0, False
        self.back = threading.Condition()
        self.process = subprocess.Popen(command)

    def keep_running(self):
        while True:
            code = self.process.wait()
            if self.ending or code != -signal.SIGKILL:  # its own words are on stderr
                return code
            with self.back:
                self.process = subprocess.Popen(self.command)
                self.back.notify_all()

    def kill(self):
        with self.back:
            self.kills += 1
            dead = self.process
            dead.send_signal(signal.SIGKILL)
            self.back.wait_for(lambda: self.process is not dead, timeout=10)
        return self.state()

    def state(self):
        return {"pid": self.process.pid, "kills": self.kills}

    def end(self, *_):
        self.ending = True
        self.process.send_signal(signal.SIGTERM)


def handler(server, origins, token):
    class Handler(http.server.BaseHTTPRequestHandler):
        def allowed(self):
            return self.headers.get("Origin") in origins and secrets.compare_digest(
                self.headers.get("X-Launcher", ""), token)

        def answer(self, status, body=None):
            self.send_response(status)
            if self.headers.get("Origin") in origins:
                self.send_header("Access-Control-Allow-Origin", self.headers["Origin"])
                self.send_header("Access-Control-Allow-Headers", "x-launcher")
                self.send_header("Access-Control-Allow-Methods", "GET, POST")
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            if body is not None:
                self.wfile.write(json.dumps(body).encode())

        def do_OPTIONS(self):
            self.answer(204)

        def do_GET(self):
            if not self.allowed():
                return self.answer(403)
            self.answer(200, server.state()) if self.path == "/state" else self.answer(404)

        def do_POST(self):
            if not self.allowed():
                return self.answer(403)
            self.answer(200, server.kill()) if self.path == "/kill" else self.answer(404)

        def log_message(self, *_):
            pass

    return Handler


def offer_to_kill(server, listen, file):
    host, port = listen.rsplit(":", 1)
    if host not in ("127.0.0.1", "localhost", "[::1]"):
        return
    token = secrets.token_urlsafe(16)
    origins = {f"http://{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(server, origins, token))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    with open(file + ".new", "w") as offer:
        json.dump({"url": f"http://127.0.0.1:{web.server_port}", "token": token}, offer)
    os.replace(file + ".new", file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", required=True, help="where COMMAND serves, HOST:PORT")
    parser.add_argument("--pages", required=True, help="the folder that it serves")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    file = os.path.join(args.pages, "launcher.json")
    if os.path.exists(file):
        os.unlink(file)
    server = Server(args.command)
    signal.signal(signal.SIGTERM, server.end)
    signal.signal(signal.SIGINT, server.end)
    offer_to_kill(server, args.listen, file)
    return max(server.keep_running(), 0)


if __name__ == "__main__":
    sys.exit(main())
