import Foundation
import Generation
import Synchronization
import Tensors

/// What fewer bits cost: a quantised model beside the one it was made from.
package struct QuantizationComparison: Sendable, CustomStringConvertible {
    /// Words of a hundred that may be heard otherwise before speech counts as lost.
    package static let tolerableWordDifference = 0.05

    /// Positions compared, Σ KL(original ‖ quantised) in nats, and how often both find the same token likeliest.
    package private(set) var positions = 0
    private var divergence = 0.0
    private var agreements = 0
    /// Words that the original hears, and those to be replaced, put in or taken out to make them the other's.
    package private(set) var words = 0
    package private(set) var differingWords = 0

    package init() {}

    package var meanDivergence: Double { positions > 0 ? divergence / Double(positions) : 0 }
    package var agreement: Double { positions > 0 ? Double(agreements) / Double(positions) : 1 }
    package var wordDifference: Double {
        words > 0 ? Double(differingWords) / Double(words) : (differingWords > 0 ? 1 : 0)
    }

    /// Whether speech is still understood as before.
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

    // MARK: Comparing

    /// Compares what both expect at every position of a text, in windows of 512 tokens.
    ///
    /// - Parameter text: its tokens, after the one that begins every text.
    /// - Throws: `ModelInputError`, `CancellationError`.
    package mutating func add(text: [Int], _ original: Engine, _ quantized: Engine) async throws {
        let (bos, tokens) = (text[0], Array(text.dropFirst()))
        let compared = Mutex(self)
        for start in stride(from: 0, to: tokens.count, by: 511) {
            let window = Prompt(tokens: [bos] + tokens[start..<min(tokens.count, start + 511)])
            let expected = Mutex<[Int: [Float]]>([:])
            // The rows of both meet here: of the original they wait, f16 to halve them, until the other's come.
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

    /// Adds what both heard of a recording.
    ///
    /// - Parameters:
    ///   - words: how many the original heard.
    ///   - differing: how many of them are to be replaced, put in or taken out to make them the other's.
    package mutating func add(words: Int, differing: Int) {
        self.words += words
        differingWords += differing
    }
}
