import Tensors
import Weights

/// (x − mean) / √(variance + eps) · w + b over the last axis.
///
/// Source: torch, `nn.LayerNorm`.
struct LayerNorm: Sendable {
    let weight, bias: Tensor  // [size], f32
    let eps: Float

    /// - Parameter eps: by default that of torch.
    /// - Throws: `CheckpointError` naming the tensor, if one is missing or has another shape.
    init(_ size: Int, eps: Float = 1e-5, _ weights: WeightScope) throws {
        weight = try weights.tensor("weight", [size]).widened()
        bias = try weights.tensor("bias", [size]).widened()
        self.eps = eps
    }

    /// `[rows, size]` to the same shape.
    func callAsFunction(_ x: Tensor) -> Tensor { x.layerNormalized(weight, eps: eps).adding(row: bias) }
}
