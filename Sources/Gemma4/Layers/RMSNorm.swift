import Tensors
import Weights

/// x / √(mean(x²) + eps) · w over the last axis.
///
/// The weight is used as stored; Gemma 2 and 3 added 1 to it.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4RMSNorm`.
struct RMSNorm: Sendable {
    let weight: Tensor?  // [size], f32; nil: not scaled
    let eps: Float

    /// - Throws: `CheckpointError` naming the tensor, if it is missing or has another shape.
    init(_ size: Int, eps: Float, _ weights: WeightScope) throws {
        self.init(try weights.tensor("weight", [size]), eps: eps)
    }

    /// - Parameter weight: `[size]`; nil for a norm without weight.
    init(_ weight: Tensor? = nil, eps: Float) {
        self.weight = weight?.widened()
        self.eps = eps
    }

    /// Any shape to the same shape.
    func callAsFunction(_ x: Tensor) -> Tensor { x.rmsNormalized(weight, eps: eps) }
}
