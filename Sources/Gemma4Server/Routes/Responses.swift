import Foundation
import Gemma4Kit
import Generation
import Hummingbird
import Tokenization

extension ModelServer {
    /// `POST /v1/responses`, stateless: each request contains the whole conversation.
    ///
    /// Source: https://platform.openai.com/docs/api-reference/responses.
    @Sendable func responses(_ request: Request, context: ServerContext) async throws -> Response {
        let fields = RequestFields(value: try await json(request))
        let asked = try AnswerRequest(
            responses: fields, options, sampling: SamplingOptions(pipeline.generationConfiguration))
        return try await answer(asked, context) { [pipeline, options] _ in
            ResponseWriter(options.modelName, pipeline.tokenizer, fields)
        }
    }
}

extension AnswerRequest {
    init(responses fields: RequestFields, _ options: ServerOptions, sampling: SamplingOptions) throws {
        try self.init(fields, options, sampling: sampling, maxTokens: ["max_output_tokens"])
        count = 1
        let noMemory = "this server keeps no answers; send the whole conversation as input"
        try fields.refuse("store", except: false, because: noMemory)
        try fields.refuse("previous_response_id", because: noMemory)
        try fields.refuse("conversation", because: noMemory)
        try fields.refuse("background", except: false, because: noMemory)
        try fields.refuse("prompt", because: noMemory)
        try fields.refuse("truncation", except: "disabled", because: "nothing is cut out of a conversation here")
        try fields.refuse("max_tool_calls", because: "the model decides how many calls it makes")
        for include in try fields.strings("include")
        where !["reasoning.encrypted_content", "message.output_text.logprobs"].contains(include) {
            throw fields.error("include", "message.output_text.logprobs")
        }
        generation.topLogprobs = try fields.integer("top_logprobs", in: 0...20) ?? 0
        if let instructions = try fields.string("instructions") { messages.append(ChatMessage(.system, instructions)) }
        switch fields["input"] {
        case .string(let text)?: messages.append(ChatMessage(.user, text))
        case .array(let items)?:
            for (index, item) in items.enumerated() {
                try read(RequestFields(value: item, prefix: "input[\(index)]."))
            }
        default: throw fields.error("input", "a text or an array of items")
        }
        guard !messages.isEmpty else { throw fields.error("input", "at least one item") }
        let tools = try (fields.array("tools") ?? []).enumerated().map(Self.tool)
        var chat = fields
        chat["tools"] = .array(tools)
        try readTools(chat)
        let text = try fields.object("text")
        try text?.refuse("verbosity", except: "medium", because: "say in the prompt how long the answer should be")
        try readFormat(try text?.object("format"))
        try readEffort(try fields.object("reasoning"), "effort", options)
    }

    private mutating func read(_ item: RequestFields) throws {
        switch try item.string("type") ?? "message" {
        case "message":
            guard let role = ChatMessage.Role(rawValue: try item.string("role") ?? ""), role != .tool else {
                throw item.error("role", "system, developer, user or assistant")
            }
            if let text = item["content"]?.string {
                return messages.append(ChatMessage(role, text))
            }
            let parts = try (item.array("content") ?? []).enumerated().map { index, part in
                try Self.part(RequestFields(value: part, prefix: "\(item.prefix)content[\(index)]."))
            }
            messages.append(ChatMessage(role, parts: parts))
        case "function_call":
            let arguments = try item.string("arguments") ?? "{}"
            let call = ChatMessage.ToolCall(
                id: try item.string("call_id"), name: try item.string("name") ?? "",
                arguments: (try? JSONValue(parsing: arguments)) ?? .string(arguments))
            // The calls of one turn are separate items.
            if messages.last?.role == .assistant {
                messages[messages.count - 1].toolCalls.append(call)
            } else {
                var message = ChatMessage(.assistant)
                message.toolCalls = [call]
                messages.append(message)
            }
        case "function_call_output":
            var message = ChatMessage(.tool)
            message.toolCallId = try item.string("call_id")
            if case .array? = item["output"] {
                let parts = try (item.array("output") ?? []).enumerated().map { index, part in
                    try Self.part(RequestFields(value: part, prefix: "\(item.prefix)output[\(index)]."))
                }
                message.content = .parts(parts)
            } else {
                message.content = .text(try item.string("output") ?? "")
            }
            messages.append(message)
        case "reasoning": break
        default: throw item.error("type", "message, function_call, function_call_output or reasoning")
        }
    }

    private static func part(_ part: RequestFields) throws -> ContentPart {
        switch try part.string("type") {
        case "input_text", "output_text", "text": return .text(try part.string("text") ?? "")
        case "refusal": return .text(try part.string("refusal") ?? "")
        case "input_image": return .image(try part.string("image_url") ?? part.string("file_id") ?? "")
        case "input_audio":
            let audio = try part.object("input_audio")
            let format = try audio?.string("format") ?? "wav"
            return .audio("data:audio/\(format);base64,\(try audio?.string("data") ?? "")")
        default: throw part.error("type", "input_text, input_image, input_audio or output_text")
        }
    }

    /// A tool declaration in the form of chat completions, with the function in a separate object.
    private static func tool(_ index: Int, _ tool: JSONValue) throws(WireError) -> JSONValue {
        let fields = RequestFields(value: tool, prefix: "tools[\(index)].")
        guard try fields.string("type") == "function", case .object(let members) = tool else {
            throw fields.error("type", "function; this server has no tools of its own")
        }
        let kept = members.filter { ["name", "description", "parameters"].contains($0.key) && $0.value != .null }
        return ["type": "function", "function": .object(kept)]
    }
}

/// Writes OpenAI's response objects, whole or as events.
struct ResponseWriter: AnswerWriter {
    private let model: String
    private let tokens: TokenTexts
    private let request: RequestFields
    private let id = "resp_\(WireID.random)"
    private let created = Int(Date().timeIntervalSince1970)
    private var choice = ChoiceRecord()
    private var sequence = 0
    /// Output items that are complete.
    private var items: [JSONValue] = []
    private var open: Item?

    /// The output item in progress: thoughts, or the message.
    private struct Item: Sendable {
        let kind: TokenKind
        let id: String
        var text = ""
        var logprobs: [JSONValue] = []
    }

    init(_ model: String, _ tokenizer: Tokenizer, _ request: RequestFields) {
        (self.model, tokens, self.request) = (model, TokenTexts(tokenizer), request)
    }

    private var showsLogprobs: Bool {
        let included = (try? request.strings("include")) ?? []
        return included.contains("message.output_text.logprobs") || request["top_logprobs"] != nil
    }

    mutating func begin() -> [ServerSentEvent] {
        let response = response("in_progress", [], usage: .null)
        return [
            event("response.created", [.init("response", response)]),
            event("response.in_progress", [.init("response", response)]),
        ]
    }

    mutating func write(_ token: GeneratedToken, of _: Int) -> [ServerSentEvent] {
        choice.append(token)
        var events: [ServerSentEvent] = []
        let logprob: JSONValue? = showsLogprobs && token.kind == .answer ? tokens.logprob(token) : .none
        if !token.text.isEmpty || logprob != nil, token.kind == .answer || token.kind == .thought {
            if open?.kind != token.kind { events += endItem() + beginItem(token.kind) }
            open!.text += token.text
            if let logprob { open!.logprobs.append(logprob) }
            var members = place + [.init("delta", .string(token.text))]
            if token.kind == .answer { members.append(.init("logprobs", .array(logprob.map { [$0] } ?? []))) }
            events.append(event("\(partEvent).delta", members))
        }
        guard token.finish != nil else { return events }
        events += endItem()
        for call in choice.toolCalls { events += item(of: call) }
        if items.isEmpty { events += beginItem(.answer) + endItem() }
        return events
    }

    mutating func end() -> [ServerSentEvent] {
        [event("response.\(status)", [.init("response", object)])]
    }

    func failure(_ error: WireError) -> [ServerSentEvent] {
        var writer = self
        let failed: JSONValue = ["code": .string(error.code ?? error.type), "message": .string(error.message)]
        return [
            writer.event(
                "response.failed", [.init("response", response("failed", items, usage: .null, error: failed))])
        ]
    }

    var object: JSONValue {
        let promptTokens = choice.promptTokens
        let outputTokens = choice.answer.tokens.count
        return response(
            status, items,
            usage: [
                "input_tokens": .integer(promptTokens),
                "input_tokens_details": ["cached_tokens": .integer(choice.cachedTokens)],
                "output_tokens": .integer(outputTokens),
                "output_tokens_details": ["reasoning_tokens": .integer(choice.thoughtTokens)],
                "total_tokens": .integer(promptTokens + outputTokens),
            ])
    }

    private var status: String { choice.finishReason == "length" ? "incomplete" : "completed" }

    private func response(
        _ status: String, _ output: [JSONValue], usage: JSONValue, error: JSONValue = .null
    ) -> JSONValue {
        func given(_ name: String, _ otherwise: JSONValue = .null) -> JSONValue { request[name] ?? otherwise }
        return [
            "id": .string(id), "object": "response", "created_at": .integer(created), "status": .string(status),
            "error": error,
            "incomplete_details": status == "incomplete" ? ["reason": "max_output_tokens"] : nil,
            "instructions": given("instructions"), "max_output_tokens": given("max_output_tokens"),
            "model": .string(model), "output": .array(output), "parallel_tool_calls": true,
            "previous_response_id": nil, "reasoning": given("reasoning", ["effort": nil, "summary": nil]),
            "store": false, "temperature": given("temperature"), "text": given("text", ["format": ["type": "text"]]),
            "tool_choice": given("tool_choice", "auto"), "tools": given("tools", []), "top_p": given("top_p"),
            "truncation": "disabled", "usage": usage, "metadata": given("metadata", [:]),
        ]
    }

    // MARK: Items

    private var partEvent: String { open?.kind == .thought ? "response.reasoning_text" : "response.output_text" }

    /// Position of the current part in the output.
    private var place: [JSONValue.Member] {
        [
            .init("item_id", .string(open?.id ?? "")), .init("output_index", .integer(items.count)),
            .init("content_index", 0),
        ]
    }

    private func part(_ item: Item) -> JSONValue {
        item.kind == .thought
            ? ["type": "reasoning_text", "text": .string(item.text)]
            : [
                "type": "output_text", "text": .string(item.text), "annotations": [],
                "logprobs": .array(item.logprobs),
            ]
    }

    private func object(_ item: Item, _ status: String, _ content: [JSONValue]) -> JSONValue {
        item.kind == .thought
            ? ["id": .string(item.id), "type": "reasoning", "summary": [], "content": .array(content)]
            : [
                "id": .string(item.id), "type": "message", "status": .string(status), "role": "assistant",
                "content": .array(content),
            ]
    }

    private mutating func beginItem(_ kind: TokenKind) -> [ServerSentEvent] {
        let item = Item(kind: kind, id: (kind == .thought ? "rs_" : "msg_") + WireID.random)
        open = item
        return [
            event(
                "response.output_item.added",
                [.init("output_index", .integer(items.count)), .init("item", object(item, "in_progress", []))]),
            event("response.content_part.added", place + [.init("part", part(item))]),
        ]
    }

    private mutating func endItem() -> [ServerSentEvent] {
        guard let item = open else { return [] }
        var done = place + [.init("text", .string(item.text))]
        if item.kind == .answer { done.append(.init("logprobs", .array(item.logprobs))) }
        var events = [event("\(partEvent).done", done)]
        events.append(event("response.content_part.done", place + [.init("part", part(item))]))
        let finished = object(item, choice.answer.finish?.reason == .stop ? "completed" : "incomplete", [part(item)])
        events.append(
            event("response.output_item.done", [.init("output_index", .integer(items.count)), .init("item", finished)]))
        items.append(finished)
        open = nil
        return events
    }

    private mutating func item(of call: ChatMessage.ToolCall) -> [ServerSentEvent] {
        let id = "fc_\(WireID.random)"
        func object(_ arguments: String, _ status: String) -> JSONValue {
            [
                "id": .string(id), "type": "function_call", "call_id": .string(call.id ?? ""),
                "name": .string(call.name),
                "arguments": .string(arguments), "status": .string(status),
            ]
        }
        let index = JSONValue.Member("output_index", .integer(items.count))
        let itemID = JSONValue.Member("item_id", .string(id))
        let text = JSONValue.string(call.argumentsText)
        let events = [
            event("response.output_item.added", [index, .init("item", object("", "in_progress"))]),
            event("response.function_call_arguments.delta", [itemID, index, .init("delta", text)]),
            event("response.function_call_arguments.done", [itemID, index, .init("arguments", text)]),
            event("response.output_item.done", [index, .init("item", object(call.argumentsText, "completed"))]),
        ]
        items.append(object(call.argumentsText, "completed"))
        return events
    }

    private mutating func event(_ type: String, _ members: [JSONValue.Member]) -> ServerSentEvent {
        sequence += 1
        return ServerSentEvent(
            .object([.init("type", .string(type)), .init("sequence_number", .integer(sequence - 1))] + members),
            name: type)
    }
}
