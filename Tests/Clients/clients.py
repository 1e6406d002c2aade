"""Asks a server what programs ask that were written for OpenAI's and Anthropic's: with their own Python packages, curl and wrk.

    python clients.py --program gemma4 [--model Models/Demo]

Answers are compared with what the program says to the same questions without a server. Needs requirements.txt and curl; without wrk its part is left out.
"""

import argparse
import base64
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
import wave

import anthropic
import openai

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "Models/Demo/samples"
SOUND, OTHER_SOUND, PICTURE = SAMPLES / "clean-002.wav", SAMPLES / "clean-001.wav", SAMPLES / "picture-002.png"
DESCRIBE = "Describe this image."
EMBEDDER, ATTACHMENTS = ROOT / "Tests/Goldens/embedder/checkpoint", ROOT / "Tests/Goldens/attachments"


class Server:
    """`gemma4 serve` at a free port, ended as an operator would end it."""

    def __init__(self, program: str, model: str, *arguments: str):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = tempfile.TemporaryFile("w+")
        call = [program, "serve", "--model", model, "--port", str(self.port), *arguments]
        self.process = subprocess.Popen(call, stderr=self.log)
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(self.url("/ready"), timeout=1)
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, "the server did not start"
                time.sleep(0.05)

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=30) == 0, "the server did not end gracefully"


def run(program: str, model: str, *arguments: str) -> str:
    call = [program, arguments[0], "--model", model, *arguments[1:]]
    return subprocess.run(call, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def data_url(file: pathlib.Path) -> str:
    return "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()


def chat(client: openai.OpenAI, caption: str, spoken: str) -> None:
    question = [{"type": "image_url", "image_url": {"url": data_url(PICTURE)}}, {"type": "text", "text": DESCRIBE}]
    messages = [{"role": "user", "content": question}]
    whole = client.chat.completions.create(model="any", messages=messages, temperature=0)
    assert whole.choices[0].message.content == caption, whole
    assert whole.choices[0].finish_reason == "stop" and whole.usage.prompt_tokens > 50
    stream = client.chat.completions.create(
        model="any", messages=messages, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == caption
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens > 0
    sound = {"data": base64.b64encode(SOUND.read_bytes()).decode(), "format": "wav"}
    instruction = "Transcribe the following speech segment in its original language. Follow these specific instructions for formatting the answer:\n* Only output the transcription, with no newlines.\n* When transcribing numbers, write the digits, i.e. write 1.7 and not one point seven, and write 3 instead of three."
    question = [{"type": "text", "text": instruction}, {"type": "input_audio", "input_audio": sound}]
    heard = client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": question}], temperature=0, logprobs=True, top_logprobs=2
    )
    assert heard.choices[0].message.content == spoken, heard
    content = heard.choices[0].logprobs.content
    assert b"".join(bytes(entry.bytes) for entry in content).decode() == spoken
    assert all(len(entry.top_logprobs) == 2 and entry.logprob <= 0 for entry in content)
    several = client.chat.completions.create(model="any", messages=messages, n=3, seed=1, temperature=1)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    schema = {"type": "object", "properties": {"shape": {"enum": ["star", "ring"]}}, "required": ["shape"], "additionalProperties": False}
    held = client.chat.completions.create(
        model="any", messages=messages, max_tokens=60,
        response_format={"type": "json_schema", "json_schema": {"name": "shape", "schema": schema, "strict": True}},
    )
    assert json.loads(held.choices[0].message.content)["shape"] in ["star", "ring"]
    for bad, parameter in [({"modalities": ["audio"]}, "modalities"), ({"temperature": -1}, "temperature")]:
        try:
            client.chat.completions.create(model="any", messages=messages, **bad)
            raise AssertionError(f"{bad} was taken")
        except openai.BadRequestError as error:
            assert error.param == parameter and parameter in error.message, error


def other_endpoints(client: openai.OpenAI, caption: str) -> None:
    (model,) = client.models.list().data
    assert client.models.retrieve(model.id).id == model.id
    completion = client.completions.create(model="any", prompt="go", max_tokens=5, temperature=0)
    pieces = client.completions.create(model="any", prompt="go", max_tokens=5, temperature=0, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == completion.choices[0].text
    file = client.files.create(file=PICTURE, purpose="vision")
    assert client.files.retrieve(file.id).bytes == PICTURE.stat().st_size
    assert client.files.content(file.id).read() == PICTURE.read_bytes()
    assert file.id in [other.id for other in client.files.list()]
    question = [{"type": "input_image", "file_id": file.id, "detail": "auto"}, {"type": "input_text", "text": DESCRIBE}]
    response = client.responses.create(model="any", input=[{"role": "user", "content": question}], temperature=0)
    assert response.output_text == caption and response.status == "completed", response
    with client.responses.stream(model="any", input=[{"role": "user", "content": question}], temperature=0) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        assert "".join(deltas) == caption and stream.get_final_response().output_text == caption
    assert client.files.delete(file.id).deleted


def transcriptions(client: openai.OpenAI, program: str, model: str) -> None:
    for sound in [SOUND, OTHER_SOUND]:
        expected = {name: run(program, model, "transcribe", "--format", name, str(sound)) for name in ["srt", "vtt", "json"]}
        text = json.loads(expected["json"])["text"]
        with sound.open("rb") as file:
            assert client.audio.transcriptions.create(model="whisper-1", file=file).text == text
        for name in ["srt", "vtt"]:
            answer = client.audio.transcriptions.create(model="whisper-1", file=sound, response_format=name)
            assert answer == expected[name], answer
        verbose = client.audio.transcriptions.create(
            model="whisper-1", file=sound, response_format="verbose_json", timestamp_granularities=["segment"]
        )
        segments = json.loads(expected["json"])["segments"]
        assert [(s.start, s.text) for s in verbose.segments] == [(s["start"], s["text"]) for s in segments]
        events = list(client.audio.transcriptions.create(model="whisper-1", file=sound, stream=True))
        assert "".join(e.delta for e in events if e.type == "transcript.text.delta") == text
        assert events[-1].type == "transcript.text.done" and events[-1].text == text
        assert client.audio.translations.create(model="whisper-1", file=sound).text is not None
    try:
        client.audio.transcriptions.create(model="whisper-1", file=("talk.wav", b"no sound"))
        raise AssertionError("a text was transcribed")
    except openai.BadRequestError as error:
        assert "talk.wav" in error.message and "/" not in error.message, error.message


def messages(client: anthropic.Anthropic, caption: str) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PICTURE.read_bytes()).decode()}
    question = [{"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": DESCRIBE}]}]
    whole = client.messages.create(model="any", max_tokens=100, messages=question, extra_body={"temperature": 0})
    assert whole.content[0].text == caption and whole.stop_reason == "end_turn", whole
    with client.messages.stream(model="any", max_tokens=100, messages=question, extra_body={"temperature": 0}) as stream:
        assert "".join(stream.text_stream) == caption
        final = stream.get_final_message()
    assert final.content[0].text == caption and final.usage.output_tokens == whole.usage.output_tokens
    counted = client.messages.count_tokens(model="any", messages=question).input_tokens
    assert counted == final.usage.input_tokens + final.usage.cache_read_input_tokens
    try:
        client.messages.create(model="any", max_tokens=5, messages=question, tool_choice={"type": "any"})
        raise AssertionError("a call was forced")
    except anthropic.BadRequestError as error:
        assert "tool_choice" in error.message, error


def curl(server: Server, caption: str) -> None:
    body = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": data_url(PICTURE)}}, {"type": "text", "text": DESCRIBE}]}], "temperature": 0}
    call = ["curl", "--silent", "--show-error", "--fail-with-body", server.url("/v1/chat/completions"), "--data", "@-"]
    answer = subprocess.run(call, input=json.dumps(body), check=True, stdout=subprocess.PIPE, text=True).stdout
    assert json.loads(answer)["choices"][0]["message"]["content"] == caption
    form = ["curl", "--silent", server.url("/v1/audio/transcriptions"), "-F", f"file=@{SOUND}", "-F", "response_format=text"]
    assert subprocess.run(form, check=True, stdout=subprocess.PIPE, text=True).stdout == "set the clock 4\n"


def embeddings(program: str) -> None:
    """By a server of an embedding model, which says of itself that it does not write."""
    server = Server(program, str(EMBEDDER))
    try:
        client = openai.OpenAI(base_url=server.url("/v1"), api_key="none", max_retries=0)
        texts = ["one two three", "what is this?"]
        lines = run(program, str(EMBEDDER), "embed", "--task", "query", "--text", texts[0], "--text", texts[1])
        expected = [json.loads(line)["embedding"] for line in lines.splitlines()]
        answer = client.embeddings.create(model="any", input=texts, extra_body={"task": "query"})  # asks for base64 itself
        plain = client.embeddings.create(model="any", input=texts, encoding_format="float", extra_body={"task": "query"})
        for given in [answer, plain]:
            for entry, vector in zip(given.data, expected, strict=True):
                assert max(abs(a - b) for a, b in zip(entry.embedding, vector, strict=True)) < 1e-7
        assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0
        picture = ATTACHMENTS / "wide.png"
        seen = client.embeddings.create(model="any", input=[data_url(picture)], dimensions=256).data[0].embedding
        line = run(program, str(EMBEDDER), "embed", "--dimensions", "256", str(picture))
        assert max(abs(a - b) for a, b in zip(seen, json.loads(line)["embedding"], strict=True)) < 1e-7
        try:
            client.chat.completions.create(model="any", messages=[{"role": "user", "content": "a"}])
            raise AssertionError("an embedding model wrote")
        except openai.BadRequestError as error:
            assert "/v1/embeddings" in error.message, error
    finally:
        server.end()


def realtime(client: openai.OpenAI, program: str, model: str) -> None:
    """Sound that comes in pieces of 100 ms: each turn is found, written down while it is heard, and then once more whole."""
    with wave.open(str(SOUND)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        sound = file.readframes(file.getnframes())
    silence = bytes(32_000 * 2)
    said = json.loads(run(program, model, "transcribe", "--format", "json", str(SOUND)))["text"]
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        assert connection.recv().type == "session.created"
        spoken = {"format": {"type": "audio/pcm", "rate": 16_000}, "turn_detection": {"type": "server_vad"}}
        connection.session.update(session={"type": "transcription", "audio": {"input": spoken}})
        assert connection.recv().session.audio.input.format.rate == 16_000
        stream = silence + sound + silence + sound + silence

        def speak() -> None:
            for start in range(0, len(stream), 3200):
                chunk = base64.b64encode(stream[start : start + 3200]).decode()
                connection.input_audio_buffer.append(audio=chunk)

        speaker = threading.Thread(target=speak)
        speaker.start()
        written, done, started = {}, [], []
        while len(done) < 2:
            event = connection.recv()
            match event.type:
                case "input_audio_buffer.speech_started":
                    started.append(event.audio_start_ms)
                case "conversation.item.input_audio_transcription.delta":
                    written[event.item_id] = written.get(event.item_id, "") + event.delta
                case "conversation.item.input_audio_transcription.completed":
                    done.append(event.transcript)
                    assert written[event.item_id] == event.transcript
                case "error":
                    raise AssertionError(event)
        speaker.join()
        assert done == [said, said], (done, said)
        length = len(sound) / 32
        assert 1900 < started[0] < 2400 and abs(started[1] - started[0] - length - 2000) < 60, started
        connection.input_audio_buffer.commit()
        while (event := connection.recv()).type != "error":
            pass
        assert event.error.code == "input_audio_buffer_commit_empty", event


def many_at_once(server: Server, client: openai.OpenAI) -> None:
    """200 requests of mixed lengths, some of whose clients leave: each gets what it gets alone."""

    def ask(index: int) -> str | None:
        question = [{"role": "user", "content": f"go {index % 20}"}]
        options = dict(model="any", messages=question, temperature=0, max_tokens=3 + index % 20 * 2)
        if index % 10 == 7:
            with client.chat.completions.create(**options, stream=True) as stream:
                next(iter(stream))
            return None
        if index % 3 == 0:
            chunks = client.chat.completions.create(**options, stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        return client.chat.completions.create(**options).choices[0].message.content

    alone = {}
    for index in range(60):
        alone.setdefault(index % 20, None)
        if alone[index % 20] is None:
            alone[index % 20] = ask(index)
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(ask, range(200)))
    for index, answer in enumerate(answers):
        assert answer in (None, alone[index % 20]), (index, answer, alone[index % 20])
    deadline = time.monotonic() + 10
    while "gemma4_places_taken 0\n" not in urllib.request.urlopen(server.url("/metrics")).read().decode():
        assert time.monotonic() < deadline, "a place was not given back"
        time.sleep(0.1)


def slow_readers(server: Server) -> None:
    """Answers that are taken in sips, more of them than the system holds, are whole, and hold up no others."""

    def body(index: int, **more) -> bytes:
        return json.dumps({"prompt": f"go {index}", "max_tokens": 1500, "ignore_eos": True, "temperature": 0, **more}).encode()

    def post(index: int) -> str:
        request = urllib.request.Request(server.url("/v1/completions"), body(index), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.load(answer)["choices"][0]["text"]

    def sip(index: int) -> str:
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.settimeout(300)
            line.connect(("127.0.0.1", server.port))
            sent = body(index, stream=True)
            head = f"POST /v1/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(sent)}\r\n\r\n"
            line.sendall(head.encode() + sent)
            got, reads = b"", 0
            while piece := line.recv(1024):
                got, reads = got + piece, reads + 1
                time.sleep(1 if reads < 3 else 0.002)
        text = ""
        for event in unchunked(got.partition(b"\r\n\r\n")[2]).decode().split("\n\n"):
            if event.startswith("data: {"):
                text += json.loads(event[6:])["choices"][0]["text"]
        return text

    alone = [post(index) for index in range(4)]
    assert len(set(alone)) > 1, alone
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        slow = [pool.submit(sip, index) for index in range(4)]
        time.sleep(0.5)
        begun = time.monotonic()
        quick = [pool.submit(post, index) for index in range(4)]
        assert [one.result() for one in quick] == alone
        seconds = time.monotonic() - begun
        assert not any(one.done() for one in slow), "nobody was slow"
        assert [one.result() for one in slow] == alone
    print(f"four slow readers; four others beside them had all in {seconds:.1f} s")


def unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        count = int(size, 16)
        whole, body = whole + body[:count], body[count + 2 :]
    return whole


def wrk(server: Server) -> None:
    """As many requests as `wrk` can send: none fails."""
    program = shutil.which("wrk")
    if program is None:
        return print("wrk: left out, it is not installed")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write("""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local count = 0
request = function()
  count = count + 1
  return wrk.format(nil, nil, nil, string.format('{"prompt": "go %d", "max_tokens": %d, "temperature": 0}', count % 10, 1 + count % 7))
end
""")
        script.flush()
        for path, more in [("/health", []), ("/v1/completions", ["-s", script.name])]:
            call = [program, "-t", "2", "-c", "32", "-d", "5s", "--timeout", "30s", *more, server.url(path)]
            said = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True).stdout
            rate = float(said.partition("Requests/sec:")[2].split()[0])
            assert rate > 0 and "Non-2xx" not in said and "Socket errors" not in said, said
            print(f"wrk: {rate:.0f} requests a second of {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default=".build/release/gemma4")
    parser.add_argument("--model", default=str(ROOT / "Models/Demo"))
    given = parser.parse_args()
    program = os.path.abspath(given.program)
    caption = run(program, given.model, "caption", str(PICTURE)).strip().split(": ", 1)[-1]
    spoken = run(program, given.model, "transcribe", str(SOUND)).strip().split(": ", 1)[-1]
    with tempfile.NamedTemporaryFile("w") as keys:
        keys.write("# of the test\nsecret\n")
        keys.flush()
        server = Server(program, given.model, "--api-key-file", keys.name, "--queue", "400")
        try:
            opener = urllib.request.build_opener()
            opener.addheaders = [("Authorization", "Bearer secret")]
            urllib.request.install_opener(opener)
            client = openai.OpenAI(base_url=server.url("/v1"), api_key="secret", max_retries=0)
            try:
                openai.OpenAI(base_url=server.url("/v1"), api_key="other", max_retries=0).models.list()
                raise AssertionError("any key was taken")
            except openai.AuthenticationError:
                pass
            chat(client, caption, spoken)
            other_endpoints(client, caption)
            transcriptions(client, program, given.model)
            realtime(client, program, given.model)
            messages(anthropic.Anthropic(base_url=server.url(), api_key="secret", max_retries=0), caption)
            many_at_once(server, client)
        finally:
            server.end()
    server = Server(program, given.model)
    try:
        curl(server, caption)
        urllib.request.install_opener(urllib.request.build_opener())
        slow_readers(server)
        wrk(server)
    finally:
        server.end()
    embeddings(program)
    print("openai, anthropic, curl and wrk get what they ask for")


if __name__ == "__main__":
    main()
