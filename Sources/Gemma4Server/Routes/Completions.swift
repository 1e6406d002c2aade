import Foundation
import Gemma4Kit
import Generation
import Hummingbird
import Tokenization

extension ModelServer {
    /// `POST /v1/completions`: continues plain text, after `<bos>`, or ids.
    ///
    /// Source: https://platform.openai.com/docs/api-reference/completions.
    @Sendable func completions(_ request: Request, context: ServerContext) async throws -> Response {
        let fields = RequestFields(value: try await json(request))
        var asked = try AnswerRequest(
            fields, options, sampling: SamplingOptions(pipeline.generationConfiguration), maxTokens: ["max_tokens"])
        try fields.refuse("suffix", because: "the model goes on after a text, it fills no gaps")
        try fields.refuse("echo", except: false, because: "the prompt is not given back")
        if let best = try fields.integer("best_of", in: 1...128), best != asked.count {
            throw fields.error("best_of", "the number of n, all of which are given back")
        }
        let logprobs = try fields.integer("logprobs", in: 0...20)
        asked.generation.topLogprobs = logprobs ?? 0
        asked.generation.yield(to: context.client)
        let prompts = try Self.prompts(fields, pipeline)
        for prompt in prompts { try check(prompt) }
        let places = try admission.enter(asked.count * prompts.count, of: context.client)
        let streams = prompts.flatMap { pipeline.generate($0, count: asked.count, options: asked.generation) }
        let style = CompletionWriter.Style(
            model: options.modelName, perPrompt: asked.count, showsLogprobs: logprobs != nil,
            showsUsage: try fields.object("stream_options")?.flag("include_usage") ?? false)
        return try await answer(
            streams, asked, places, context, CompletionWriter(style, pipeline.tokenizer, choices: streams.count))
    }

    /// One text, one list of ids, or several of either.
    private static func prompts(_ fields: RequestFields, _ pipeline: Gemma4Pipeline) throws -> [Prompt] {
        func prompt(_ value: JSONValue) throws -> Prompt {
            if let ids = value.tokenIds { return Prompt(tokens: ids) }
            guard let text = value.string else {
                throw fields.error("prompt", "a text, ids of tokens, or an array of either")
            }
            return try pipeline.prompt(text: text)
        }
        guard let value = fields["prompt"] else { throw fields.error("prompt", "a text") }
        guard case .array(let values) = value, value.tokenIds == nil, !values.isEmpty else {
            return [try prompt(value)]
        }
        return try values.map(prompt)
    }
}

/// Writes OpenAI's `text_completion`, whole or streamed.
struct CompletionWriter: AnswerWriter {
    struct Style: Sendable {
        let model: String
        /// Number of answers to each prompt.
        let perPrompt: Int
        let showsLogprobs, showsUsage: Bool
    }

    private let style: Style
    private let tokens: TokenTexts
    private let id = "cmpl-\(WireID.random)"
    private let created = Int(Date().timeIntervalSince1970)
    private var choices: [ChoiceRecord]
    private var logprobs: [TextLogprobs]

    init(_ style: Style, _ tokenizer: Tokenizer, choices count: Int) {
        (self.style, tokens) = (style, TokenTexts(tokenizer))
        choices = Array(repeating: ChoiceRecord(), count: count)
        logprobs = Array(repeating: TextLogprobs(), count: count)
    }

    /// The log-probabilities of OpenAI's older API.
    private struct TextLogprobs: Sendable {
        var texts, values, tops, offsets: [JSONValue]

        init() { (texts, values, tops, offsets) = ([], [], [], []) }

        mutating func append(_ token: GeneratedToken, _ tokens: TokenTexts, offset: Int) {
            func text(_ id: Int) -> String { String(decoding: tokens.bytes(id), as: UTF8.self) }
            texts.append(.string(text(token.id)))
            values.append(.number(max(Double(token.logprob), -9999)))
            // Byte tokens may have the same text: the most likely one is kept.
            var seen = Set<String>()
            tops.append(
                .object(
                    token.topLogprobs.filter { seen.insert(text($0.id)).inserted }.map {
                        .init(text($0.id), .number(max(Double($0.logprob), -9999)))
                    }))
            offsets.append(.integer(offset))
        }

        var object: JSONValue {
            [
                "tokens": .array(texts), "token_logprobs": .array(values), "top_logprobs": .array(tops),
                "text_offset": .array(offsets),
            ]
        }
    }

    mutating func begin() -> [ServerSentEvent] { [] }

    mutating func write(_ token: GeneratedToken, of choice: Int) -> [ServerSentEvent] {
        let offset = choices[choice].answer.text.count
        choices[choice].append(token)
        var shown: JSONValue = .null
        if style.showsLogprobs, token.kind == .answer {
            var one = TextLogprobs()
            one.append(token, tokens, offset: offset)
            logprobs[choice].append(token, tokens, offset: offset)
            shown = one.object
        }
        let text = token.kind == .answer ? token.text : ""
        guard !text.isEmpty || token.finish != nil || shown != .null else { return [] }
        let reason = token.finish.map { _ in JSONValue.string(choices[choice].finishReason) } ?? .null
        return [ServerSentEvent(envelope([object(choice, text, shown, reason)], usage: nil))]
    }

    mutating func end() -> [ServerSentEvent] {
        style.showsUsage ? [ServerSentEvent(envelope([], usage: usage)), .done] : [.done]
    }

    func failure(_ error: WireError) -> [ServerSentEvent] { [ServerSentEvent(error.object), .done] }

    var object: JSONValue {
        envelope(
            choices.indices.map {
                object(
                    $0, choices[$0].answer.text, style.showsLogprobs ? logprobs[$0].object : .null,
                    .string(choices[$0].finishReason))
            }, usage: usage)
    }

    private func object(_ choice: Int, _ text: String, _ logprobs: JSONValue, _ reason: JSONValue) -> JSONValue {
        ["index": .integer(choice), "text": .string(text), "logprobs": logprobs, "finish_reason": reason]
    }

    /// The sum over all prompts.
    private var usage: JSONValue {
        let firsts = stride(from: 0, to: choices.count, by: style.perPrompt).map { choices[$0] }
        let prompt = firsts.reduce(0) { $0 + $1.promptTokens }
        let completion = choices.reduce(0) { $0 + $1.answer.tokens.count }
        return [
            "prompt_tokens": .integer(prompt), "completion_tokens": .integer(completion),
            "total_tokens": .integer(prompt + completion),
            "prompt_tokens_details": ["cached_tokens": .integer(firsts.reduce(0) { $0 + $1.cachedTokens })],
        ]
    }

    private func envelope(_ choices: [JSONValue], usage: JSONValue?) -> JSONValue {
        .object(
            [
                .init("id", .string(id)), .init("object", "text_completion"), .init("created", .integer(created)),
                .init("model", .string(style.model)), .init("choices", .array(choices)),
            ] + (usage.map { [.init("usage", $0)] } ?? []))
    }
}
