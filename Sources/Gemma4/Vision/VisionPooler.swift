import Tensors
import Weights

/// Patches to soft tokens: the mean of each square of patches, times √hiddenSize, standardized if configured.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4VisionPooler` and the end of `Gemma4VisionModel.forward`.
struct VisionPooler: Sendable {
    let poolingKernelSize: Int
    let scale: Float
    let standardization: (negatedBias: Tensor, scale: Tensor)?  // [hiddenSize] each

    /// - Throws: `CheckpointError` naming the tensor, if one is missing or has another shape.
    init(_ configuration: VisionConfiguration, _ weights: WeightScope) throws {
        poolingKernelSize = configuration.poolingKernelSize
        scale = Float(configuration.hiddenSize).squareRoot()
        standardization =
            configuration.standardize
            ? (
                try weights.tensor("std_bias", [configuration.hiddenSize]).widened() * -1,
                try weights.tensor("std_scale", [configuration.hiddenSize]).widened()
            ) : nil
    }

    /// - Parameter hidden: `[grid.count, hiddenSize]`.
    /// - Returns: `[grid.count / poolingKernelSize², hiddenSize]`, in raster order of the squares.
    func callAsFunction(_ hidden: Tensor, _ grid: PatchGrid) -> Tensor {
        let pooled = means(hidden, grid)
        guard let (negatedBias, scale) = standardization else { return pooled }
        return pooled.adding(row: negatedBias).multiplying(row: scale)
    }

    /// The scaled means, before standardization.
    func means(_ hidden: Tensor, _ grid: PatchGrid) -> Tensor {
        hidden.averagePooled(gridColumns: grid.columns, side: poolingKernelSize) * scale
    }
}
