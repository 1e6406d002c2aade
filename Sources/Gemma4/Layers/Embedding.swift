import Tensors
import Weights

/// A table of rows, looked up by token id and scaled.
///
/// The table stays where it lies in the file: only the rows asked for are read.
struct Embedding: Sendable {
    let table: Tensor  // [vocabSize, size]
    let scale: Float

    init(_ vocabSize: Int, _ size: Int, scale: Float, _ weights: WeightScope) throws {
        table = try weights.tensor("weight", [vocabSize, size])
        self.scale = scale
    }

    /// - Returns: `[tokens, size]`.
    func callAsFunction(_ tokens: [Int]) -> Tensor { table.gathered(tokens) * scale }
}
