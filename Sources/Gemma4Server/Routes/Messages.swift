import Foundation
import Gemma4Kit
import Generation
import Hummingbird
import Tokenization

extension ModelServer {
    /// `POST /v1/messages` of Anthropic's API.
    ///
    /// Source: https://docs.anthropic.com/en/api/messages.
    @Sendable func messages(_ request: Request, context: ServerContext) async throws -> Response {
        let fields = RequestFields(value: try await json(request))
        let asked = try AnswerRequest(
            messages: fields, options, sampling: SamplingOptions(pipeline.generationConfiguration))
        return try await answer(asked, context) { [pipeline, options] prompt in
            MessageWriter(options.modelName, pipeline.tokenizer, prompt, asked.generation.stop, pipeline.stopTokens)
        }
    }

    /// `POST /v1/messages/count_tokens`.
    @Sendable func countTokens(_ request: Request, context: ServerContext) async throws -> Response {
        var fields = RequestFields(value: try await json(request))
        if fields["max_tokens"] == nil { fields["max_tokens"] = 1 }
        let asked = try AnswerRequest(messages: fields, options, sampling: .greedy)
        let places = try admission.enter(1, of: context.client)
        defer { places.leave() }
        let prompt = try await prompt(asked, context)
        return Response(json: ["input_tokens": .integer(prompt.tokens.count)])
    }
}

extension AnswerRequest {
    init(messages fields: RequestFields, _ options: ServerOptions, sampling: SamplingOptions) throws {
        guard fields["max_tokens"] != nil else { throw fields.error("max_tokens", "an integer of 1 or more") }
        try self.init(fields, options, sampling: sampling, maxTokens: ["max_tokens"])
        count = 1
        generation.stop = try fields.strings("stop_sequences")
        messages = try Self.system(fields)
        guard let conversation = try fields.array("messages") else {
            throw fields.error("messages", "an array of messages")
        }
        for (index, message) in conversation.enumerated() {
            messages += try Self.messages(RequestFields(value: message, prefix: "messages[\(index)]."))
        }
        guard !conversation.isEmpty else { throw fields.error("messages", "at least one message") }
        prompt.tools = try (fields.array("tools") ?? []).enumerated().map(Self.tool)
        let choice = try fields.object("tool_choice")
        switch try choice?.string("type") {
        case nil, "auto"?: break
        case "none"?: generation.toolChoice = .none
        case "any"?: try require(.required, fields)
        case "tool"?: try require(.named(choice!.string("name") ?? ""), fields)
        default: throw choice!.error("type", "auto, any, tool or none")
        }
        generation.parallelToolCalls = try choice?.flag("disable_parallel_tool_use") != true
        prompt.thinking = options.thinking
        if let thinking = try fields.object("thinking") {
            switch try thinking.string("type") {
            case "enabled", "adaptive":
                prompt.thinking = true
                generation.thinkingBudget = try thinking.integer("budget_tokens", in: 1...(.max))
            case "disabled": prompt.thinking = false
            default: throw thinking.error("type", "enabled, adaptive or disabled")
            }
        }
        try fields.refuse("mcp_servers", because: "this server asks no others")
        try fields.refuse("container", because: "this server runs no code")
    }

    private static func system(_ fields: RequestFields) throws(WireError) -> [ChatMessage] {
        switch fields["system"] {
        case nil: return []
        case .string(let text)?: return [ChatMessage(.system, text)]
        case .array(let blocks)?:
            let texts = blocks.compactMap { $0["text"]?.string }
            guard texts.count == blocks.count else { throw fields.error("system", "a text, or blocks of text") }
            return [ChatMessage(.system, texts.joined(separator: "\n"))]
        default: throw fields.error("system", "a text, or blocks of text")
        }
    }

    /// Converts one of Anthropic's messages: tool results become separate messages before its other content.
    private static func messages(_ fields: RequestFields) throws -> [ChatMessage] {
        guard let role = ["user": ChatMessage.Role.user, "assistant": .assistant][try fields.string("role") ?? ""]
        else {
            throw fields.error("role", "user or assistant")
        }
        guard let content = fields["content"] else { throw fields.error("content", "a text or an array of blocks") }
        if let text = content.string { return [ChatMessage(role, text)] }
        var results: [ChatMessage] = []
        var message = ChatMessage(role)
        var parts: [ContentPart] = []
        for (index, block) in (try fields.array("content") ?? []).enumerated() {
            let block = RequestFields(value: block, prefix: "\(fields.prefix)content[\(index)].")
            switch try block.string("type") {
            case "tool_result" where role == .user:
                var result = ChatMessage(.tool)
                result.toolCallId = try block.string("tool_use_id")
                result.content = try Self.result(block)
                results.append(result)
            case "tool_use" where role == .assistant:
                message.toolCalls.append(
                    ChatMessage.ToolCall(
                        id: try block.string("id"), name: try block.string("name") ?? "",
                        arguments: block["input"] ?? .null))
            case "thinking" where role == .assistant:
                message.reasoning = (message.reasoning ?? "") + (try block.string("thinking") ?? "")
            case "redacted_thinking": break
            default: parts.append(try Self.part(block))
            }
        }
        if !parts.isEmpty { message.content = .parts(parts) }
        let saysNothing = parts.isEmpty && message.toolCalls.isEmpty && message.reasoning == nil
        return results + (saysNothing && !results.isEmpty ? [] : [message])
    }

    private static func part(_ block: RequestFields) throws -> ContentPart {
        switch try block.string("type") {
        case "text": return .text(try block.string("text") ?? "")
        case "image":
            let source = try block.object("source")
            switch try source?.string("type") {
            case "base64":
                let type = try source?.string("media_type") ?? "image/png"
                return .image("data:\(type);base64,\(try source?.string("data") ?? "")")
            case "url": return .image(try source?.string("url") ?? "")
            case "file": return .image(try source?.string("file_id") ?? "")
            default: throw block.error("source", "an object of the type base64, url or file")
            }
        default: throw block.error("type", "text, image, tool_use, tool_result or thinking")
        }
    }

    private static func result(_ block: RequestFields) throws -> ChatMessage.Content? {
        guard let content = block["content"] else { return .text("") }
        if let text = content.string { return .text(text) }
        let parts = try (block.array("content") ?? []).enumerated().map { index, part in
            try Self.part(RequestFields(value: part, prefix: "\(block.prefix)content[\(index)]."))
        }
        return .parts(parts)
    }

    /// A tool declaration in OpenAI's form.
    private static func tool(_ index: Int, _ tool: JSONValue) throws(WireError) -> JSONValue {
        let fields = RequestFields(value: tool, prefix: "tools[\(index)].")
        guard let name = try fields.string("name") else { throw fields.error("name", "the name of a function") }
        guard let schema = fields["input_schema"] else {
            throw fields.error(
                "input_schema", "the schema of a function's arguments; the server has no tools of its own")
        }
        var members: [JSONValue.Member] = [.init("name", .string(name))]
        if let description = try fields.string("description") {
            members.append(.init("description", .string(description)))
        }
        return ["type": "function", "function": .object(members + [.init("parameters", schema)])]
    }
}

/// Writes Anthropic's messages, whole or as events.
struct MessageWriter: AnswerWriter {
    private let model: String
    private let tokenizer: Tokenizer
    private let stops: [String]
    private let stopTokens: Set<Int>
    private let promptTokens: Int
    private let id = "msg_\(WireID.random)"
    private var choice = ChoiceRecord()
    /// Number of content blocks begun.
    private var blocks = 0
    private var openKind: TokenKind?

    init(_ model: String, _ tokenizer: Tokenizer, _ prompt: Prompt, _ stops: [String], _ stopTokens: Set<Int>) {
        (self.model, self.tokenizer, promptTokens) = (model, tokenizer, prompt.tokens.count)
        (self.stops, self.stopTokens) = (stops, stopTokens)
    }

    mutating func begin() -> [ServerSentEvent] {
        let usage: JSONValue = ["input_tokens": .integer(promptTokens), "output_tokens": 0]
        return [event("message_start", [.init("message", message([], stop: (nil, nil), usage))])]
    }

    mutating func write(_ token: GeneratedToken, of _: Int) -> [ServerSentEvent] {
        choice.append(token)
        var events: [ServerSentEvent] = []
        if !token.text.isEmpty, token.kind == .answer || token.kind == .thought {
            let isThought = token.kind == .thought
            if openKind != token.kind {
                events += endBlock()
                openKind = token.kind
                events += beginBlock(
                    isThought ? ["type": "thinking", "thinking": "", "signature": ""] : ["type": "text", "text": ""])
            }
            events.append(
                delta(
                    isThought
                        ? ["type": "thinking_delta", "thinking": .string(token.text)]
                        : ["type": "text_delta", "text": .string(token.text)]))
        }
        guard token.finish != nil else { return events }
        events += endBlock()
        for call in choice.toolCalls {
            events += beginBlock(
                ["type": "tool_use", "id": .string(call.id ?? ""), "name": .string(call.name), "input": [:]])
            events.append(delta(["type": "input_json_delta", "partial_json": .string(call.argumentsText)]))
            openKind = .toolCall
            events += endBlock()
        }
        return events
    }

    mutating func end() -> [ServerSentEvent] {
        let (reason, sequence) = stop
        return [
            event(
                "message_delta",
                [.init("delta", ["stop_reason": reason, "stop_sequence": sequence]), .init("usage", usage)]),
            event("message_stop", []),
        ]
    }

    func failure(_ error: WireError) -> [ServerSentEvent] {
        [ServerSentEvent(error.anthropicObject, name: "error")]
    }

    var object: JSONValue {
        var content: [JSONValue] = []
        if !choice.answer.thoughts.isEmpty {
            content.append(["type": "thinking", "thinking": .string(choice.answer.thoughts), "signature": ""])
        }
        if !choice.answer.text.isEmpty || choice.toolCalls.isEmpty {
            content.append(["type": "text", "text": .string(choice.answer.text)])
        }
        content += choice.toolCalls.map {
            [
                "type": "tool_use", "id": .string($0.id ?? ""), "name": .string($0.name),
                "input": $0.arguments == .null ? [:] : $0.arguments,
            ]
        }
        return message(content, stop: stop, usage)
    }

    private func message(_ content: [JSONValue], stop: (JSONValue, JSONValue), _ usage: JSONValue) -> JSONValue {
        [
            "id": .string(id), "type": "message", "role": "assistant", "model": .string(model),
            "content": .array(content), "stop_reason": stop.0, "stop_sequence": stop.1, "usage": usage,
        ]
    }

    /// Cached prompt tokens are counted separately.
    private var usage: JSONValue {
        [
            "input_tokens": .integer(choice.promptTokens - choice.cachedTokens),
            "cache_read_input_tokens": .integer(choice.cachedTokens), "cache_creation_input_tokens": 0,
            "output_tokens": .integer(choice.answer.tokens.count),
        ]
    }

    private var stop: (JSONValue, JSONValue) {
        guard choice.toolCalls.isEmpty else { return ("tool_use", nil) }
        guard choice.answer.finish?.reason == .stop else { return ("max_tokens", nil) }
        guard let last = choice.answer.tokens.last, !stopTokens.contains(last), !stops.isEmpty else {
            return ("end_turn", nil)
        }
        // The ids extend beyond the end of the cut text.
        let whole = tokenizer.decode(choice.textTokens)
        let rest = whole.dropFirst(choice.answer.text.count)
        return ("stop_sequence", stops.first { rest.hasPrefix($0) }.map(JSONValue.string) ?? nil)
    }

    private mutating func beginBlock(_ block: JSONValue) -> [ServerSentEvent] {
        blocks += 1
        return [event("content_block_start", [.init("index", .integer(blocks - 1)), .init("content_block", block)])]
    }

    private mutating func endBlock() -> [ServerSentEvent] {
        guard openKind != nil else { return [] }
        openKind = nil
        return [event("content_block_stop", [.init("index", .integer(blocks - 1))])]
    }

    private func delta(_ delta: JSONValue) -> ServerSentEvent {
        event("content_block_delta", [.init("index", .integer(blocks - 1)), .init("delta", delta)])
    }

    private func event(_ type: String, _ members: [JSONValue.Member]) -> ServerSentEvent {
        ServerSentEvent(.object([.init("type", .string(type))] + members), name: type)
    }
}

extension WireError {
    var anthropicObject: JSONValue {
        let type =
            switch status.code {
            case 401: "authentication_error"
            case 403: "permission_error"
            case 404: "not_found_error"
            case 413: "request_too_large"
            case 429: "rate_limit_error"
            case 500...: "api_error"
            default: "invalid_request_error"
            }
        return ["type": "error", "error": ["type": .string(type), "message": .string(message)]]
    }
}
