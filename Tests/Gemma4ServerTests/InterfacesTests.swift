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

private let picture = Goldens.folder.appending(path: "attachments/wide.png")
private let question: JSONValue = ["role": "user", "content": "one two three"]

/// The answer of chat completions to the same messages.
private func chat(_ served: Served, _ messages: JSONValue, _ more: [JSONValue.Member] = []) async throws -> JSONValue {
    try await served.post(
        "/v1/chat/completions",
        .object([.init("messages", messages), .init("temperature", 0), .init("max_tokens", 12)] + more)
    ).json
}

private func text(_ chat: JSONValue) -> JSONValue? { chat["choices"]?[0]?["message"]?["content"] }

/// Tokens of an answer that thinks, speaks and calls a tool.
private func writing(
    _ served: Served, _ pieces: [String], _ writer: inout some AnswerWriter
) async throws -> [ServerSentEvent] {
    let tokenizer = served.pipeline.tokenizer
    var options = GenerationOptions(sampling: .greedy, maxTokens: 200)
    options.constrainsToolCalls = false
    for piece in pieces {
        options.forcedTokens += tokenizer.specialTokens[piece].map { [$0] } ?? tokenizer.encode(piece)
    }
    var events = writer.begin()
    for try await (choice, token) in NumberedTokens([
        served.pipeline.generate([ChatMessage(.user, "a")], options: options)
    ]) {
        events += writer.write(token, of: choice)
    }
    return events + writer.end()
}

private let thinkingAndCalling = [
    "<|channel>", "thought\nhm", "<channel|>", "yes", "<|tool_call>", "call:lamp{level:3}", "<tool_call|>", "<turn|>",
]

// MARK: /v1/completions

@Test func completionsGoOnWithTextAndIds() async throws {
    let served = try Served()
    let prompt = try served.pipeline.prompt(text: "one two")
    let alone = try await served.pipeline.generate(prompt, options: .init(sampling: .greedy, maxTokens: 8)).answer()
    let base: [JSONValue.Member] = [.init("temperature", 0), .init("max_tokens", 8)]
    let ids = JSONValue.array(prompt.tokens.map(JSONValue.integer))
    let asked = try await served.post(
        "/v1/completions", .object(base + [.init("prompt", ["one two", "three"]), .init("logprobs", 2)])
    ).json
    #expect(asked["object"] == "text_completion" && asked["choices"]?.values.count == 2)
    #expect(asked["choices"]?[0]?["text"] == .string(alone.text))
    #expect(
        asked["choices"]?[0]?["logprobs"]?["tokens"]?.values.count
            == asked["choices"]?[0]?["logprobs"]?["text_offset"]?.values.count)
    #expect(asked["choices"]?[0]?["logprobs"]?["top_logprobs"]?.values.isEmpty == false)
    let byId = try await served.post("/v1/completions", .object(base + [.init("prompt", ids)])).json
    #expect(byId["choices"]?[0]?["text"] == .string(alone.text))
    let chunks = try await served.post(
        "/v1/completions", .object(base + [.init("prompt", ids), .init("stream", true)])
    ).chunks
    #expect(chunks.compactMap { $0["choices"]?[0]?["text"]?.string }.joined() == alone.text)
    for (name, value) in [("suffix", "x" as JSONValue), ("echo", true), ("best_of", 3), ("prompt", [["a": 1]])] {
        let response = try await served.post(
            "/v1/completions", .object(base + (name == "prompt" ? [] : [.init("prompt", "a")]) + [.init(name, value)]))
        #expect(response.status == .badRequest)
        #expect(try response.json["error"]?["param"] == .string(name))
    }
}

// MARK: /v1/messages

@Test func messagesAnswerAsChatCompletionsDo() async throws {
    let served = try Served()
    let data = try Data(contentsOf: picture).base64EncodedString()
    let expected = try await chat(
        served,
        [
            ["role": "system", "content": "Be brief."],
            [
                "role": "user",
                "content": [
                    ["type": "image_url", "image_url": ["url": .string("data:image/png;base64,\(data)")]],
                    ["type": "text", "text": "What is this?"],
                ],
            ],
        ])
    let body: [JSONValue.Member] = [
        .init("model", "claude"), .init("max_tokens", 12), .init("temperature", 0),
        .init("system", [["type": "text", "text": "Be brief.", "cache_control": ["type": "ephemeral"]]]),
        .init(
            "messages",
            [
                [
                    "role": "user",
                    "content": [
                        [
                            "type": "image",
                            "source": ["type": "base64", "media_type": "image/png", "data": .string(data)],
                        ], ["type": "text", "text": "What is this?"],
                    ],
                ]
            ]),
    ]
    let message = try await served.post("/v1/messages", .object(body)).json
    #expect(message["type"] == "message" && message["role"] == "assistant")
    #expect(message["content"]?[0]?["text"] == text(expected))
    let reason: JSONValue = expected["choices"]?[0]?["finish_reason"] == "stop" ? "end_turn" : "max_tokens"
    #expect(message["stop_reason"] == reason)
    let usage = try #require(message["usage"])
    let read = usage["input_tokens"]!.integer! + usage["cache_read_input_tokens"]!.integer!
    #expect(.integer(read) == expected["usage"]?["prompt_tokens"])
    let counted = try await served.post("/v1/messages/count_tokens", .object(body.filter { $0.key != "max_tokens" }))
        .json
    #expect(counted["input_tokens"] == .integer(read))
    let response = try await served.post("/v1/messages", .object(body + [.init("stream", true)]))
    let (names, chunks) = (response.events.map(\.name), try response.chunks)
    #expect(names.first == "message_start" && names.last == "message_stop" && names.dropLast().last == "message_delta")
    #expect(chunks.map { $0["type"]?.string } == names)
    let streamed = chunks.compactMap { $0["delta"]?["text"]?.string }.joined()
    #expect(.string(streamed) == text(expected))
}

@Test func messagesKnowThoughtsAndTools() async throws {
    let served = try Served()
    var writer = MessageWriter("tiny", served.pipeline.tokenizer, Prompt(tokens: [1]), [], served.pipeline.stopTokens)
    let events = try await writing(served, thinkingAndCalling, &writer)
    let message = writer.object
    try #require(message["content"]?.values.map { $0["type"] } == ["thinking", "text", "tool_use"])
    #expect(message["content"]?[0]?["thinking"]?.string?.contains("hm") == true)
    #expect(message["content"]?[1]?["text"] == "yes")
    #expect(message["content"]?[2]?["name"] == "lamp" && message["content"]?[2]?["input"] == ["level": 3])
    #expect(message["stop_reason"] == "tool_use")
    let objects = try events.map { try JSONValue(parsing: $0.data) }
    let starts = objects.filter { $0["type"] == "content_block_start" }
    #expect(starts.map { $0["index"] } == [0, 1, 2])
    #expect(objects.filter { $0["type"] == "content_block_stop" }.map { $0["index"] } == [0, 1, 2])
    let arguments = objects.compactMap { $0["delta"]?["partial_json"]?.string }.joined()
    #expect(try JSONValue(parsing: arguments) == ["level": 3])
    // And back: a conversation with a call and its result.
    let asked = try AnswerRequest(
        messages: RequestFields(
            value: [
                "max_tokens": 5,
                "tools": [["name": "lamp", "description": "d", "input_schema": ["type": "object"]]],
                "messages": [
                    ["role": "user", "content": "Light!"],
                    ["role": "assistant", "content": message["content"]!],
                    [
                        "role": "user",
                        "content": [
                            ["type": "tool_result", "tool_use_id": message["content"]![2]!["id"]!, "content": "done"],
                            ["type": "text", "text": "thanks"],
                        ],
                    ],
                ],
            ]), served.server.options, sampling: .greedy)
    #expect(asked.messages.map(\.role) == [.user, .assistant, .tool, .user])
    #expect(asked.messages[1].toolCalls.first?.name == "lamp" && asked.messages[1].reasoning?.contains("hm") == true)
    #expect(asked.messages[2].toolCallId == asked.messages[1].toolCalls.first?.id)
    #expect(asked.prompt.tools[0]["function"]?["parameters"] == ["type": "object"])
    let rendered = try served.pipeline.renderedText(asked.messages, options: asked.prompt)
    #expect(rendered.contains("done") && rendered.contains("thanks") && rendered.contains("lamp"))
}

@Test func messagesSayWhichStringEndedThem() async throws {
    let served = try Served()
    var body: [JSONValue.Member] = [
        .init("max_tokens", 30), .init("temperature", 0), .init("messages", [question]),
    ]
    let whole = try #require(try await served.post("/v1/messages", .object(body)).json["content"]?[0]?["text"]?.string)
    let stop = String(whole.dropFirst(whole.count / 2).prefix(3))
    body.append(.init("stop_sequences", ["nowhere in it", .string(stop)]))
    let cut = try await served.post("/v1/messages", .object(body)).json
    #expect(cut["stop_reason"] == "stop_sequence" && cut["stop_sequence"] == .string(stop))
    #expect(cut["content"]?[0]?["text"] == .string(whole.components(separatedBy: stop)[0]))
}

@Test func messagesHaveErrorsOfTheirForm() async throws {
    let served = try Served()
    let response = try await served.post("/v1/messages", ["messages": [question]])
    #expect(response.status == .badRequest)
    let error = try response.json
    #expect(error["type"] == "error" && error["error"]?["type"] == "invalid_request_error")
    #expect(error["error"]!["message"]!.string!.hasPrefix("max_tokens"))
    let bad: [(JSONValue.Member, String)] = [
        (.init("tool_choice", ["type": "any"]), "tool_choice"),
        (.init("tools", [["type": "web_search_20250305", "name": "web_search"]]), "tools[0].input_schema"),
        (.init("messages", [["role": "user", "content": [["type": "document"]]]]), "messages[0].content[0].type"),
        (.init("thinking", ["type": "maybe"]), "thinking.type"),
    ]
    for (member, place) in bad {
        let members = [JSONValue.Member("messages", [question]), .init("max_tokens", 5)].filter { $0.key != member.key }
        let response = try await served.post("/v1/messages", .object(members + [member]))
        #expect(response.status == .badRequest)
        #expect(try response.json["error"]!["message"]!.string!.hasPrefix(place))
    }
}

// MARK: /v1/responses

@Test func responsesAnswerAsChatCompletionsDo() async throws {
    let served = try Served()
    let data = try Data(contentsOf: picture).base64EncodedString()
    let url = JSONValue.string("data:image/png;base64,\(data)")
    let expected = try await chat(
        served,
        [
            ["role": "system", "content": "Be brief."],
            ["role": "user", "content": [["type": "text", "text": "a"], ["type": "image_url", "image_url": url]]],
            ["role": "assistant", "content": [["type": "text", "text": "b"]]], question,
        ])
    let body: [JSONValue.Member] = [
        .init("instructions", "Be brief."), .init("temperature", 0), .init("max_output_tokens", 12),
        .init("store", false),
        .init(
            "input",
            [
                [
                    "role": "user",
                    "content": [["type": "input_text", "text": "a"], ["type": "input_image", "image_url": url]],
                ],
                [
                    "type": "message", "id": "msg_1", "role": "assistant",
                    "content": [["type": "output_text", "text": "b", "annotations": []]],
                ], question,
            ]),
    ]
    let response = try await served.post("/v1/responses", .object(body)).json
    #expect(response["object"] == "response" && response["output"]?.values.count == 1)
    #expect(response["output"]?[0]?["content"]?[0]?["text"] == text(expected))
    #expect(response["usage"]?["input_tokens"] == expected["usage"]?["prompt_tokens"])
    let isWhole = expected["choices"]?[0]?["finish_reason"] == "stop"
    #expect(response["status"] == (isWhole ? "completed" : "incomplete"))
    let stream = try await served.post("/v1/responses", .object(body + [.init("stream", true)]))
    let chunks = try stream.chunks
    #expect(chunks.map { $0["sequence_number"] } == chunks.indices.map { .integer($0) })
    #expect(chunks.map { $0["type"]?.string } == stream.events.map(\.name))
    #expect(chunks.first?["type"] == "response.created")
    let deltas = chunks.filter { $0["type"] == "response.output_text.delta" }.map { $0["delta"]!.string! }
    #expect(.string(deltas.joined()) == text(expected))
    let last = try #require(chunks.last)
    #expect(last["type"] == (isWhole ? "response.completed" : "response.incomplete"))
    #expect(last["response"]?["output"]?[0]?["content"] == response["output"]?[0]?["content"])
}

@Test func responsesKnowThoughtsAndTools() async throws {
    let served = try Served()
    var writer = ResponseWriter("tiny", served.pipeline.tokenizer, RequestFields(value: [:]))
    let events = try await writing(served, thinkingAndCalling, &writer)
    let output = writer.object["output"]?.values ?? []
    try #require(output.map { $0["type"] } == ["reasoning", "message", "function_call"])
    #expect(output[1]["content"]?[0]?["text"] == "yes" && writer.object["status"] == "completed")
    let arguments = try JSONValue(parsing: output[2]["arguments"]!.string!)
    #expect(output[2]["name"] == "lamp" && arguments == ["level": 3])
    let objects = try events.map { try JSONValue(parsing: $0.data) }
    #expect(objects.filter { $0["type"] == "response.output_item.done" }.map { $0["item"]! } == output)
    #expect(objects.filter { $0["type"] == "response.output_item.added" }.map { $0["output_index"] } == [0, 1, 2])
    let asked = try AnswerRequest(
        responses: RequestFields(
            value: [
                "tools": [
                    ["type": "function", "name": "lamp", "parameters": ["type": "object"], "strict": true]
                ],
                "input": .array(
                    [["role": "user", "content": "Light!"]] + output + [
                        ["type": "function_call_output", "call_id": output[2]["call_id"]!, "output": "done"]
                    ]),
            ]), served.server.options, sampling: .greedy)
    #expect(asked.messages.map(\.role) == [.user, .assistant, .tool])
    #expect(asked.messages[1].toolCalls.first?.arguments == ["level": 3])
    #expect(asked.prompt.tools[0]["function"]?["name"] == "lamp")
    #expect(try served.pipeline.renderedText(asked.messages, options: asked.prompt).contains("done"))
}

private let needsMemory: [(String, JSONValue)] = [
    ("store", true), ("previous_response_id", "resp_1"), ("background", true), ("truncation", "auto"),
    ("conversation", "conv_1"), ("include", ["file_search_call.results"]),
]

@Test(arguments: needsMemory)
func responsesRefuseWhatNeedsMemory(name: String, value: JSONText.JSONValue) async throws {
    let tool: JSONValue = ["type": "function", "name": "f", "parameters": ["type": "object"]]
    let response = try await Served().post(
        "/v1/responses", .object([.init("input", "a"), .init("tools", [tool]), .init(name, value)]))
    #expect(response.status == .badRequest)
    #expect(try response.json["error"]?["param"] == .string(name))
}

// MARK: /v1/files

@Test func filesAreSentOnceAndNamedLater() async throws {
    let directory = try TemporaryDirectory()
    let keys = try APIKeys(contentsOf: URL(filePath: try directory.write(Array("a\nb\n".utf8), to: "keys")))
    let served = try Served { options in
        options.keys = keys
        options.storedBytes = 200_000
    }
    let (mine, other): (HTTPFields, HTTPFields) = ([.authorization: "Bearer a"], [.authorization: "Bearer b"])
    @Sendable func upload(_ client: any TestClientProtocol, _ data: Data, _ name: String) async throws -> TestResponse {
        let head =
            "--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nvision\r\n"
            + "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\(name)\"\r\n\r\n"
        var headers = mine
        headers[.contentType] = "multipart/form-data; boundary=x"
        return try await client.execute(
            uri: "/v1/files", method: .post, headers: headers,
            body: ByteBuffer(bytes: Data(head.utf8) + data + Data("\r\n--x--\r\n".utf8)))
    }
    let data = try Data(contentsOf: picture)
    let expected = try await served.pipeline.generate(
        [ChatMessage(.user, parts: [.image(), .text("What is this?")])], media: [.image(.file(picture))],
        options: .init(sampling: .greedy, maxTokens: 12)
    ).answer()
    try await served.test { client in
        let stored = try await upload(client, data, "wide.png").json
        let id = try #require(stored["id"]?.string)
        #expect(stored["filename"] == "wide.png" && stored["bytes"] == .integer(data.count))
        #expect(stored["purpose"] == "vision")
        func ask(_ headers: HTTPFields) async throws -> TestResponse {
            try await client.post(
                "/v1/chat/completions",
                [
                    "temperature": 0, "max_tokens": 12,
                    "messages": [
                        [
                            "role": "user",
                            "content": [
                                ["type": "file", "file": ["file_id": .string(id)]],
                                ["type": "text", "text": "What is this?"],
                            ],
                        ]
                    ],
                ], headers: headers)
        }
        #expect(text(try await ask(mine).json) == .string(expected.text))
        // To another client it is not there.
        #expect(try await ask(other).status == .notFound)
        func get(_ uri: String, _ headers: HTTPFields) async throws -> TestResponse {
            try await client.execute(uri: uri, method: .get, headers: headers)
        }
        #expect(try await get("/v1/files", mine).json["data"]?.values.count == 1)
        #expect(try await get("/v1/files", other).json["data"]?.values.isEmpty == true)
        #expect(try await get("/v1/files/\(id)", other).status == .notFound)
        #expect(Data(buffer: try await get("/v1/files/\(id)/content", mine).body) == data)
        let gone = try await client.execute(uri: "/v1/files/\(id)", method: .delete, headers: mine)
        #expect(try gone.json["deleted"] == true)
        #expect(try await ask(mine).status == .notFound)
        #expect(try await upload(client, Data("words".utf8), "a.txt").status == .badRequest)
        let large = data + Data(count: 200_000)
        #expect(try await upload(client, large, "large.png").status.code == 507)
    }
}
