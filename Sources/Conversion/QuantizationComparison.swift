import Foundation
import Generation
import Synchronization
import Tensors

/// The cost of fewer bits: compares a quantized model with the original.
package struct QuantizationComparison: Sendable, CustomStringConvertible {
    /// Fraction of words that may differ before speech recognition counts as broken.
    package static let tolerableWordDifference = 0.05

    /// Positions compared, Σ KL(original ‖ quantized) in nats, and how often both agree on the most likely token.
    package private(set) var positions = 0
    private var divergence = 0.0
    private var agreements = 0
    /// Words that the original recognizes, and the word edit distance to the quantized model's transcript.
    package private(set) var words = 0
    package private(set) var differingWords = 0

    package init() {}

    package var meanDivergence: Double { positions > 0 ? divergence / Double(positions) : 0 }
    package var agreement: Double { positions > 0 ? Double(agreements) / Double(positions) : 1 }
    package var wordDifference: Double {
        words > 0 ? Double(differingWords) / Double(words) : (differingWords > 0 ? 1 : 0)
    }

    /// Whether speech is still recognized.
    package var isGood: Bool { wordDifference <= Self.tolerableWordDifference }

    package var description: String {
        var lines: [String] = []
        if positions > 0 {
            lines.append("Kullback–Leibler divergence\t\(String(format: "%.5f", meanDivergence)) nats a token")
            lines.append("same likeliest token\t\(String(format: "%.1f", 100 * agreement)) % of \(positions)")
        }
        if words > 0 || differingWords > 0 {
            let verdict = isGood ? "" : ": speech suffers, take more bits"
            lines.append(
                "words heard otherwise\t\(String(format: "%.1f", 100 * wordDifference)) % of \(words)\(verdict)")
        }
        return lines.map { $0 + "\n" }.joined()
    }

    // MARK: Comparison

    /// Compares the next-token distributions at every position of a text, in windows of 512 tokens.
    ///
    /// - Parameter text: BOS and the tokens of the text.
    /// - Throws: `ModelInputError`, `CancellationError`.
    package mutating func add(text: [Int], _ original: Engine, _ quantized: Engine) async throws {
        let (bos, tokens) = (text[0], Array(text.dropFirst()))
        let compared = Mutex(self)
        for start in stride(from: 0, to: tokens.count, by: 511) {
            let window = Prompt(tokens: [bos] + tokens[start..<min(tokens.count, start + 511)])
            let expected = Mutex<[Int: [Float]]>([:])
            // The original's rows are kept as f32 until the quantized model's rows of the same window arrive.
            try await original.logits(window) { positions, logits in
                for (row, position) in positions.enumerated() {
                    expected.withLock { $0[position] = logits[row..<row + 1].toArray() }
                }
            }
            try await quantized.logits(window) { positions, logits in
                for (row, position) in positions.enumerated() {
                    let original = expected.withLock { $0.removeValue(forKey: position)! }
                    compared.withLock { $0.add(original, logits[row..<row + 1].toArray(), rows: 1) }
                }
            }
        }
        self = compared.withLock { $0 }
    }

    private mutating func add(_ original: [Float], _ quantized: [Float], rows: Int) {
        let width = original.count / rows
        for row in 0..<rows {
            let range = row * width..<(row + 1) * width
            let (p, q) = (original[range], quantized[range])
            let (highestP, highestQ) = (p.max()!, q.max()!)
            var (sumP, sumQ, weighted) = (0.0, 0.0, 0.0)
            for (a, b) in zip(p, q) {
                let odds = exp(Double(a - highestP))
                sumP += odds
                sumQ += exp(Double(b - highestQ))
                weighted += odds * (Double(a - highestP) - Double(b - highestQ))
            }
            divergence += max(0, weighted / sumP - log(sumP) + log(sumQ))
            if p.firstIndex(of: highestP)! == q.firstIndex(of: highestQ)! { agreements += 1 }
            positions += 1
        }
    }

    /// Adds the transcripts of a recording.
    ///
    /// - Parameters:
    ///   - words: number of words in the original's transcript.
    ///   - differing: word edit distance to the quantized model's transcript.
    package mutating func add(words: Int, differing: Int) {
        self.words += words
        differingWords += differing
    }
}
