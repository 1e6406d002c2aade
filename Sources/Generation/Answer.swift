import Tokenization

/// One generated token.
public struct GeneratedToken: Sendable {
    /// The token id.
    public let id: Int
    /// Natural logarithm of its probability under the model's own logits: after the soft cap, before suppression,
    /// penalties, temperature and truncation. 0 if the token was forced, without running the model.
    public let logprob: Float
    /// The likeliest tokens at this position and their log-probabilities, likeliest first;
    /// `GenerationOptions.topLogprobs` of them.
    public let topLogprobs: [(id: Int, logprob: Float)]
    /// What its text belongs to: answer, thought, tool call, or control token.
    public let kind: TokenKind
    /// The text that this token completes: whole characters only, so it may be empty.
    public let text: String
    /// Set on the last token.
    public let finish: Finish?

    /// The same without `finish`, for several answers in one stream of which another one ends last.
    package var withoutFinish: GeneratedToken {
        GeneratedToken(id: id, logprob: logprob, topLogprobs: topLogprobs, kind: kind, text: text, finish: nil)
    }

    /// How an answer ended.
    public struct Finish: Sendable {
        /// Why it ended.
        public let reason: FinishReason
        /// The tokens of the answer that only repeat the preceding ones, if the loop guard ended it.
        public let repetition: Range<Int>?
        /// Tokens and seconds.
        public let statistics: GenerationStatistics
        /// The token ids of the prompt, after expansion of media.
        public let promptTokens: [Int]
        /// The tool calls of the answer.
        public let toolCalls: [ChatMessage.ToolCall]
        /// The text of a truncated tool call; nil if there is none.
        public let cutToolCall: String?
    }
}

/// Why an answer ended.
public enum FinishReason: String, Sendable, Codable {
    /// The model generated a stop token, which is the last one; a stop string occurred; or the format or tool choice
    /// allows no more.
    case stop
    /// The limit on tokens, or the end of the context, was reached.
    case length
    /// The answer was repeating itself.
    case repetition
}

/// The tokens of one answer as they are generated. Leaving the loop ends the answer.
public typealias TokenStream = ResultStream<GeneratedToken>

extension ResultStream where Element == GeneratedToken {
    /// Waits for the whole answer.
    ///
    /// - Throws: errors of the stream; `CancellationError` if the task is cancelled before the answer is complete.
    public func answer() async throws -> Answer {
        var answer = Answer()
        for try await token in self { answer.append(token) }
        guard answer.finish != nil else { throw CancellationError() }
        return answer
    }
}

/// A complete answer.
public struct Answer: Sendable {
    /// The generated ids, including the stop token if one ended the answer.
    public private(set) var tokens: [Int] = []
    /// The log-probability of each token.
    public private(set) var logprobs: [Float] = []
    /// For each token the likeliest tokens at its position; empty if `topLogprobs` is 0.
    public private(set) var topLogprobs: [[(id: Int, logprob: Float)]] = []
    /// The text of the answer, without thoughts and tool calls.
    public private(set) var text = ""
    /// The text of the thoughts.
    public private(set) var thoughts = ""
    /// How it ended; nil while it is incomplete.
    public private(set) var finish: GeneratedToken.Finish?
    /// UTF-8 length of `text` after each token.
    private var textLengths: [Int] = []

    /// An answer without tokens.
    public init() {}

    /// The answer without the repetition that ended it (the repeated part is kept once); the whole text if none did.
    public var textWithoutRepetition: String {
        guard let repetition = finish?.repetition, repetition.lowerBound > 0 else { return text }
        return String(decoding: text.utf8.prefix(textLengths[repetition.lowerBound - 1]), as: UTF8.self)
    }

    /// The answer as a message of the conversation.
    public var message: ChatMessage {
        var message = ChatMessage(.assistant, text)
        message.reasoning = thoughts.isEmpty ? nil : thoughts
        message.toolCalls = finish?.toolCalls ?? []
        return message
    }

    /// Adds the next token of a stream.
    public mutating func append(_ token: GeneratedToken) {
        tokens.append(token.id)
        logprobs.append(token.logprob)
        topLogprobs.append(token.topLogprobs)
        switch token.kind {
        case .answer: text += token.text
        case .thought: thoughts += token.text
        case .toolCall, .control: break
        }
        textLengths.append(text.utf8.count)
        finish = token.finish ?? finish
    }
}
