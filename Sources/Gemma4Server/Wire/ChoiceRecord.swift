import Gemma4Kit
import Generation
import Tokenization

/// One of the answers to a request, so far.
struct ChoiceRecord: Sendable {
    private(set) var answer = Answer()
    private(set) var thoughtTokens = 0
    /// The ids of its text.
    private(set) var textTokens: [Int] = []
    /// The calls of the finished answer; each has an id.
    private(set) var toolCalls: [ChatMessage.ToolCall] = []
    /// The log-probabilities of the text's tokens in OpenAI's form.
    var logprobs: [JSONValue] = []

    mutating func append(_ token: GeneratedToken) {
        answer.append(token)
        if token.kind == .thought { thoughtTokens += 1 }
        if token.kind == .answer { textTokens.append(token.id) }
        guard let finish = token.finish else { return }
        toolCalls = finish.toolCalls.map { call in
            var call = call
            call.id = call.id ?? "call_\(WireID.random)"
            return call
        }
    }

    var promptTokens: Int { answer.finish?.promptTokens.count ?? 0 }
    var cachedTokens: Int { answer.finish?.statistics.cachedTokens ?? 0 }

    /// OpenAI's finish reason. It has none for an answer stopped because it repeated itself, which is reported as
    /// truncated.
    var finishReason: String {
        if !toolCalls.isEmpty { return "tool_calls" }
        return answer.finish?.reason == .stop ? "stop" : "length"
    }

    /// Token usage of several answers to one prompt.
    static func usage(_ choices: [ChoiceRecord]) -> JSONValue {
        let prompt = choices.first?.promptTokens ?? 0
        let completion = choices.reduce(0) { $0 + $1.answer.tokens.count }
        return [
            "prompt_tokens": .integer(prompt), "completion_tokens": .integer(completion),
            "total_tokens": .integer(prompt + completion),
            "prompt_tokens_details": ["cached_tokens": .integer(choices.first?.cachedTokens ?? 0)],
            "completion_tokens_details": [
                "reasoning_tokens": .integer(choices.reduce(0) { $0 + $1.thoughtTokens })
            ],
        ]
    }
}

extension ChatMessage.ToolCall {
    /// The arguments serialized as JSON.
    var argumentsText: String {
        switch arguments {
        case .null: "{}"
        case .string(let text): text
        default: arguments.json
        }
    }

    /// - Parameter index: its index among the calls of a stream.
    func object(index: Int? = nil) -> JSONValue {
        .object(
            (index.map { [.init("index", .integer($0))] } ?? []) + [
                .init("id", .string(id ?? "")), .init("type", "function"),
                .init("function", ["name": .string(name), "arguments": .string(argumentsText)]),
            ])
    }
}

/// Single tokens in the form of OpenAI's APIs.
struct TokenTexts: Sendable {
    let tokenizer: Tokenizer

    init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

    func bytes(_ id: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        tokenizer.appendBytes(of: id, to: &bytes)
        return bytes
    }

    /// A token with its log-probability, and the most likely alternatives.
    func logprob(_ token: GeneratedToken) -> JSONValue {
        guard case .object(let members) = entry(token.id, token.logprob) else { return .null }
        let top = token.topLogprobs.map { entry($0.id, $0.logprob) }
        return .object(members + [.init("top_logprobs", .array(top))])
    }

    private func entry(_ id: Int, _ logprob: Float) -> JSONValue {
        let bytes = bytes(id)
        return [
            "token": .string(String(decoding: bytes, as: UTF8.self)),
            // JSON has no infinity; OpenAI's minimum.
            "logprob": .number(max(Double(logprob), -9999)),
            "bytes": .array(bytes.map { .integer(Int($0)) }),
        ]
    }
}

enum WireID {
    /// 24 hexadecimal digits.
    static var random: String {
        String((0..<24).map { _ in "0123456789abcdef".randomElement()! })
    }
}
