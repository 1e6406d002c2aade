import Tensors
import Weights

/// The feed-forward network of a decoder layer, or one of its experts: down(GELU(gate(x)) ⊙ up(x)).
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4TextMLP`.
struct GatedMLP: Sendable {
    let gateProjection, upProjection, downProjection: Linear

    init(_ hiddenSize: Int, _ intermediateSize: Int, _ weights: WeightScope) throws {
        gateProjection = try Linear(hiddenSize, intermediateSize, weights["gate_proj"])
        upProjection = try Linear(hiddenSize, intermediateSize, weights["up_proj"])
        downProjection = try Linear(intermediateSize, hiddenSize, weights["down_proj"])
    }

    init(gate: Weight, up: Weight, down: Weight) {
        (gateProjection, upProjection, downProjection) = (Linear(gate), Linear(up), Linear(down))
    }

    /// `[rows, hiddenSize]` to `[rows, hiddenSize]`.
    func callAsFunction(_ hidden: Tensor) -> Tensor { Self.outputs(of: [self], [hidden])[0] }

    /// The output of each network for its own rows, `[rows, hiddenSize]`; threads share the rows of all weights.
    static func outputs(of networks: [GatedMLP], _ hidden: [Tensor]) -> [Tensor] {
        let active = Tensor.gatedProducts(
            zip(hidden, networks).map { ($0, $1.gateProjection.weight, $1.upProjection.weight) })
        return Tensor.products(zip(active, networks).map { ($0, [$1.downProjection.weight]) }).map { $0[0] }
    }
}
