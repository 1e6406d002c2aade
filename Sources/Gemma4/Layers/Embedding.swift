import Tensors
import Weights

/// A table of rows, looked up by token id and scaled.
///
/// The table stays where it lies in the file: only the rows asked for are read.
struct Embedding: Sendable {
    let table: Tensor  // [vocabSize, size]
    let stretchScales: Tensor?  // [vocabSize, stretches]; nil: the table holds no integers
    let scale: Float

    init(_ vocabSize: Int, _ size: Int, scale: Float, _ weights: WeightScope) throws {
        (table, stretchScales) = try weights.table(vocabSize, size)
        self.scale = scale
    }

    /// - Parameter columns: some of a row.
    /// - Returns: `[tokens, columns]`.
    func callAsFunction(_ tokens: [Int], columns: Range<Int>? = nil) -> Tensor {
        let columns = columns ?? 0..<table.columns
        let rows = stretchScales.map { table.gathered(tokens, columns: columns, scales: $0) }
        return (rows ?? table.gathered(tokens, columns: columns)) * scale
    }
}
