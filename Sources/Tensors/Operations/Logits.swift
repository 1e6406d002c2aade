import Foundation

/// The argmax and log-sum-exp of one row of logits.
package struct LogitSummary: Sendable {
    /// The first index of the maximum; nil if no logit is greater than −∞, or if one is NaN.
    package let likeliest: Int?
    /// ln Σ e^x.
    package let logSumExp: Float
}

extension Tensor {
    /// For each row of logits, the natural logarithm of the probability of one token.
    package func logProbabilities(of tokens: [Int]) -> [Float] {
        precondition(
            tokens.count == rows && tokens.allSatisfy { $0 >= 0 && $0 < columns },
            "logProbabilities: \(tokens) of \(shape)")
        return zip(tokens, logSumExp()).enumerated().map { row, token in floats[row * columns + token.0] - token.1 }
    }

    /// ln Σ e^x of each row.
    package func logSumExp() -> [Float] { logitSummaries().map(\.logSumExp) }

    /// The likeliest token and ln Σ e^x of each row; threads share the rows.
    package func logitSummaries() -> [LogitSummary] {
        let kernels = device.kernels.table
        let (x, columns) = (floats, columns)
        return Array(unsafeUninitializedCapacity: rows) { summaries, count in
            count = rows
            device.parallelFor(rows, scratch: columns) { row, scratch in
                let values = x + row * columns
                let largest = kernels.maximum(values, columns)
                let sum = kernels.exponentials(scratch, values, largest, columns)
                let likeliest = largest > -.infinity ? (0..<columns).first { values[$0] == largest } : nil
                (summaries.baseAddress! + row).initialize(
                    to: LogitSummary(likeliest: likeliest, logSumExp: largest + log(sum)))
            }
        }
    }
}
