import Tensors
import Weights

/// Self-attention of one decoder layer: grouped queries, per-head norms, RoPE.
///
/// What differs between layers is in `plan`: sliding window or full attention, head size, and the layer whose keys
/// and values are read (the last `numKvSharedLayers` own none). Scores are not scaled by 1/√headDimension: Gemma 4's
/// scaling is 1.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4TextAttention`.
struct Attention: Sendable {
    let plan: LayerPlan
    let queryProjection, outputProjection: Linear
    let queryNorm: RMSNorm
    let rotaryEmbedding: RotaryEmbedding
    let keyValues: KeyValueProjection?  // nil: reads the cache of `plan.keyValueSource`

    /// - Throws: `CheckpointError` naming the tensor, if one is missing or has another shape.
    init(_ plan: LayerPlan, _ weights: WeightScope) throws {
        let querySize = plan.numAttentionHeads * plan.headDimension
        self.plan = plan
        queryProjection = try Linear(plan.hiddenSize, querySize, weights["q_proj"])
        outputProjection = try Linear(querySize, plan.hiddenSize, weights["o_proj"])
        queryNorm = try RMSNorm(plan.headDimension, eps: plan.rmsNormEps, weights["q_norm"])
        rotaryEmbedding = RotaryEmbedding(headDimension: plan.headDimension, parameters: plan.rotary)
        keyValues = plan.ownsKeyValues ? try KeyValueProjection(plan, weights) : nil
    }

    /// Writes the keys and values of all rows; does nothing on layers that read another layer's, nor in an encoder.
    ///
    /// - Parameter hidden: `[rows, hiddenSize]`, after `input_layernorm`.
    func writeKeyValues(_ hidden: Tensor, in pass: Pass) {
        guard let keyValues, !plan.isBidirectional else { return }
        let (keys, values) = keyValues(hidden, rotation: pass.rotation(rotaryEmbedding))
        for part in pass.parts {
            part.cache!.write(keys[part.rows], values[part.rows], layer: plan.index)
        }
    }

    /// - Parameter hidden: `[rows, hiddenSize]`, after `input_layernorm`.
    /// - Returns: `[rows, hiddenSize]`, before the residual is added.
    func callAsFunction(_ hidden: Tensor, in pass: Pass) -> Tensor {
        let projected = queryProjection(hidden).split(heads: plan.numAttentionHeads)  // [rows, heads, headDimension]
        let queries = pass.rotation(rotaryEmbedding)(queryNorm(projected))
        let own = plan.isBidirectional ? keyValues?(hidden, rotation: pass.rotation(rotaryEmbedding)) : nil
        let context = queries.attending(
            pass.parts.filter { !$0.rows.isEmpty }.map { part in
                let segments =
                    own.map {
                        [KeyValueSegment(firstPosition: 0, keys: $0.keys[part.rows], values: $0.values[part.rows])]
                    } ?? part.cache!.segments(layer: plan.keyValueSource)
                return AttendedRows(rows: part.rows, segments: segments, visible: visible(part))
            })
        return outputProjection(context.mergeHeads())
    }

    /// The range of positions that each row attends to: itself and those before it within the window; also those
    /// after it up to the end of its image if the layer attends bidirectionally within images; in an encoder the
    /// window extends to both sides.
    private func visible(_ part: Pass.Part) -> [Range<Int>] {
        if plan.isBidirectional {
            let count = part.positions.count
            let window = plan.window ?? count
            return part.positions.map { max(0, $0 - window + 1)..<min(count, $0 + window) }
        }
        return zip(part.positions, part.blockEnds).map { position, blockEnd in
            let first = plan.window.map { max(0, position - $0 + 1) } ?? 0
            return first..<(plan.seesWholeImages ? blockEnd : position + 1)
        }
    }
}

/// The keys and values of a layer that owns them.
///
/// Values are normalized without a weight and never rotated. If the plan says that keys are values, the raw key
/// projection, before the key norm and RoPE, is used as the values.
struct KeyValueProjection: Sendable {
    let keyProjection: Linear
    let valueProjection: Linear?  // nil: keys are values
    let keyNorm, valueNorm: RMSNorm
    let heads: Int

    init(_ plan: LayerPlan, _ weights: WeightScope) throws {
        let size = plan.numKeyValueHeads * plan.headDimension
        heads = plan.numKeyValueHeads
        keyProjection = try Linear(plan.hiddenSize, size, weights["k_proj"])
        valueProjection = plan.keysAreValues ? nil : try Linear(plan.hiddenSize, size, weights["v_proj"])
        keyNorm = try RMSNorm(plan.headDimension, eps: plan.rmsNormEps, weights["k_norm"])
        valueNorm = RMSNorm(eps: plan.rmsNormEps)
    }

    /// - Returns: keys and values, `[rows, keyValueHeads, headDimension]` each.
    func callAsFunction(_ hidden: Tensor, rotation: Rotation) -> (keys: Tensor, values: Tensor) {
        let projected = hidden.products([keyProjection, valueProjection].compactMap { $0?.weight })
        let raw = projected[0].split(heads: heads)
        let values = valueProjection == nil ? raw : projected[1].split(heads: heads)
        return (rotation(keyNorm(raw)), valueNorm(values))
    }
}
