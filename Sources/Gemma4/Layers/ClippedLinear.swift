import Tensors
import Weights

/// A linear layer whose input and output are clamped to four bounds that the checkpoint stores beside the weight.
///
/// The towers of E2B and E4B were trained with these bounds: without them real weights give visibly wrong features.
/// The larger models have no bounds; their weights are stored under the same name, `linear.weight`.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4ClippableLinear`.
struct ClippedLinear: Sendable {
    let linear: Linear
    let input, output: Clamp

    /// Absent bounds are infinite.
    ///
    /// - Throws: `CheckpointError` naming the tensor, if the weight is missing or any tensor has another shape.
    init(_ inputSize: Int, _ outputSize: Int, _ weights: WeightScope) throws {
        linear = try Linear(inputSize, outputSize, weights["linear"])
        func clamp(_ name: String) throws -> Clamp {
            Clamp(
                try weights.tensorIfPresent("\(name)_min", [])?.toArray()[0] ?? -.infinity,
                try weights.tensorIfPresent("\(name)_max", [])?.toArray()[0] ?? .infinity)
        }
        input = try clamp("input")
        output = try clamp("output")
    }

    /// `[rows, inputSize]` to `[rows, outputSize]`.
    func callAsFunction(_ x: Tensor) -> Tensor {
        x.product(linear.weight, input: input, output: output)
    }
}
