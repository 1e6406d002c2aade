import Foundation
import Tensors
import Weights

/// One encoder layer: attention and gated feed-forward network, each with a norm before and after.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4VisionEncoderLayer`.
struct VisionLayer: Sendable {
    let attention: VisionAttention
    let mlp: VisionMLP
    let inputNorm, postAttentionNorm, preFeedForwardNorm, postFeedForwardNorm: RMSNorm

    /// - Throws: `CheckpointError` naming the tensor, if one is missing or has another shape.
    init(_ configuration: VisionConfiguration, _ weights: WeightScope) throws {
        func norm(_ name: String) throws -> RMSNorm {
            try RMSNorm(configuration.hiddenSize, eps: configuration.rmsNormEps, weights[name])
        }
        attention = try VisionAttention(configuration, weights["self_attn"])
        mlp = try VisionMLP(configuration, weights["mlp"])
        inputNorm = try norm("input_layernorm")
        postAttentionNorm = try norm("post_attention_layernorm")
        preFeedForwardNorm = try norm("pre_feedforward_layernorm")
        postFeedForwardNorm = try norm("post_feedforward_layernorm")
    }

    /// The keys and values of some patches, or all: `[rows, hiddenSize]` to `[rows, heads, headDim]` each.
    ///
    /// - Parameter angles: of these patches.
    func keyValues(_ hidden: Tensor, _ angles: AxialAngles) -> EncoderJob.KeyValues {
        attention.keyValues(inputNorm(hidden), angles)
    }

    /// Any range of patches: `[rows, hiddenSize]` to `[rows, hiddenSize]`.
    ///
    /// - Parameters:
    ///   - angles: the angles of these patches.
    ///   - keyValues: the keys and values of all patches of the image.
    func callAsFunction(_ hidden: Tensor, _ angles: AxialAngles, attendingTo keyValues: KeyValueSegment) -> Tensor {
        let attended = hidden + postAttentionNorm(attention(inputNorm(hidden), angles, attendingTo: keyValues))
        return attended + postFeedForwardNorm(mlp(preFeedForwardNorm(attended)))
    }
}

/// Self-attention among all patches of an image: per-head norms, RoPE along both axes.
///
/// Scores are not scaled by 1/√headDim.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4VisionAttention`.
struct VisionAttention: Sendable {
    let numAttentionHeads, numKeyValueHeads: Int
    let queryProjection, keyProjection, valueProjection, outputProjection: ClippedLinear
    let queryNorm, keyNorm, valueNorm: RMSNorm

    init(_ configuration: VisionConfiguration, _ weights: WeightScope) throws {
        let (hiddenSize, headDim, eps) = (configuration.hiddenSize, configuration.headDim, configuration.rmsNormEps)
        numAttentionHeads = configuration.numAttentionHeads
        numKeyValueHeads = configuration.numKeyValueHeads
        queryProjection = try ClippedLinear(hiddenSize, numAttentionHeads * headDim, weights["q_proj"])
        keyProjection = try ClippedLinear(hiddenSize, numKeyValueHeads * headDim, weights["k_proj"])
        valueProjection = try ClippedLinear(hiddenSize, numKeyValueHeads * headDim, weights["v_proj"])
        outputProjection = try ClippedLinear(numAttentionHeads * headDim, hiddenSize, weights["o_proj"])
        queryNorm = try RMSNorm(headDim, eps: eps, weights["q_norm"])
        keyNorm = try RMSNorm(headDim, eps: eps, weights["k_norm"])
        valueNorm = RMSNorm(eps: eps)
    }

    /// - Parameter hidden: `[rows, hiddenSize]`.
    func keyValues(_ hidden: Tensor, _ angles: AxialAngles) -> EncoderJob.KeyValues {
        let keys = angles.rotate(keyNorm(keyProjection(hidden).split(heads: numKeyValueHeads)))
        let values = valueNorm(valueProjection(hidden).split(heads: numKeyValueHeads))
        return (keys, values)
    }

    /// `[rows, hiddenSize]` to `[rows, hiddenSize]`.
    func callAsFunction(_ hidden: Tensor, _ angles: AxialAngles, attendingTo keyValues: KeyValueSegment) -> Tensor {
        let queries = angles.rotate(queryNorm(queryProjection(hidden).split(heads: numAttentionHeads)))
        let everything = 0..<keyValues.count
        let context = queries.attending(to: [keyValues], visible: Array(repeating: everything, count: hidden.rows))
        return outputProjection(context.mergeHeads())
    }
}

/// down(GELU(gate(x)) ⊙ up(x)).
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4VisionMLP`.
struct VisionMLP: Sendable {
    let gateProjection, upProjection, downProjection: ClippedLinear

    /// Patches per block: the intermediate activations of all patches of a large image would take hundreds of
    /// megabytes.
    static let blockSize = 1_024

    init(_ configuration: VisionConfiguration, _ weights: WeightScope) throws {
        let (hiddenSize, intermediateSize) = (configuration.hiddenSize, configuration.intermediateSize)
        gateProjection = try ClippedLinear(hiddenSize, intermediateSize, weights["gate_proj"])
        upProjection = try ClippedLinear(hiddenSize, intermediateSize, weights["up_proj"])
        downProjection = try ClippedLinear(intermediateSize, hiddenSize, weights["down_proj"])
    }

    /// `[patches, hiddenSize]` to `[patches, hiddenSize]`.
    func callAsFunction(_ hidden: Tensor) -> Tensor {
        Tensor.concatenated(
            stride(from: 0, to: hidden.rows, by: Self.blockSize).map { first in
                let block = hidden[first..<min(hidden.rows, first + Self.blockSize)]
                return downProjection(gateProjection(block).geluMultiplied(by: upProjection(block)))
            })
    }
}

/// RoPE along two axes: the first half of every head is rotated by the column of its patch, the second by the row.
/// Each half uses the half-split layout, with angles x·ω or y·ω, where ω_i = θ^(−2i / (headDim/2)), i < headDim/4.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4VisionRotaryEmbedding`, `apply_multidimensional_rope`.
struct AxialAngles: Sendable {
    let cosines, sines: Tensor  // [patches, 2, headDim/4]

    init(_ configuration: VisionConfiguration, _ grid: PatchGrid, on device: Device) {
        let half = configuration.headDim / 2
        let frequencies = stride(from: 0, to: half, by: 2).map {
            1 / pow(Float(configuration.ropeTheta), Float($0) / Float(half))
        }
        let angles = (0..<max(grid.columns, grid.rows)).flatMap { position in frequencies.map { Float(position) * $0 } }
        let coordinates = zip(grid.xs, grid.ys).flatMap { [$0, $1] }
        func table(_ function: (Float) -> Float) -> Tensor {
            Tensor(angles.map(function), [angles.count / frequencies.count, frequencies.count], on: device)
                .gathered(coordinates).reshaped([grid.count, 2, frequencies.count])
        }
        cosines = table(cos)
        sines = table(sin)
    }

    private init(cosines: Tensor, sines: Tensor) { (self.cosines, self.sines) = (cosines, sines) }

    /// The angles of a range of patches.
    subscript(rows: Range<Int>) -> AxialAngles { AxialAngles(cosines: cosines[rows], sines: sines[rows]) }

    /// `[patches, heads, headDim]` to the same shape.
    func rotate(_ heads: Tensor) -> Tensor { heads.rotated(cosines: cosines, sines: sines) }
}
