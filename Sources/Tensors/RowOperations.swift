import CKernels
import Foundation

extension Tensor {
    /// Rows by index, as f32: `[n, columns]`. Of a mapped file only they are read, and nothing becomes resident.
    public func gathered(_ indices: [Int]) -> Tensor {
        reshaped([shape[0], shape.count / max(1, shape[0])]).gathered(
            indices, columns: 0..<shape.count / max(1, shape[0])
        )
        .reshaped(shape.withFirst(indices.count))
    }

    /// Some columns of the rows with these indices, as f32: `[n, columns.count]`.
    public func gathered(_ indices: [Int], columns range: Range<Int>) -> Tensor {
        precondition(range.lowerBound >= 0 && range.upperBound <= columns, "gathered: columns \(range) of \(shape)")
        let result = Tensor(uninitialized: [indices.count, range.count], on: device)
        let out = result.mutableFloats
        let file = storage.file
        // Whole blocks around the columns.
        let length = elementType.blockLength
        let first = range.lowerBound / length * length
        let count = (range.upperBound + length - 1) / length * length - first
        let blocks = Tensor(uninitialized: [count], elementType, on: device)
        for (row, index) in indices.enumerated() {
            precondition(index >= 0 && index < rows, "gathered: row \(index) of \(shape)")
            let source = UnsafeRawBufferPointer(
                start: bytes + elementType.byteCount(index * columns + first), count: elementType.byteCount(count))
            let out = out + row * range.count
            if let file, file.read(source, into: blocks.storage.start) {
                blocks.widen(into: out, from: range.lowerBound - first, count: range.count)
            } else {
                widen(into: out, from: index * columns + range.lowerBound, count: range.count)
            }
        }
        return result
    }
}

/// What one row of logits says before anything is chosen from it.
package struct LogitSummary: Sendable {
    /// The first of the greatest logits; nil if none is greater than −∞, or if one is NaN.
    package let likeliest: Int?
    /// ln Σ e^x.
    package let logSumExp: Float
}

extension Tensor {
    /// For each row of logits the natural logarithm of one token's probability.
    public func logProbabilities(of tokens: [Int]) -> [Float] {
        precondition(
            tokens.count == rows && tokens.allSatisfy { $0 >= 0 && $0 < columns },
            "logProbabilities: \(tokens) of \(shape)")
        return zip(tokens, logSumExp()).enumerated().map { row, token in floats[row * columns + token.0] - token.1 }
    }

    /// ln Σ e^x of each row.
    public func logSumExp() -> [Float] { logitSummaries().map(\.logSumExp) }

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

    /// Single elements of a matrix.
    package func element(_ row: Int, _ column: Int) -> Float {
        precondition(row < rows && column < columns, "element \(row), \(column) of \(shape)")
        return floats[row * columns + column]
    }
}
