import Tensors
import Weights

/// x · Wᵀ, without bias. The weight may be quantized.
///
/// Source: torch, `nn.Linear`.
struct Linear: Sendable {
    let weight: Weight  // [outputSize, inputSize]

    /// - Throws: `CheckpointError` naming the tensor, if it is missing or has another shape.
    init(_ inputSize: Int, _ outputSize: Int, _ weights: WeightScope) throws {
        weight = try weights.weight("weight", [outputSize, inputSize])
    }

    init(_ weight: Weight) { self.weight = weight }

    /// `[rows, inputSize]` to `[rows, outputSize]`.
    func callAsFunction(_ x: Tensor) -> Tensor { x.product(weight) }
}
