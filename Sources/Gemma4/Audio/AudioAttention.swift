import Foundation
import Tensors
import Weights

/// Local self-attention of one encoder layer, with relative positions: each frame attends to itself and the frames
/// just before it.
///
/// The reference computes it in chunks with a relative shift; its mask leaves a band, with one key fewer than
/// `attentionContextLeft`.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4AudioAttention`, `Gemma4AudioRelPositionalEncoding`.
struct AudioAttention: Sendable {
    let numAttentionHeads: Int
    let logitCap: Float
    let queryProjection, keyProjection, valueProjection, outputProjection: ClippedLinear
    let queryScale: Tensor  // [hiddenSize], per dimension of a head
    let keyScale: Float
    let relativeKeys: Tensor  // [window, heads, headDim], farthest first

    /// - Throws: `CheckpointError` naming the tensor, if one is missing or has another shape.
    init(_ configuration: AudioConfiguration, _ weights: WeightScope) throws {
        let (hiddenSize, headDim) = (configuration.hiddenSize, configuration.headDim)
        func projection(_ name: String) throws -> ClippedLinear {
            try ClippedLinear(hiddenSize, hiddenSize, weights[name])
        }
        numAttentionHeads = configuration.numAttentionHeads
        logitCap = configuration.attentionLogitCap
        queryProjection = try projection("q_proj")
        keyProjection = try projection("k_proj")
        valueProjection = try projection("v_proj")
        outputProjection = try projection("post")

        let perDimension = try weights.tensor("per_dim_scale", [headDim]).toArray().map { raw in
            Float(1 / Double(headDim).squareRoot() / M_LN2) * Self.softplus(raw)
        }
        queryScale = Tensor(
            Array(repeatElement(perDimension, count: configuration.numAttentionHeads).joined()), [hiddenSize],
            on: weights.device)
        keyScale = Float(log(1 + M_E) / M_LN2)
        let relativeProjection = weights["relative_k_proj"].multiplied(by: .float32)
        relativeKeys = try Linear(hiddenSize, hiddenSize, relativeProjection)(
            Self.distanceEmbeddings(configuration, on: weights.device)
        ).split(heads: configuration.numAttentionHeads)
    }

    /// `[frames, hiddenSize]` to `[frames, hiddenSize]`, before the residual is added.
    func callAsFunction(_ hidden: Tensor) -> Tensor {
        let queries = queryProjection(hidden).multiplying(row: queryScale).split(heads: numAttentionHeads)
        let keys = (keyProjection(hidden) * keyScale).split(heads: numAttentionHeads)
        let values = valueProjection(hidden).split(heads: numAttentionHeads)
        let context = queries.bandAttending(keys: keys, values: values, relativeKeys: relativeKeys, cap: logitCap)
        return outputProjection(context.mergeHeads())
    }

    /// ln(1 + e^x); x itself if both are the same f32.
    private static func softplus(_ x: Float) -> Float { x > 20 ? x : log1p(exp(x)) }

    /// `[window, hiddenSize]`: sines, then cosines of δ·τ_i with τ_i = 10000^(−i / (hiddenSize/2 − 1)), for distances
    /// δ from the farthest to 0.
    private static func distanceEmbeddings(_ configuration: AudioConfiguration, on device: Device) -> Tensor {
        let window = configuration.attentionContextLeft - 1
        let count = configuration.hiddenSize / 2
        let step = Float(log(10_000.0) / Double(max(count - 1, 1)))
        let scales = (0..<count).map { exp(Float($0) * -step) }
        let rows = (0..<window).reversed().flatMap { distance -> [Float] in
            let angles = scales.map { Float(distance) * $0 }
            return angles.map { sin($0) } + angles.map { cos($0) }
        }
        return Tensor(rows, [window, configuration.hiddenSize], on: device)
    }
}
