import Foundation
import Gemma4

/// What the model thinks of given tokens.
public struct Score: Sendable {
    public let tokens: [Int]
    /// Natural logarithm of each token's probability given all before it; nil for the first.
    public let logprobs: [Float?]

    /// e to the mean of the negative log-probabilities; nil if there are none.
    public var perplexity: Double? {
        let known = logprobs.compactMap { $0.map(Double.init) }
        return known.isEmpty ? nil : exp(-known.reduce(0, +) / Double(known.count))
    }
}

extension Gemma4Pipeline {
    /// Scores every token of a prompt.
    ///
    /// - Throws: `ModelInputError`, `CancellationError`.
    public func score(_ prompt: Prompt) async throws -> Score { try await Scorer(self).score(prompt) }
}

/// Keeps the forward passes off Swift's own threads.
private actor Scorer {
    private let pipeline: Gemma4Pipeline
    private let executor = ForwardExecutor()

    /// Rows whose logits are held at once: 64 MB at the published vocabulary.
    private static let rowsAtOnce = 64

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(_ pipeline: Gemma4Pipeline) { self.pipeline = pipeline }

    func score(_ prompt: Prompt) throws -> Score {
        let (model, tokens) = (pipeline.model, prompt.tokens)
        let cache = pipeline.makeCache()
        var logprobs: [Float?] = tokens.isEmpty ? [] : [nil]
        var softUsed = 0
        for chunk in try model.chunks(of: tokens, length: cache.chunkLength) {
            try Task.checkCancellation()
            let part = Array(tokens[chunk])
            let softCount = part.count(where: model.isPlaceholder)
            let hidden = try model([
                .init(
                    tokens: part, softTokens: softCount > 0 ? prompt.softTokens?[softUsed..<softUsed + softCount] : nil,
                    wantedRows: Array(part.indices), cache: cache)
            ])[0]
            softUsed += softCount
            for first in stride(from: 0, to: part.count, by: Self.rowsAtOnce) {
                let rows = first..<min(part.count, first + Self.rowsAtOnce)
                // Row r's logits tell what follows it.
                let scored = rows.filter { chunk.lowerBound + $0 + 1 < tokens.count }
                guard !scored.isEmpty else { continue }
                let logits = model.logits(hidden[first..<first + scored.count])
                let found = logits.logProbabilities(of: scored.map { tokens[chunk.lowerBound + $0 + 1] })
                guard found.allSatisfy(\.isFinite) else { throw pipeline.notFinite() }
                logprobs += found
            }
        }
        return Score(tokens: tokens, logprobs: logprobs)
    }
}
