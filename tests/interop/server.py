"""`syncline serve` as a child process, and the other commands of the program against it."""

import asyncio
import os
import signal
import socket


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, program, data, *options):
        self.program, self.data, self.options = program, data, options
        self.process = None
        self.url = None

    async def start(self):
        for address in ("127.0.0.1:0", "127.0.0.1:%d" % free_port()):
            self.process = await asyncio.create_subprocess_exec(
                self.program, "serve", "--listen", address, "--data", self.data, *self.options,
                stdout=asyncio.subprocess.PIPE, stderr=open(self.data + ".log", "ab"))
            line = (await self.process.stdout.readline()).decode("utf-8")
            if line.startswith("syncline: ready "):
                self.url = line.split()[2]
                return self
            await self.process.wait()
        raise AssertionError("the server did not start: see %s.log" % self.data)

    def alive(self):
        return self.process.returncode is None

    async def kill(self):
        """As a power cut would."""
        os.kill(self.process.pid, signal.SIGKILL)
        await self.process.wait()

    async def stop(self):
        """Gives the exit status."""
        if self.alive():
            self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), 300)

    async def run(self, command, document, *arguments, target=None):
        """A command of the program; gives (exit status, what it printed, what it complained)."""
        process = await asyncio.create_subprocess_exec(
            self.program, command, target or self.url, document, *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        out, err = await process.communicate()
        return process.returncode, out, err.decode("utf-8", "replace")
