import Foundation
import Gemma4
import Generation
import Synchronization
import Tensors

/// The log-probabilities of given tokens under the model.
public struct Score: Sendable {
    /// The token ids of the text.
    public let tokens: [Int]
    /// Natural logarithm of each token's probability given all previous ones; nil for the first.
    public let logprobs: [Float?]

    /// The exponential of the mean negative log-probability; nil if there are no log-probabilities.
    public var perplexity: Double? {
        let known = logprobs.compactMap { $0.map(Double.init) }
        return known.isEmpty ? nil : exp(-known.reduce(0, +) / Double(known.count))
    }
}

extension Gemma4Pipeline {
    /// Scores every token of a prompt.
    ///
    /// - Throws: `ModelInputError`, `CancellationError`.
    public func score(_ prompt: Prompt) async throws -> Score {
        guard !prompt.tokens.isEmpty else { return Score(tokens: [], logprobs: []) }
        let logprobs = Mutex<[Float?]>([nil])
        let tokens = prompt.tokens
        try await engine.logits(prompt) { positions, logits in
            // Each row's logits predict the next token; the last row has none.
            let scored = positions.prefix { $0 + 1 < tokens.count }
            guard !scored.isEmpty else { return }
            let found = logits[0..<scored.count].logProbabilities(of: scored.map { tokens[$0 + 1] })
            guard found.allSatisfy(\.isFinite) else { throw ModelInputError(.notFinite) }
            logprobs.withLock { $0 += found }
        }
        return Score(tokens: tokens, logprobs: logprobs.withLock { $0 })
    }
}
