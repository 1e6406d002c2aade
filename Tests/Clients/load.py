"""Puts a load on `gemma4 serve` and says what became of it. Needs Python alone, and Linux's /proc.

    python load.py rates --program gemma4 --model E2B-q4_0.gguf [--peer llama-server]
        eight clients beside what `bench --parallel 8` promises, and beside llama.cpp's server; a ninth client; the cost of HTTP
    python load.py soak --program gemma4 --model DIRECTORY
        thousands of requests of all kinds: memory, descriptors, threads; how soon it is ready after more than it can take
"""

import argparse
import base64
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import random
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ATTACHMENTS = ROOT / "Tests/Goldens/attachments"
CLIENTS, PROMPT, ANSWER = 8, 256, 64


class Server:
    """A server at a free port, ended as an operator would end it."""

    def __init__(self, *call: str, health: str = "/health"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = tempfile.TemporaryFile("w+")
        begun = time.monotonic()
        self.process = subprocess.Popen([*call, "--port", str(self.port)], stdout=self.log, stderr=self.log)
        while self.get(health)[0] != 200:
            assert self.process.poll() is None and time.monotonic() - begun < 300, "the server did not start"
            time.sleep(0.01)
        self.seconds_to_health = time.monotonic() - begun

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            return self.request("GET", path)
        except OSError:
            return 0, b""

    def request(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)) as connection:
            connection.request(method, path, body, {"Content-Type": kind} if body is not None else {})
            response = connection.getresponse()
            return response.status, response.read()

    def metric(self, name: str) -> float:
        lines = [line.split() for line in self.get("/metrics")[1].decode().splitlines()]
        return sum(float(line[-1]) for line in lines if line and line[0].partition("{")[0] == name)

    def seconds_by_thread(self) -> dict[str, float]:
        """Processor time of each thread, by its number and name."""
        seconds = {}
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
                fields = rest.split()
                seconds[f"{task.name} {name}"] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return seconds

    def resident_bytes(self) -> int:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def heaps(self) -> int:
        """Arenas of glibc beside the first: of each, 64 MiB of addresses are reserved, from a multiple of that on."""
        size, found = 64 << 20, set()
        for line in pathlib.Path(f"/proc/{self.process.pid}/maps").read_text().splitlines():
            fields = line.split()
            first, last = (int(place, 16) for place in fields[0].split("-"))
            if len(fields) == 5 and fields[1] == "---p" and last % size == 0 and last - first < size:
                found.add(last)
        return len(found)

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)


# MARK: Rates


def tokens(count: int, seed: int) -> list[int]:
    """Ids at random, so that no two prompts begin alike."""
    source = random.Random(seed)
    return [2] + [source.randrange(2000, 200_000) for _ in range(count - 1)]


def stream(server: Server, prompt: list[int], count: int, on_token=lambda: None) -> list[float]:
    """When each piece of an answer came."""
    body = {"prompt": prompt, "max_tokens": count, "temperature": 0, "ignore_eos": True, "stream": True, "cache_prompt": False}
    body["stream_options"] = {"include_usage": True}
    times, usage = [], None
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)) as connection:
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        for line in response:
            if line.startswith(b'data: {"'):
                times.append(time.monotonic())
                on_token()
                if b'"prompt_tokens"' in line:
                    usage = json.loads(line[6:])["usage"]
    assert usage and usage["completion_tokens"] == count and usage["prompt_tokens"] == len(prompt), usage
    return times


def round_of_clients(server: Server, seed: int) -> float:
    """Tokens per second, read and written, of all clients together."""
    prompts = [tokens(PROMPT, seed * CLIENTS + client) for client in range(CLIENTS)]
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        begun = time.monotonic()
        list(pool.map(lambda prompt: stream(server, prompt, ANSWER), prompts))
        return CLIENTS * (PROMPT + ANSWER) / (time.monotonic() - begun)


def ninth_client(server: Server, seed: int) -> tuple[float, float, float]:
    """Seconds to the first token of a short request alone and beside eight others, and a step of these."""
    short = [tokens(32, 1_000_000 + seed * 10 + index) for index in range(4)]

    def first_token(prompt: list[int]) -> float:
        begun = time.monotonic()
        return stream(server, prompt, 2)[0] - begun

    alone = statistics.median(first_token(prompt) for prompt in short[:3])
    counts = [0] * CLIENTS
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:

        def client(index: int) -> list[float]:
            def count() -> None:
                counts[index] += 1

            return stream(server, tokens(64, 2_000_000 + seed * CLIENTS + index), 80, count)

        answers = [pool.submit(client, index) for index in range(CLIENTS)]
        while min(counts) < 20:
            time.sleep(0.01)
        asked = time.monotonic()
        beside = first_token(short[3])
        times = [answer.result() for answer in answers]
    gaps = [b - a for one in times for a, b in zip(one, one[1:]) if b < asked and a > asked - 2]
    return alone, beside, statistics.median(gaps)


def promised(program: str, model: str) -> float:
    """What reading eight prompts one after the other and writing eight answers together would come to."""
    call = [program, "bench", "--model", model, "--parallel", str(CLIENTS), "--prompt-tokens", str(PROMPT)]
    call += ["--generated-tokens", str(ANSWER), "--repeats", "1", "--format", "json"]
    report = json.loads(subprocess.run(call, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)
    reading, writing = report["prefill_tokens_per_second"], report["parallel"][0]["tokens_per_second"]
    print(f"bench: reads {reading:.0f}, writes {writing:.1f} tokens/s in {CLIENTS} answers", flush=True)
    return CLIENTS * (PROMPT + ANSWER) / (CLIENTS * PROMPT / reading + CLIENTS * ANSWER / writing)


def http_share(before: dict[str, float], after: dict[str, float], seconds: float) -> float:
    """The share of the time in which threads were at work that are not the engine's: HTTP, JSON, and what else is no pass."""
    spent = {thread: after[thread] - before.get(thread, 0) for thread in after}
    # The engine's thread and its workers are those that have worked longest: one for each core.
    rest = sorted(spent.values())[: -len(os.sched_getaffinity(0))]
    return sum(rest) / seconds


def peer_server(given: argparse.Namespace) -> Server:
    call = [given.peer, "--model", given.model, "--parallel", str(CLIENTS), "--ctx-size", str(CLIENTS * 512)]
    return Server(*call, "--threads", str(len(os.sched_getaffinity(0))))


def clients(given: argparse.Namespace, server: Server) -> None:
    """Eight clients, in turn with what they are compared with: the machine may be slower the next minute."""
    round_of_clients(server, 0)
    parts: dict[str, list[float]] = {"bench": [], "the peer": []}
    for index in range(1, given.rounds + 1):
        before, begun = server.seconds_by_thread(), time.monotonic()
        own = round_of_clients(server, index)
        share = http_share(before, server.seconds_by_thread(), time.monotonic() - begun)
        print(f"{CLIENTS} clients, {PROMPT} + {ANSWER} tokens each: {own:.0f} tokens/s; no pass: {100 * share:.2f} %", flush=True)
        if "bench" in given.beside:
            parts["bench"].append(own / promised(given.program, given.model))
        if given.peer:
            other = peer_server(given)
            try:
                round_of_clients(other, 0)
                rate = round_of_clients(other, index)
            finally:
                other.end()
            print(f"the peer: {rate:.0f} tokens/s", flush=True)
            parts["the peer"].append(own / rate)
    for name, ratios in parts.items():
        if ratios:
            print(f"{statistics.median(ratios):.2f} times {name}: " + ", ".join(f"{ratio:.2f}" for ratio in ratios))


def rates(given: argparse.Namespace) -> None:
    server = Server(given.program, "serve", "--model", given.model, "--log", "json", "--no-mmproj")
    try:
        print(f"answers {server.seconds_to_health:.2f} s after its start")
        clients(given, server)
        for index in range(given.rounds if "ninth" in given.beside else 0):
            alone, beside, step = ninth_client(server, index)
            print(
                f"a ninth client has its first token after {1000 * beside:.0f} ms; alone {1000 * alone:.0f} ms; "
                f"a step of the others {1000 * step:.0f} ms: {(beside - alone) / step:.1f} steps more", flush=True
            )
    finally:
        server.end()


# MARK: All kinds of requests


def form(fields: dict[str, bytes], file: tuple[str, bytes]) -> tuple[bytes, str]:
    parts = [f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value for name, value in fields.items()]
    parts.append(f'--cut\r\nContent-Disposition: form-data; name="file"; filename="{file[0]}"\r\n\r\n'.encode() + file[1])
    return b"\r\n".join(parts) + b"\r\n--cut--\r\n", "multipart/form-data; boundary=cut"


class Kinds:
    """One request of each kind: what is asked, and which status is right."""

    def __init__(self, server: Server):
        self.server = server
        self.sound = (ATTACHMENTS / "chirp.wav").read_bytes()
        self.picture = (ATTACHMENTS / "wide.png").read_bytes()
        self.url = "data:image/png;base64," + base64.b64encode(self.picture).decode()

    def post(self, path: str, body, status: int = 200) -> bytes:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        got, answer = self.server.request("POST", path, data)
        assert got == status, (path, got, answer[:300])
        return answer

    def chat(self, number: int, **more) -> dict:
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"one {number // 20 % 10}"}]
        return {"messages": messages, "max_tokens": 8 + number // 20 % 5, "temperature": 0, **more}

    def leave(self, number: int) -> None:
        """A client that goes away in the middle of an answer."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)) as connection:
            body = json.dumps(self.chat(0, stream=True, max_tokens=400, ignore_eos=True))
            connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            assert response.status == 200 and response.read(10)

    def files(self, number: int) -> None:
        body, kind = form({"purpose": b"vision"}, ("a.png", self.picture))
        status, answer = self.server.request("POST", "/v1/files", body, kind)
        assert status == 200, answer
        file = json.loads(answer)["id"]
        question = [{"type": "input_image", "file_id": file}, {"type": "input_text", "text": "one"}]
        self.post("/v1/responses", {"input": [{"role": "user", "content": question}], "max_output_tokens": 4, "temperature": 0})
        assert self.server.request("DELETE", f"/v1/files/{file}")[0] == 200

    def transcribe(self, number: int, **fields: str) -> None:
        body, kind = form({name: value.encode() for name, value in fields.items()}, ("a.wav", self.sound))
        status, answer = self.server.request("POST", "/v1/audio/transcriptions", body, kind)
        assert status == 200, answer

    def one(self, number: int) -> None:
        picture = {"type": "image_url", "image_url": {"url": self.url}}
        heard = {"type": "input_audio", "input_audio": {"data": base64.b64encode(self.sound).decode(), "format": "wav"}}
        tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
        schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"enum": ["yes", "no"]}}}
        kinds = [
            lambda: self.post("/v1/chat/completions", self.chat(number)),
            lambda: self.post("/v1/chat/completions", self.chat(number, stream=True)),
            lambda: self.post("/v1/chat/completions", self.chat(number, n=3, temperature=1, seed=1, logprobs=True, top_logprobs=3)),
            lambda: self.post("/v1/chat/completions", self.chat(number, tools=[tool], stop=["x"])),
            lambda: self.post("/v1/chat/completions", self.chat(number, response_format=schema)),
            lambda: self.post(
                "/v1/chat/completions",
                {"messages": [{"role": "user", "content": [picture, {"type": "text", "text": "one"}]}], "max_tokens": 4, "temperature": 0},
            ),
            lambda: self.post(
                "/v1/chat/completions",
                {"messages": [{"role": "user", "content": [heard, {"type": "text", "text": "one"}]}], "max_tokens": 4, "temperature": 0},
            ),
            lambda: self.post("/v1/completions", {"prompt": f"one {number // 20 % 10}", "max_tokens": 8, "stream": True, "seed": 1}),
            lambda: self.post("/v1/responses", {"input": f"one {number // 20 % 10}", "max_output_tokens": 8, "temperature": 0, "stream": True}),
            lambda: self.post(
                "/v1/messages",
                {"messages": [{"role": "user", "content": "one"}], "max_tokens": 8, "temperature": 0, "stream": number % 40 == 9},
            ),
            lambda: self.transcribe(number, response_format="srt"),
            lambda: self.transcribe(number, stream="true"),
            lambda: self.files(number),
            lambda: self.leave(number),
            lambda: self.post("/v1/chat/completions", b"{", status=400),
            lambda: self.post("/v1/chat/completions", self.chat(number, temperature=-1), status=400),
            lambda: self.post("/v1/nowhere", {}, status=404),
            lambda: self.server.get("/metrics"),
            lambda: self.server.get("/"),
            lambda: self.server.get("/v1/models"),
        ]
        kinds[number % len(kinds)]()


def is_idle(server: Server) -> bool:
    return server.metric("gemma4_places_taken") == 0


def wait_until_idle(server: Server) -> None:
    deadline = time.monotonic() + 20
    while not is_idle(server):
        assert time.monotonic() < deadline, "a place was not given back"
        time.sleep(0.05)
    time.sleep(1)


def overload(server: Server) -> None:
    """More at once than there are places for: some are refused, and soon after the last the server is ready."""
    statuses: list[int] = []

    def ask(number: int) -> None:
        body = json.dumps({"prompt": f"one {number}", "max_tokens": 100, "ignore_eos": True}).encode()
        statuses.append(server.request("POST", "/v1/completions", body)[0])

    threads = [threading.Thread(target=ask, args=[number]) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = time.monotonic()
    while server.get("/ready")[0] != 200:
        assert time.monotonic() - ended < 1, "not ready within a second of the load's end"
        time.sleep(0.005)
    assert set(statuses) == {200, 429}, set(statuses)
    print(
        f"200 at once: {statuses.count(200)} answered, {statuses.count(429)} refused; "
        f"ready {1000 * (time.monotonic() - ended):.0f} ms after the last"
    )


def soak(given: argparse.Namespace) -> None:
    server = Server(given.program, "serve", "--model", given.model, "--log", "json")
    try:
        kinds = Kinds(server)
        measures = []
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            # Prompts and answers are kept as far as memory goes, by design. These requests give the same answers each time, so
            # what is kept of them is all there after the first.
            for first in range(0, given.warm + given.requests, given.every):
                list(pool.map(kinds.one, range(first, first + given.every)))
                if first + given.every >= given.warm:
                    wait_until_idle(server)
                    kept, resident = server.metric("gemma4_cache_kept_bytes"), server.resident_bytes()
                    measures.append((resident - kept, server.descriptors(), server.threads()))
                    print(
                        f"{first + given.every} requests: {resident / 2**20:.1f} MiB resident, of which {kept / 2**20:.1f} are kept "
                        f"prompts; {measures[-1][1]} descriptors, {measures[-1][2]} threads", flush=True
                    )
        growth = measures[-1][0] / measures[0][0] - 1
        print(f"memory beside kept prompts {100 * growth:+.2f} % over {given.requests} requests; {server.heaps()} heaps beside the first")
        assert growth <= 0.02, "memory grows"
        assert server.heaps() < max(2, len(os.sched_getaffinity(0))), "threads take heaps of their own"
        # The connection that asked for the measures may be there still.
        assert measures[-1][1] <= measures[0][1] + 1, "descriptors are left open"
        overload(server)
    finally:
        server.end()
    assert server.process.returncode == 0, "the server did not end gracefully"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["rates", "soak"])
    parser.add_argument("--program", default=".build/release/gemma4")
    parser.add_argument("--model", required=True)
    parser.add_argument("--peer", help="llama.cpp's server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", nargs="*", choices=["bench", "ninth"], default=["bench", "ninth"], help="what else is measured")
    parser.add_argument("--warm", type=int, default=1600)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--every", type=int, default=200)
    given = parser.parse_args()
    given.program = os.path.abspath(given.program)
    {"rates": rates, "soak": soak}[given.what](given)


if __name__ == "__main__":
    main()
