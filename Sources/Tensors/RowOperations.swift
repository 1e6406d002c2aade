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

extension Tensor {
    /// For each row of logits the natural logarithm of one token's probability.
    public func logProbabilities(of tokens: [Int]) -> [Float] {
        precondition(
            tokens.count == rows && tokens.allSatisfy { $0 >= 0 && $0 < columns },
            "logProbabilities: \(tokens) of \(shape)")
        return zip(tokens, logSumExp()).enumerated().map { row, token in floats[row * columns + token.0] - token.1 }
    }

    /// ln Σ e^x of each row.
    public func logSumExp() -> [Float] {
        let kernels = device.kernels.table
        let x = floats
        return (0..<rows).map { row in
            let values = x + row * columns
            let largest = kernels.maximum(values, columns)
            var sum: Float = 0
            device.withScratch(columns) { sum = kernels.exponentials($0, values, largest, columns) }
            return largest + log(sum)
        }
    }
}
