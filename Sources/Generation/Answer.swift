import Tokenization

/// One generated token.
public struct GeneratedToken: Sendable {
    public let id: Int
    /// Natural logarithm of its probability under the model's own logits: after the soft cap, before suppression,
    /// penalties, temperature and truncation. 0 where a format leaves no choice and the model was not asked.
    public let logprob: Float
    /// The likeliest tokens at this place with their log-probabilities, likeliest first; as many as were asked for.
    public let topLogprobs: [(id: Int, logprob: Float)]
    /// Answer, thought, tool call, or control token: what its text belongs to.
    public let kind: TokenKind
    /// The text that this token completes: whole characters only, so at times empty.
    public let text: String
    /// On the last token.
    public let finish: Finish?

    /// The same as one of several answers, of which another is the last.
    package var withoutFinish: GeneratedToken {
        GeneratedToken(id: id, logprob: logprob, topLogprobs: topLogprobs, kind: kind, text: text, finish: nil)
    }

    public struct Finish: Sendable {
        public let reason: FinishReason
        /// The tokens of the answer that only repeat what stands before them, where that ended it.
        public let repetition: Range<Int>?
        public let statistics: GenerationStatistics
        /// The ids that were answered, after expansion of media.
        public let promptTokens: [Int]
        /// The functions that the answer calls.
        public let toolCalls: [ChatMessage.ToolCall]
        /// The text of a call that was cut off; nil if there is none.
        public let cutToolCall: String?
    }
}

/// Why an answer ended.
public enum FinishReason: String, Sendable, Codable {
    /// The model ended it with a stop token, which is the last one, or it came to a stop string.
    case stop
    /// As many tokens as were asked for, or as the context holds.
    case length
    /// It went round in a circle.
    case repetition
}

/// The tokens of one answer as they come. Leaving the loop ends the answer.
public typealias TokenStream = ResultStream<GeneratedToken>

extension ResultStream where Element == GeneratedToken {
    /// Waits for the whole answer.
    ///
    /// - Throws: also `CancellationError`, if the task is cancelled before the answer is over.
    public func answer() async throws -> Answer {
        var answer = Answer()
        for try await token in self { answer.append(token) }
        guard answer.finish != nil else { throw CancellationError() }
        return answer
    }
}

/// A whole answer.
public struct Answer: Sendable {
    /// The generated ids, the stop token included when one ended it.
    public private(set) var tokens: [Int] = []
    public private(set) var logprobs: [Float] = []
    /// For each token the likeliest at its place; empty unless they were asked for.
    public private(set) var topLogprobs: [[(id: Int, logprob: Float)]] = []
    public private(set) var text = ""
    public private(set) var thoughts = ""
    public private(set) var finish: GeneratedToken.Finish?
    /// Bytes of `text` after each token.
    private var textLengths: [Int] = []

    public init() {}

    /// The answer up to where it begins to repeat itself, what is repeated included once; all of it if it does not.
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
