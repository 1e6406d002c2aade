import Tensors
import Weights

/// One decoder layer: attention, feed-forward with or without experts, per-layer input, scalar.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4TextDecoderLayer`.
struct DecoderLayer: Sendable {
    let plan: LayerPlan
    let attention: Attention
    let mlp: GatedMLP
    let inputNorm, postAttentionNorm, preFeedForwardNorm, postFeedForwardNorm: RMSNorm
    let experts: (mixture: MixtureOfExperts, denseNorm: RMSNorm, expertsNorm: RMSNorm)?  // 26B-A4B
    let perLayerGate: PerLayerGate?  // E2B, E4B
    let scalar: Float

    init(_ plan: LayerPlan, _ weights: WeightScope) throws {
        func norm(_ name: String) throws -> RMSNorm {
            try RMSNorm(plan.hiddenSize, eps: plan.rmsNormEps, weights[name])
        }
        self.plan = plan
        attention = try Attention(plan, weights["self_attn"])
        mlp = try GatedMLP(plan.hiddenSize, plan.intermediateSize, weights["mlp"])
        inputNorm = try norm("input_layernorm")
        postAttentionNorm = try norm("post_attention_layernorm")
        preFeedForwardNorm = try norm("pre_feedforward_layernorm")
        postFeedForwardNorm = try norm("post_feedforward_layernorm")
        experts = try plan.experts.map {
            (
                try MixtureOfExperts(plan, $0, weights), try norm("post_feedforward_layernorm_1"),
                try norm("post_feedforward_layernorm_2")
            )
        }
        perLayerGate = plan.hiddenSizePerLayerInput > 0 ? try PerLayerGate(plan, weights) : nil
        scalar = try weights.tensor("layer_scalar", [1]).toArray()[0]
    }

    /// - Parameters:
    ///   - stream: `[rows, hiddenSize]`, the residual stream.
    ///   - normed: `stream` after `inputNorm`.
    ///   - perLayerInput: `[rows, hiddenSizePerLayerInput]`, on E2B and E4B.
    /// - Returns: `[rows, hiddenSize]`.
    func callAsFunction(_ stream: Tensor, normed: Tensor, perLayerInput: Tensor?, in pass: Pass) -> Tensor {
        var stream = stream + postAttentionNorm(attention(normed, in: pass))
        var output = mlp(preFeedForwardNorm(stream))
        if let (mixture, denseNorm, expertsNorm) = experts {
            output = denseNorm(output) + expertsNorm(mixture(stream))
        }
        stream = stream + postFeedForwardNorm(output)
        if let perLayerGate, let perLayerInput {
            stream = stream + perLayerGate(stream, input: perLayerInput)
        }
        return stream * scalar
    }
}
