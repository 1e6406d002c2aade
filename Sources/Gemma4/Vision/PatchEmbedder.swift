import Tensors
import Weights

/// Embeds patches and their 2-D positions at the width of the encoder: W·(2p − 1) + X[x] + Y[y].
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4VisionPatchEmbedder`.
struct PatchEmbedder: Sendable {
    let inputProjection: Linear
    let positions: Tensor  // [2, positionEmbeddingSize, hiddenSize], x first; only the rows in use are read
    let minusOne: Tensor  // [values of a patch]

    /// - Throws: `CheckpointError` naming the tensor, if one is missing or has another shape.
    init(_ configuration: VisionConfiguration, _ weights: WeightScope) throws {
        let patchValues = 3 * configuration.patchSize * configuration.patchSize
        inputProjection = try Linear(patchValues, configuration.hiddenSize, weights["input_proj"])
        positions = try weights.tensor(
            "position_embedding_table", [2, configuration.positionEmbeddingSize, configuration.hiddenSize])
        minusOne = Tensor(Array(repeating: -1, count: patchValues), [patchValues], on: weights.device)
    }

    /// - Parameters:
    ///   - patches: `[rows.count, patchSize² · 3]`, in 0...1; row, column, color of a pixel, color fastest.
    ///   - rows: the indices of these patches in the grid.
    /// - Returns: `[rows.count, hiddenSize]`.
    func callAsFunction(_ patches: Tensor, _ rows: Range<Int>, of grid: PatchGrid) -> Tensor {
        let place = positions[0].gathered(Array(grid.xs[rows])) + positions[1].gathered(Array(grid.ys[rows]))
        return inputProjection((patches * 2).adding(row: minusOne)) + place
    }
}
