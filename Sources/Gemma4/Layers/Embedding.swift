import Tensors
import Weights

/// An embedding table, looked up by token id and scaled.
///
/// The table is mapped from the file: only the rows that are looked up are read.
struct Embedding: Sendable {
    let table: Tensor  // [vocabSize, size]
    let stretchScales: Tensor?  // [vocabSize, groups]; nil: the table does not hold integers
    let scale: Float

    init(_ vocabSize: Int, _ size: Int, scale: Float, _ weights: WeightScope) throws {
        (table, stretchScales) = try weights.table(vocabSize, size)
        self.scale = scale
    }

    /// - Parameter columns: a range of each row; nil: the whole row.
    /// - Returns: `[tokens, columns]`.
    func callAsFunction(_ tokens: [Int], columns: Range<Int>? = nil) -> Tensor {
        let columns = columns ?? 0..<table.columns
        let rows = stretchScales.map { table.gathered(tokens, columns: columns, scales: $0) }
        return (rows ?? table.gathered(tokens, columns: columns)) * scale
    }
}
