import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JSONText
import TestSupport
import Testing
import Tokenization

@testable import Gemma4Kit
@testable import Gemma4Server
@testable import Generation

private let path = "/v1/chat/completions"

private func ask(_ text: String, _ more: [(String, JSONValue)] = []) -> JSONValue {
    let message: JSONValue = ["role": "user", "content": .string(text)]
    return .object(
        [.init("messages", [message]), .init("temperature", 0), .init("max_tokens", 12)].filter { member in
            !more.contains { $0.0 == member.key }
        } + more.map { .init($0.0, $0.1) })
}

/// The answer over HTTP equals the pipeline's, and a repeated prompt is cached.
@Test func anAnswerIsThatOfThePipeline() async throws {
    let served = try Served()
    let alone = try await served.pipeline.generate(
        [ChatMessage(.user, "one two three")], options: .init(sampling: .greedy, maxTokens: 12)
    ).answer()
    for _ in 0..<2 {
        let response = try await served.post(path, ask("one two three"))
        #expect(response.status == .ok && response.headers[.contentType] == "application/json")
        let object = try response.json
        #expect(object["object"] == "chat.completion" && object["model"] == "tiny")
        let choice = try #require(object["choices"]?[0])
        #expect(choice["message"]?["content"] == .string(alone.text))
        #expect(choice["finish_reason"] == .string(alone.finish!.reason == .stop ? "stop" : "length"))
        let usage = try #require(object["usage"])
        #expect(usage["prompt_tokens"] == .integer(alone.finish!.promptTokens.count))
        #expect(usage["completion_tokens"] == .integer(alone.tokens.count))
        #expect(try #require(usage["prompt_tokens_details"]?["cached_tokens"]?.integer) > 0)
    }
}

@Test func aStreamAddsUpToTheWhole() async throws {
    let served = try Served()
    let whole = try await served.post(path, ask("one two three")).json
    let request = ask("one two three", [("stream", true), ("stream_options", ["include_usage": true])])
    let response = try await served.post(path, request)
    #expect(response.headers[.contentType] == "text/event-stream")
    #expect(response.events.last?.data == "[DONE]")
    let chunks = try response.chunks
    #expect(chunks.allSatisfy { $0["object"] == "chat.completion.chunk" && $0["id"] == chunks[0]["id"] })
    #expect(chunks[0]["choices"]?[0]?["delta"]?["role"] == "assistant")
    let text = chunks.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.string }.joined()
    #expect(.string(text) == whole["choices"]?[0]?["message"]?["content"] && !text.isEmpty)
    let reasons = chunks.compactMap { $0["choices"]?[0]?["finish_reason"]?.string }
    #expect(reasons == [whole["choices"]?[0]?["finish_reason"]?.string])
    let last = try #require(chunks.last)
    #expect(last["choices"] == [])
    #expect(last["usage"]?["completion_tokens"] == whole["usage"]?["completion_tokens"])
    // Usage is sent only on request.
    let plain = try await served.post(path, ask("one", [("stream", true)])).chunks
    #expect(plain.allSatisfy { $0["usage"] == nil })
}

@Test func mediaComeAsDataURLsAndBase64() async throws {
    let served = try Served()
    let folder = Goldens.folder.appending(path: "attachments")
    let (picture, sound) = (folder.appending(path: "wide.png"), folder.appending(path: "chirp.wav"))
    let parts: [ContentPart] = [.image(), .text("What is this?"), .audio()]
    let expected = try await served.pipeline.generate(
        [ChatMessage(.user, parts: parts)], media: [.image(.file(picture)), .audio(.file(sound))],
        options: .init(sampling: .greedy, maxTokens: 12)
    ).answer()
    let image = "data:image/png;base64," + (try Data(contentsOf: picture)).base64EncodedString()
    let audio = try Data(contentsOf: sound).base64EncodedString()
    let content: JSONValue = [
        ["type": "image_url", "image_url": ["url": .string(image), "detail": "high"]],
        ["type": "text", "text": "What is this?", "cache_control": ["type": "ephemeral"]],
        ["type": "input_audio", "input_audio": ["data": .string(audio), "format": "wav"]],
    ]
    let response = try await served.post(
        path, ask("", [("messages", [["role": "user", "content": content]])]))
    let object = try response.json
    #expect(object["choices"]?[0]?["message"]?["content"] == .string(expected.text))
    #expect(object["usage"]?["prompt_tokens"] == .integer(expected.finish!.promptTokens.count))
}

/// A request sets the soft-token budget of its images.
@Test func picturesHaveBudgets() async throws {
    let served = try Served()
    let file = Goldens.folder.appending(path: "attachments/noise.png")
    let image = "data:image/png;base64," + (try Data(contentsOf: file)).base64EncodedString()
    let content: JSONValue = [["type": "image_url", "image_url": ["url": .string(image)]]]
    func tokens(_ budget: Int) async throws -> TestResponse {
        try await served.post(
            path,
            ask(
                "",
                [
                    ("messages", [["role": "user", "content": content]]),
                    ("mm_processor_kwargs", ["max_soft_tokens": .integer(budget)]), ("max_tokens", 1),
                ]))
    }
    for budget in [70, 560] {
        let options = PromptOptions(imageTokens: budget)
        let prompt = try await served.pipeline.prompt(
            [ChatMessage(.user, parts: [.image()])], media: [.image(.file(file))], options: options)
        #expect(try await tokens(budget).json["usage"]?["prompt_tokens"] == .integer(prompt.tokens.count))
    }
    let refused = try await tokens(100)
    #expect(refused.status == .badRequest)
    #expect(try refused.json["error"]?["param"] == "mm_processor_kwargs.max_soft_tokens")
}

@Test func logprobsComeWithTheirTokens() async throws {
    let served = try Served()
    let response = try await served.post(path, ask("one", [("logprobs", true), ("top_logprobs", 3)]))
    let choice = try #require(try response.json["choices"]?[0])
    let entries = choice["logprobs"]?["content"]?.values ?? []
    let bytes = entries.flatMap { $0["bytes"]!.values.map { UInt8($0.integer!) } }
    // Byte tokens may be cut within a character, whose text then ends in another way.
    #expect(String(decoding: bytes, as: UTF8.self).hasPrefix(choice["message"]!["content"]!.string!.prefix(3)))
    #expect(!entries.isEmpty && entries.allSatisfy { $0["top_logprobs"]!.values.count == 3 })
    for entry in entries {
        let top = entry["top_logprobs"]!.values.map { $0["logprob"]!.double! }
        #expect(top == top.sorted(by: >) && top[0] >= entry["logprob"]!.double! && entry["logprob"]!.double! < 0)
    }
    let streamed = try await served.post(
        path, ask("one", [("logprobs", true), ("top_logprobs", 3), ("stream", true)])
    ).chunks
    #expect(streamed.flatMap { $0["choices"]![0]!["logprobs"]?["content"]?.values ?? [] } == entries)
}

/// Several answers to one prompt are those of as many requests with seeds that follow each other.
@Test func severalChoicesHaveSeedsOfTheirOwn() async throws {
    let served = try Served()
    func request(_ seed: Int, _ more: [(String, JSONValue)] = []) -> JSONValue {
        ask("one", [("temperature", 1), ("seed", .integer(seed)), ("ignore_eos", true)] + more)
    }
    let several = try await served.post(path, request(5, [("n", 3)])).json
    let texts = several["choices"]!.values.map { $0["message"]!["content"]!.string! }
    try #require(Set(texts).count == 3)
    let third = try await served.post(path, request(7)).json
    #expect(third["choices"]?[0]?["message"]?["content"] == .string(texts[2]))
    #expect(several["usage"]?["completion_tokens"] == 36)
    let chunks = try await served.post(path, request(5, [("n", 3), ("stream", true)])).chunks
    for choice in 0..<3 {
        let mine = chunks.compactMap { $0["choices"]?[0] }.filter { $0["index"] == .integer(choice) }
        #expect(mine.compactMap { $0["delta"]?["content"]?.string }.joined() == texts[choice])
    }
}

@Test func formatsAndStopsHold() async throws {
    let served = try Served()
    let schema: JSONValue = [
        "type": "object", "properties": ["color": ["enum": ["red", "green"]]], "required": ["color"],
        "additionalProperties": false,
    ]
    let format: JSONValue = ["type": "json_schema", "json_schema": ["name": "c", "schema": schema, "strict": true]]
    let response = try await served.post(path, ask("one", [("response_format", format), ("max_tokens", 60)]))
    let text = try #require(try response.json["choices"]?[0]?["message"]?["content"]?.string)
    #expect(["red", "green"].contains(try JSONValue(parsing: text)["color"]?.string))
    let free = try await served.post(path, ask("one", [("max_tokens", 30)])).json
    let whole = try #require(free["choices"]?[0]?["message"]?["content"]?.string)
    let stop = String(whole.dropFirst(whole.count / 2).prefix(3))
    let cut = try await served.post(path, ask("one", [("max_tokens", 30), ("stop", [.string(stop)])])).json
    let expected = whole.components(separatedBy: stop)[0]
    #expect(cut["choices"]?[0]?["message"]?["content"] == .string(expected))
    #expect(cut["choices"]?[0]?["finish_reason"] == "stop")
}

/// A net with random weights that is forced to begin a call: the call in whole and streamed answers.
@Test func callsOfToolsComeInBothForms() async throws {
    let served = try Served()
    let tool: JSONValue = [
        "type": "function",
        "function": [
            "name": "set_lamp", "description": "d",
            "parameters": [
                "type": "object", "properties": ["level": ["type": "integer", "minimum": 1, "maximum": 99]],
                "required": ["level"],
            ],
        ],
    ]
    var asked = try AnswerRequest(
        chat: RequestFields(value: ask("Light!", [("tools", [tool]), ("max_tokens", 100)])), served.server.options,
        sampling: .greedy)
    #expect(asked.prompt.tools == [tool])
    asked.generation.forcedTokens = [try #require(served.pipeline.tokenizer.specialTokens["<|tool_call>"])]
    var writer = ChatCompletionWriter(.init(model: "tiny"), served.pipeline.tokenizer, choices: 1)
    var events = writer.begin()
    let tokens = NumberedTokens([
        served.pipeline.generate(asked.messages, prompt: asked.prompt, options: asked.generation)
    ])
    for try await (choice, token) in tokens { events += writer.write(token, of: choice) }
    let message = try #require(writer.object["choices"]?[0]?["message"])
    #expect(writer.object["choices"]?[0]?["finish_reason"] == "tool_calls")
    let call = try #require(message["tool_calls"]?[0])
    #expect(call["type"] == "function" && call["function"]?["name"] == "set_lamp")
    #expect(call["id"]!.string!.hasPrefix("call_"))
    let level = try JSONValue(parsing: call["function"]!["arguments"]!.string!)["level"]?.integer
    #expect((1...99).contains(try #require(level)))
    let deltas = try events.compactMap { try JSONValue(parsing: $0.data)["choices"]?[0] }
    let calls = deltas.compactMap { $0["delta"]?["tool_calls"]?[0] }
    let streamed = try #require(calls.first)
    #expect(streamed["index"] == 0 && streamed["function"] == call["function"] && streamed["id"] == call["id"])
    #expect(deltas.last?["finish_reason"] == "tool_calls")
}

/// Thoughts are separate from the answer, whole and streamed.
@Test func thoughtsAreReasoningContent() async throws {
    let served = try Served()
    let tokenizer = served.pipeline.tokenizer
    var options = GenerationOptions(sampling: .greedy, maxTokens: 60)
    options.forcedTokens =
        [tokenizer.specialTokens["<|channel>"]!] + tokenizer.encode("thought\nhm") + [
            tokenizer.specialTokens["<channel|>"]!
        ] + tokenizer.encode("yes") + [tokenizer.specialTokens["<turn|>"]!]
    var writer = ChatCompletionWriter(.init(model: "tiny"), tokenizer, choices: 1)
    var events: [ServerSentEvent] = []
    for try await (choice, token) in NumberedTokens([
        served.pipeline.generate([ChatMessage(.user, "a")], options: options)
    ]) {
        events += writer.write(token, of: choice)
    }
    let message = try #require(writer.object["choices"]?[0]?["message"])
    #expect(message["content"] == "yes" && message["reasoning_content"]?.string?.contains("hm") == true)
    #expect(writer.object["usage"]!["completion_tokens_details"]!["reasoning_tokens"]!.integer! > 0)
    let deltas = try events.compactMap { try JSONValue(parsing: $0.data)["choices"]?[0]?["delta"] }
    #expect(deltas.compactMap { $0["content"]?.string }.joined() == "yes")
    #expect(.string(deltas.compactMap { $0["reasoning_content"]?.string }.joined()) == message["reasoning_content"])
}

/// No answer gets a token of another, however many come at once.
@Test func manyAtOnceGetWhatEachGetsAlone() async throws {
    let served = try Served()
    let alone = try Served(limits: .init(runningSequences: 1))
    let requests = (0..<30).map { index in
        ask(
            "word \(index % 7) and \(index)",
            [
                ("temperature", .number(index % 2 == 0 ? 0 : 1)), ("seed", .integer(index)),
                ("max_tokens", .integer(3 + index % 11)), ("stream", .boolean(index % 3 == 0)),
            ])
    }
    func text(_ response: TestResponse) throws -> String {
        let isStream = response.headers[.contentType] == "text/event-stream"
        guard isStream else { return try response.json["choices"]![0]!["message"]!["content"]!.string! }
        return try response.chunks.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.string }.joined()
    }
    let found = try await served.test { client in
        try await withThrowingTaskGroup(of: (Int, TestResponse).self) { group in
            for (index, request) in requests.enumerated() {
                group.addTask { (index, try await client.post(path, request)) }
            }
            return try await group.reduce(into: [Int: TestResponse]()) { $0[$1.0] = $1.1 }
        }
    }
    for (index, request) in requests.enumerated() {
        #expect(try text(found[index]!) == text(try await alone.post(path, request)), "request \(index)")
    }
}

struct BadRequest: Sendable, CustomTestStringConvertible {
    let body: JSONValue
    let status: Int
    let parameter: String?
    let message: String

    init(_ more: [(String, JSONValue)], _ parameter: String?, _ message: String, status: Int = 400) {
        (self.body, self.status, self.parameter, self.message) = (ask("one", more), status, parameter, message)
    }

    var testDescription: String { message }

    static let all = [
        BadRequest([("messages", nil)], "messages", "expected an array of messages, found nothing"),
        BadRequest([("messages", [])], "messages", "at least one message"),
        BadRequest([("messages", [["role": "pope", "content": "a"]])], "messages[0].role", "expected system"),
        BadRequest([("temperature", "hot")], "temperature", "a number from 0.0"),
        BadRequest([("max_tokens", 0)], "max_tokens", "1 or more, found 0"),
        BadRequest([("n", 100)], "n", "at most 80"),
        BadRequest([("stop", [1])], "stop", "array of strings"),
        BadRequest([("logit_bias", ["x": 1])], "logit_bias", "ids of tokens"),
        BadRequest([("top_logprobs", 2)], "logprobs", "true beside top_logprobs"),
        BadRequest([("modalities", ["text", "audio"])], "modalities", "text alone"),
        BadRequest([("audio", ["voice": "a"])], "audio", "does not speak"),
        BadRequest([("response_format", ["type": "xml"])], "response_format.type", "json_schema"),
        BadRequest(
            [
                (
                    "response_format",
                    ["type": "json_schema", "json_schema": ["schema": ["unevaluatedProperties": false]]]
                )
            ],
            nil, "unevaluatedProperties", status: 422),
        BadRequest(
            [
                (
                    "messages",
                    [["role": "user", "content": [["type": "image_url", "image_url": ["url": "/etc/passwd"]]]]]
                )
            ],
            nil, "expected a data: URL or"),
        BadRequest(
            [
                (
                    "messages",
                    [
                        [
                            "role": "user",
                            "content": [
                                ["type": "image_url", "image_url": ["url": "data:image/png;base64,AAAA"]]
                            ],
                        ]
                    ]
                )
            ], nil, "data URL"),
        BadRequest(
            [
                ("tools", [["type": "function", "function": ["name": "f"]]]), ("tool_choice", ["type": "banana"]),
            ], "tool_choice", "tool_choice"),
    ]
}

@Test(arguments: BadRequest.all)
func whatCannotBeDoneIsRefusedByName(bad: BadRequest) async throws {
    for stream in [false, true] {
        guard case .object(let members) = bad.body else { return }
        let response = try await Served().post(path, .object(members + [.init("stream", .boolean(stream))]))
        #expect(response.status.code == bad.status)
        let error = try #require(try response.json["error"])
        #expect(error["type"] == "invalid_request_error")
        #expect(error["message"]!.string!.contains(bad.message), "\(error["message"]!.json)")
        if let parameter = bad.parameter { #expect(error["param"] == .string(parameter)) }
        #expect(!response.text.contains("/work") && !response.text.contains("checkpoint"))
    }
}

/// Unknown members are ignored, as newer clients expect.
@Test func unknownMembersAreIgnored() async throws {
    let served = try Served()
    let plain = try await served.post(path, ask("one")).json
    let more = try await served.post(
        path,
        ask(
            "one",
            [("frobnicate", ["a": 1]), ("user", "me"), ("model", "gpt-9"), ("service_tier", "auto"), ("tools", [])]))
    #expect(try more.json["choices"] == plain["choices"])
}

@Test func otherRoutesAnswer() async throws {
    let served = try Served { $0.bodyBytes = 1000 }
    try await served.test { client in
        #expect(try await client.execute(uri: "/health", method: .get).status == .ok)
        #expect(try await client.execute(uri: "/ready", method: .get).json["status"] == "ready")
        let models = try await client.execute(uri: "/v1/models", method: .get).json
        #expect(models["data"]?[0]?["id"] == "tiny")
        #expect(try await client.execute(uri: "/v1/models/tiny", method: .get).json["id"] == "tiny")
        let other = try await client.execute(uri: "/v1/models/a/b", method: .get)
        #expect(other.status == .notFound)
        #expect(try other.json["error"]?["code"] == "model_not_found")
        let nowhere = try await client.execute(uri: "/v1/nowhere", method: .get)
        #expect(nowhere.status == .notFound)
        #expect(try nowhere.json["error"]?["message"] == "there is no GET /v1/nowhere here")
        let large = try await client.post(path, ask(String(repeating: "a", count: 1000)))
        #expect(large.status == .contentTooLarge)
        let broken = try await client.execute(uri: path, method: .post, body: ByteBuffer(string: "{\"a\": }"))
        #expect(broken.status == .badRequest)
        #expect(try broken.json["error"]?["message"]?.string?.contains("line 1, column 7") == true)
    }
}

/// Requests beyond the limit are refused with a retry time; a released place can be taken again.
@Test func aFullServerSaysSo() async throws {
    let served = try Served { $0.answers = 3 }
    let places = try served.server.admission.enter(3)
    let refused = try await served.post(path, ask("one"))
    #expect(refused.status == .tooManyRequests)
    #expect(try refused.json["error"]?["type"] == "rate_limit_error")
    let wait = Int(try #require(refused.headers[.retryAfter]))
    #expect((1...60).contains(try #require(wait)))
    let ready = try await served.test { try await $0.execute(uri: "/ready", method: .get) }
    #expect(ready.status == .serviceUnavailable)
    places.leave()
    places.leave()
    for stream in [false, true] {
        #expect(try await served.post(path, ask("one", [("n", 3), ("stream", .boolean(stream))])).status == .ok)
    }
    // Those that fail give their places back too.
    for _ in 0..<4 { _ = try await served.post(path, ask("one", [("messages", [])])) }
    #expect(served.server.admission.taken == 0)
}

/// The engine's own queue is full: that is no fault of the request either.
@Test func aFullEngineSaysSo() async throws {
    let served = try Served(limits: .init(runningSequences: 1, waitingSequences: 0))
    var options = GenerationOptions(sampling: .greedy, maxTokens: 2000, loopGuard: nil)
    options.endsAtStopTokens = false
    let busy = served.pipeline.generate([ChatMessage(.user, "one")], options: options)
    var iterator = busy.makeAsyncIterator()
    _ = try await iterator.next()
    for stream in [false, true] {
        let refused = try await served.post(path, ask("two", [("stream", .boolean(stream))]))
        #expect(refused.status == .tooManyRequests && refused.headers[.retryAfter] != nil)
    }
    _ = try await iterator.next()
}

/// A client that disconnects releases its place, streamed or not.
@Test(arguments: [false, true])
func aClientThatLeavesEndsItsAnswer(stream: Bool) async throws {
    let served = try Served()
    try await served.test(.live) { client in
        let own = TestClient(host: "127.0.0.1", port: client.port!)
        own.connect()
        let body = ask(
            "one", [("max_tokens", 100_000), ("ignore_eos", true), ("stream", .boolean(stream)), ("temperature", 1)])
        let waiting = Task { try await own.post(path, body: ByteBuffer(string: body.json)) }
        while await served.pipeline.statistics.generatedTokens < 20 { try await Task.sleep(for: .milliseconds(5)) }
        #expect(served.server.admission.taken == 1)
        try await own.shutdown()
        waiting.cancel()
        let deadline = ContinuousClock.now + .seconds(20)
        while await served.pipeline.statistics.running > 0 || served.server.admission.taken > 0,
            ContinuousClock.now < deadline
        { try await Task.sleep(for: .milliseconds(5)) }
        let statistics = await served.pipeline.statistics
        #expect(statistics.running == 0 && served.server.admission.taken == 0)
        #expect(statistics.generatedTokens < 50_000)
    }
}

/// A client that waits for its first token receives keep-alive comments; a later error is an event.
@Test func aLongWaitIsNotSilent() async throws {
    let served = try Served(limits: .init(runningSequences: 1)) { $0.pulse = .milliseconds(20) }
    var options = GenerationOptions(sampling: .init(temperature: 1, seed: 1), maxTokens: 400, loopGuard: nil)
    options.endsAtStopTokens = false
    let busy = served.pipeline.generate([ChatMessage(.user, "two")], options: options)
    while await served.pipeline.statistics.running == 0 { try await Task.sleep(for: .milliseconds(1)) }
    // An unread answer keeps its place.
    async let other: Answer = {
        while await served.pipeline.statistics.waiting == 0 { try await Task.sleep(for: .milliseconds(1)) }
        try await Task.sleep(for: .milliseconds(200))
        return try await busy.answer()
    }()
    let response = try await served.post(path, ask("one", [("stream", true)]))
    #expect(response.text.hasPrefix(": waiting\n\n: waiting\n\n") && response.events.last?.data == "[DONE]")
    let whole = try await served.post(path, ask("one")).json
    let text = try response.chunks.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.string }.joined()
    #expect(.string(text) == whole["choices"]?[0]?["message"]?["content"])
    _ = try await other
}

/// A call that has to come comes, of the tool that was named, by all three interfaces.
@Test func aCallCanBeRequired() async throws {
    let served = try Served()
    func tool(_ name: String) -> JSONValue {
        [
            "type": "function",
            "function": [
                "name": .string(name), "description": "d",
                "parameters": [
                    "type": "object", "properties": ["level": ["enum": [3]]], "required": ["level"],
                    "additionalProperties": false,
                ],
            ],
        ]
    }
    let tools = JSONValue.array([tool("lamp"), tool("fan")])
    let named: JSONValue = ["type": "function", "function": ["name": "fan"]]
    for choice in ["required", named] {
        let response = try await served.post(
            path,
            ask(
                "Light!",
                [
                    ("tools", tools), ("tool_choice", choice), ("parallel_tool_calls", false), ("max_tokens", 100),
                    ("temperature", 0),
                ]))
        let answer = try #require(response.json["choices"]?[0])
        #expect(answer["finish_reason"] == "tool_calls")
        guard case .array(let calls)? = answer["message"]?["tool_calls"] else {
            Issue.record("no call in \(answer.json)")
            continue
        }
        let name = calls[0]["function"]?["name"]?.string
        #expect(calls.count == 1 && (choice == named ? name == "fan" : ["lamp", "fan"].contains(name)))
        #expect(try JSONValue(parsing: calls[0]["function"]!["arguments"]!.string!) == ["level": 3])
    }
    let anthropic: JSONValue = [
        "name": "lamp",
        "input_schema": ["type": "object", "properties": ["level": ["enum": [3]]], "required": ["level"]],
    ]
    let message = try await served.post(
        "/v1/messages",
        [
            "messages": [["role": "user", "content": "Light!"]], "max_tokens": 100, "temperature": 0,
            "tools": [anthropic],
            "tool_choice": ["type": "tool", "name": "lamp", "disable_parallel_tool_use": true],
        ])
    #expect(try message.json["stop_reason"] == "tool_use")
    for choice in [JSONValue.string("required"), ["type": "function", "function": ["name": "oven"]]] {
        let refused = try await served.post(path, ask("Light!", [("tool_choice", choice)]))
        #expect(refused.status == .badRequest)
        #expect(try refused.json["error"]?["param"] == "tool_choice")
    }
}
