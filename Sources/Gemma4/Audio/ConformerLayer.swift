import Tensors
import Weights

/// One encoder layer (Macaron): feed-forward (residual times `residualWeight`), attention, convolution, feed-forward,
/// norm.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4AudioLayer`.
struct ConformerLayer: Sendable {
    let feedForward1, feedForward2: AudioFeedForward
    let attention: AudioAttention
    let convolution: LightConvolution
    let preAttentionNorm, postAttentionNorm, outputNorm: RMSNorm
    let bound: Float

    /// Epsilon of the norms outside the convolution, whatever `rmsNormEps` says: the reference uses that in the
    /// convolution only.
    static let eps: Float = 1e-6

    /// - Throws: `CheckpointError` naming the tensor, if one is missing or has another shape.
    init(_ configuration: AudioConfiguration, _ weights: WeightScope) throws {
        func norm(_ name: String) throws -> RMSNorm {
            try RMSNorm(configuration.hiddenSize, eps: Self.eps, weights[name])
        }
        feedForward1 = try AudioFeedForward(configuration, weights["feed_forward1"])
        feedForward2 = try AudioFeedForward(configuration, weights["feed_forward2"])
        attention = try AudioAttention(configuration, weights["self_attn"])
        convolution = try LightConvolution(configuration, weights["lconv1d"])
        preAttentionNorm = try norm("norm_pre_attn")
        postAttentionNorm = try norm("norm_post_attn")
        outputNorm = try norm("norm_out")
        bound = configuration.gradientClipping
    }

    /// `[frames, hiddenSize]` to `[frames, hiddenSize]`.
    func callAsFunction(_ hidden: Tensor) -> Tensor {
        var job = EncoderJob(hidden, stages)
        return job.finish()
    }

    /// The stages of the layer, each from `[frames, hiddenSize]` to `[frames, hiddenSize]`.
    var stages: [EncoderJob.Stage] {
        [
            .whole { feedForward1($0) },
            .whole { hidden in
                let attended = attention(preAttentionNorm(hidden.clamped(-bound, bound)))
                return hidden + postAttentionNorm(attended.clamped(-bound, bound))
            },
            .whole { convolution($0) },
            .whole { outputNorm(feedForward2($0).clamped(-bound, bound)) },
        ]
    }
}

/// x + residualWeight · norm(W2 · SiLU(W1 · norm(x))).
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4AudioFeedForward`.
struct AudioFeedForward: Sendable {
    let expansion, contraction: ClippedLinear
    let preNorm, postNorm: RMSNorm
    let bound, residualWeight: Float

    init(_ configuration: AudioConfiguration, _ weights: WeightScope) throws {
        let (hiddenSize, innerSize) = (configuration.hiddenSize, 4 * configuration.hiddenSize)
        expansion = try ClippedLinear(hiddenSize, innerSize, weights["ffw_layer_1"])
        contraction = try ClippedLinear(innerSize, hiddenSize, weights["ffw_layer_2"])
        preNorm = try RMSNorm(hiddenSize, eps: ConformerLayer.eps, weights["pre_layer_norm"])
        postNorm = try RMSNorm(hiddenSize, eps: ConformerLayer.eps, weights["post_layer_norm"])
        bound = configuration.gradientClipping
        residualWeight = configuration.residualWeight
    }

    /// `[frames, hiddenSize]` to `[frames, hiddenSize]`, the residual added.
    func callAsFunction(_ hidden: Tensor) -> Tensor {
        let inner = expansion(preNorm(hidden.clamped(-bound, bound))).silu()
        return hidden + postNorm(contraction(inner).clamped(-bound, bound)) * residualWeight
    }
}

/// x + W2 · SiLU(norm(conv(GLU(W1 · norm(x))))), with a causal depthwise convolution.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4AudioLightConv1d`.
struct LightConvolution: Sendable {
    let start, end: ClippedLinear
    let depthwise: Tensor  // [convKernelSize, hiddenSize], the current frame last
    let preNorm, convolutionNorm: RMSNorm
    let bound: Float

    init(_ configuration: AudioConfiguration, _ weights: WeightScope) throws {
        let (hiddenSize, kernelSize) = (configuration.hiddenSize, configuration.convKernelSize)
        start = try ClippedLinear(hiddenSize, 2 * hiddenSize, weights["linear_start"])
        end = try ClippedLinear(hiddenSize, hiddenSize, weights["linear_end"])
        let stored = try weights["depthwise_conv1d"].tensor("weight", [hiddenSize, 1, kernelSize]).toArray()
        let channelsFastest = (0..<stored.count).map { stored[$0 % hiddenSize * kernelSize + $0 / hiddenSize] }
        depthwise = Tensor(channelsFastest, [kernelSize, hiddenSize], on: weights.device)
        preNorm = try RMSNorm(hiddenSize, eps: configuration.rmsNormEps, weights["pre_layer_norm"])
        convolutionNorm = try RMSNorm(hiddenSize, eps: configuration.rmsNormEps, weights["conv_norm"])
        bound = configuration.gradientClipping
    }

    /// `[frames, hiddenSize]` to `[frames, hiddenSize]`, the residual added.
    func callAsFunction(_ hidden: Tensor) -> Tensor {
        let gated = start(preNorm(hidden)).gatedLinearUnit()
        let convolved = gated.causalDepthwiseConvolution(depthwise).clamped(-bound, bound)
        return hidden + end(convolutionNorm(convolved).silu())
    }
}
