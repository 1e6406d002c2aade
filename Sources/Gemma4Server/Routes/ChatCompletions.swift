import Foundation
import Gemma4
import Gemma4Kit
import Generation
import Hummingbird
import Tokenization

extension ModelServer {
    /// `POST /v1/chat/completions`.
    ///
    /// Source: https://platform.openai.com/docs/api-reference/chat; `reasoning_content` and
    /// `mm_processor_kwargs` as in vLLM.
    @Sendable func chatCompletions(_ request: Request, context: ServerContext) async throws -> Response {
        var fields = RequestFields(value: try await json(request))
        if let conversation = fields["messages"] {
            fields["messages"] = try namingMedia(conversation, context)
        }
        let asked = try AnswerRequest(
            chat: fields, options, sampling: SamplingOptions(pipeline.generationConfiguration))
        let stream = try fields.object("stream_options")
        let style = ChatCompletionWriter.Style(
            model: options.modelName, showsLogprobs: try fields.flag("logprobs") ?? false,
            showsUsage: try stream?.flag("include_usage") ?? false)
        return try await answer(asked, context) { [pipeline] prompt in
            ChatCompletionWriter(style, pipeline.tokenizer, choices: asked.count)
        }
    }
}

extension AnswerRequest {
    init(chat fields: RequestFields, _ options: ServerOptions, sampling: SamplingOptions) throws {
        try self.init(fields, options, sampling: sampling, maxTokens: ["max_tokens", "max_completion_tokens"])
        guard let conversation = fields["messages"] else { throw fields.error("messages", "an array of messages") }
        messages = try ChatMessage.parse(conversation.withoutUnknownKeys)
        guard !messages.isEmpty else { throw fields.error("messages", "at least one message") }
        try readTools(fields)
        try readFormat(try fields.object("response_format"))
        try readEffort(fields, "reasoning_effort", options)
        if let template = try fields.object("chat_template_kwargs") {
            prompt.thinking = try template.flag("enable_thinking") ?? prompt.thinking
        }
        if let processor = try fields.object("mm_processor_kwargs") {
            prompt.imageTokens = try processor.softTokenBudget()
        }
        prompt.continueFinalMessage = try fields.flag("continue_final_message")
        if let count = try fields.integer("top_logprobs", in: 0...20), count > 0 {
            guard try fields.flag("logprobs") == true else {
                throw fields.error("logprobs", "true beside top_logprobs")
            }
            generation.topLogprobs = count
        }
        try fields.refuse("audio", because: "the model does not speak")
        try fields.refuse("modalities", except: ["text"], because: "the model writes text alone")
        try fields.refuse("web_search_options", because: "this server searches nothing")
        try fields.refuse("store", except: false, because: "this server keeps no answers")
        try fields.refuse("verbosity", except: "medium", because: "say in the prompt how long the answer should be")
    }
}

extension JSONValue {
    /// Messages without keys that neither the model nor this server uses, such as `refusal` and `cache_control`.
    fileprivate var withoutUnknownKeys: JSONValue {
        guard case .array(let messages) = self else { return self }
        return .array(
            messages.map { message in
                message.keeping([
                    "role", "content", "images", "reasoning", "reasoning_content", "tool_calls", "tool_call_id", "name",
                ]) { key, value in
                    guard key == "content", case .array(let parts) = value else { return value }
                    return .array(
                        parts.map { part in
                            part.keeping(["type", "text", "image_url", "input_audio", "image", "audio", "video", "url"])
                            { $1 }
                        })
                }
            })
    }

    fileprivate func keeping(_ keys: Set<String>, _ change: (String, JSONValue) -> JSONValue) -> JSONValue {
        guard case .object(let members) = self else { return self }
        return .object(members.filter { keys.contains($0.key) }.map { Member($0.key, change($0.key, $0.value)) })
    }
}

/// Writes OpenAI's `chat.completion` and `chat.completion.chunk`.
struct ChatCompletionWriter: AnswerWriter {
    struct Style: Sendable {
        let model: String
        var showsLogprobs = false
        /// Whether a stream ends with the usage.
        var showsUsage = false
    }

    private let style: Style
    private let tokens: TokenTexts
    private let id = "chatcmpl-\(WireID.random)"
    private let created = Int(Date().timeIntervalSince1970)
    private var choices: [ChoiceRecord]

    init(_ style: Style, _ tokenizer: Tokenizer, choices count: Int) {
        (self.style, tokens) = (style, TokenTexts(tokenizer))
        choices = Array(repeating: ChoiceRecord(), count: count)
    }

    mutating func begin() -> [ServerSentEvent] {
        choices.indices.map { chunk($0, ["role": "assistant", "content": ""]) }
    }

    mutating func write(_ token: GeneratedToken, of choice: Int) -> [ServerSentEvent] {
        choices[choice].append(token)
        var logprobs: JSONValue?
        if style.showsLogprobs, token.kind == .answer {
            let entry = tokens.logprob(token)
            choices[choice].logprobs.append(entry)
            logprobs = ["content": [entry], "refusal": nil]
        }
        var events: [ServerSentEvent] = []
        switch token.kind {
        case .answer where !token.text.isEmpty || logprobs != nil:
            events.append(chunk(choice, ["content": .string(token.text)], logprobs))
        case .thought where !token.text.isEmpty:
            events.append(chunk(choice, ["reasoning_content": .string(token.text)]))
        default: break
        }
        guard token.finish != nil else { return events }
        let calls = choices[choice].toolCalls
        if !calls.isEmpty {
            let indexed = calls.enumerated().map { index, call in call.object(index: index) }
            events.append(chunk(choice, ["tool_calls": .array(indexed)]))
        }
        events.append(chunk(choice, [:], finish: choices[choice].finishReason))
        return events
    }

    mutating func end() -> [ServerSentEvent] {
        guard style.showsUsage else { return [.done] }
        return [
            ServerSentEvent(envelope("chat.completion.chunk", [.init("choices", []), .init("usage", usage)])), .done,
        ]
    }

    func failure(_ error: WireError) -> [ServerSentEvent] { [ServerSentEvent(error.object), .done] }

    var object: JSONValue {
        let choices = choices.enumerated().map { index, choice -> JSONValue in
            var message: [JSONValue.Member] = [.init("role", "assistant")]
            let calls = choice.toolCalls
            message.append(
                .init("content", choice.answer.text.isEmpty && !calls.isEmpty ? nil : .string(choice.answer.text)))
            message.append(.init("refusal", nil))
            if !choice.answer.thoughts.isEmpty {
                message.append(.init("reasoning_content", .string(choice.answer.thoughts)))
            }
            if !calls.isEmpty { message.append(.init("tool_calls", .array(calls.map { $0.object() }))) }
            return [
                "index": .integer(index), "message": .object(message),
                "logprobs": style.showsLogprobs ? ["content": .array(choice.logprobs), "refusal": nil] : nil,
                "finish_reason": .string(choice.finishReason),
            ]
        }
        return envelope("chat.completion", [.init("choices", .array(choices)), .init("usage", usage)])
    }

    private var usage: JSONValue { ChoiceRecord.usage(choices) }

    private func envelope(_ object: String, _ members: [JSONValue.Member]) -> JSONValue {
        .object(
            [
                .init("id", .string(id)), .init("object", .string(object)), .init("created", .integer(created)),
                .init("model", .string(style.model)),
            ] + members)
    }

    private func chunk(
        _ choice: Int, _ delta: JSONValue, _ logprobs: JSONValue? = nil, finish: String? = nil
    ) -> ServerSentEvent {
        let object: JSONValue = [
            "index": .integer(choice), "delta": delta, "logprobs": logprobs ?? .null,
            "finish_reason": finish.map(JSONValue.string) ?? nil,
        ]
        var members = [JSONValue.Member("choices", [object])]
        if style.showsUsage { members.append(.init("usage", nil)) }
        return ServerSentEvent(envelope("chat.completion.chunk", members))
    }
}
