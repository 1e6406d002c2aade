import Weights

/// `audio_config`: the shape of the sound encoder. Properties are its keys, camel-cased.
///
/// Source: transformers, `configuration_gemma4.py`, `Gemma4AudioConfig`.
package struct AudioConfiguration: Sendable, Hashable {
    package let hiddenSize: Int
    package let numHiddenLayers: Int
    package let numAttentionHeads: Int
    /// Channels after each of the two convolutions of stride 2.
    package let subsamplingConvChannels: [Int]
    /// Frames in the kernel of a layer's depthwise convolution, the current one last.
    package let convKernelSize: Int
    package let attentionChunkSize: Int
    /// Keys gathered to the left, including the current one; the mask keeps one fewer.
    package let attentionContextLeft: Int
    package let attentionLogitCap: Float
    package let attentionInvalidLogitsValue: Float
    /// Weight of a feed-forward block's output in the residual sum.
    package let residualWeight: Float
    /// Activations are clamped to ± this bound.
    package let gradientClipping: Float
    package let rmsNormEps: Float
    /// Width of the encoder's output.
    package let outputProjDims: Int
    package let useClippedLinears: Bool

    package var headDim: Int { hiddenSize / numAttentionHeads }

    init(_ object: ConfigurationObject) throws(CheckpointError) {
        hiddenSize = try object.integer("hidden_size")
        numHiddenLayers = try object.integer("num_hidden_layers", in: ConfigurationObject.layerCounts)
        numAttentionHeads = try object.integer("num_attention_heads", in: ConfigurationObject.headCounts)
        subsamplingConvChannels = try object.array("subsampling_conv_channels") { json -> Int? in
            guard case .integer(let channels) = json, (1...4_096).contains(channels) else { return nil }
            return channels
        }
        convKernelSize = try object.integer("conv_kernel_size", in: 1...1_024)
        attentionChunkSize = try object.integer("attention_chunk_size", in: 1...65_536)
        attentionContextLeft = try object.integer("attention_context_left", in: 2...65_536)
        attentionLogitCap = Float(try object.number("attention_logit_cap", above: 0))
        attentionInvalidLogitsValue = Float(try object.number("attention_invalid_logits_value"))
        residualWeight = Float(try object.number("residual_weight"))
        gradientClipping = Float(try object.number("gradient_clipping", above: 0))
        rmsNormEps = Float(try object.number("rms_norm_eps", above: 0))
        outputProjDims = try object.integer("output_proj_dims")
        useClippedLinears = try object.flag("use_clipped_linears", default: true)
        try object.require("hidden_act", only: "silu")

        guard subsamplingConvChannels.count == 2 else {
            throw object.invalid(
                "subsampling_conv_channels", expected: "two numbers", found: "\(subsamplingConvChannels.count)")
        }
        guard hiddenSize % numAttentionHeads == 0, hiddenSize % 2 == 0, hiddenSize >= 4 else {
            throw object.invalid(
                "hidden_size", expected: "an even multiple of num_attention_heads, \(numAttentionHeads)",
                found: "\(hiddenSize)")
        }
        guard [attentionContextLeft - 1, attentionContextLeft].contains(attentionChunkSize) else {
            throw object.invalid(
                "attention_chunk_size",
                expected:
                    "attention_context_left, \(attentionContextLeft), or one fewer: others shift the relative positions",
                found: "\(attentionChunkSize)")
        }
        let lookAhead = try object.integer("attention_context_right", in: 0...65_536)
        guard lookAhead == 0 else {
            throw object.invalid(
                "attention_context_right", expected: "0: the encoder looks back only", found: "\(lookAhead)")
        }
    }
}
